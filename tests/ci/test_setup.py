"""Locks of the tiers, the resolver's words on their conflicts, the Dockerfile's rules, dev containers, `make gpu`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ci.setup import conflicts, containers, dockerfile, lock
from helpers.errors import BadInput
from helpers.files import ROOT

TIERS = lock.TIERS
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def pins(tier):
    """{name: version} of a lock."""
    return dict(pin.split("==") for pin in lock.pins_of(ROOT / f"requirements/{tier}.txt"))


# locks


@pytest.mark.parametrize("tier", TIERS)
def test_every_requirement_is_satisfied_by_the_lock(tier):
    pinned = pins(tier)
    for name, requirement in lock.requirements(ROOT / f"requirements/{tier}.in").items():
        assert requirement.specifier.contains(pinned[name], prereleases=True), (requirement, pinned[name])


@pytest.mark.parametrize("tier", TIERS)
def test_locks_are_exact_sorted_and_name_no_other_index(tier):
    lines = (ROOT / f"requirements/{tier}.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if not line.startswith(("#", "-"))]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+", line) for line in lines if not line.startswith(("#", "-")))
    assert names == sorted(set(names))
    assert f"CPython {TIERS[tier]['python']}" in lines[0]
    index = ["--extra-index-url https://pypi.nvidia.com"] if tier in ("trt10", "trt11", "trtllm") else []
    assert [line for line in lines if line.startswith("-")] == index


@pytest.mark.parametrize("tier", ["trt10", "trt11"])
def test_gpu_tiers_differ_from_the_cpu_tier_in_torch_and_additions_only(tier):
    cpu, gpu = pins("cpu"), pins(tier)
    assert {name for name in cpu if gpu.get(name) != cpu[name]} == {"torch"}
    added = set(gpu) - set(cpu)
    assert all(name.startswith(("nvidia-", "cuda-", "tensorrt-cu", "triton")) for name in added), added


@pytest.mark.parametrize(
    ("tier", "front", "major", "cuda"),
    [
        ("trt10", "tensorrt-cu12", "10", "nvidia-cuda-runtime-cu12"),
        ("trt11", "tensorrt-cu13", "11", "nvidia-cuda-runtime"),
        ("trtllm", "tensorrt-cu13", "10", "nvidia-cuda-runtime"),
    ],
)
def test_tensorrt_is_of_one_version_and_not_claimed_to_be_installed(tier, front, major, cuda):
    pinned = pins(tier)
    versions = {pinned[name] for name in (front, f"{front}-libs", f"{front}-bindings")}
    assert len(versions) == 1 and versions.pop().split(".")[0] == major
    assert cuda in pinned
    head = (ROOT / f"requirements/{tier}.txt").read_text().partition("--extra")[0]
    assert f"#   {front}-libs=={pinned[front]}" in head and "not installed" in head


def test_pythons_of_the_tiers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for tier in ("cpu", "trt10", "trt11"):
        assert SpecifierSet(project["requires-python"]).contains(f"{TIERS[tier]['python']}.2")
    assert "(3, 11)" in (ROOT / "ci/setup/cpu.sh").read_text()
    assert pins("edge")["tensorrt"] == "8.6.0" and TIERS["edge"]["python"] == "3.10"
    assert all(name in ("numpy", "tensorrt") or name.startswith("nvidia-") for name in pins("edge"))


def test_a_tier_s_requirement_takes_the_place_of_its_namesake(tmp_path):
    (tmp_path / "base.in").write_text("torch==1+cpu  # small\nNumPy<2\n")
    (tmp_path / "big.in").write_text("# all of it\n-r base.in\ntorch==2\n")
    found = lock.requirements(tmp_path / "big.in")
    assert {name: str(requirement) for name, requirement in found.items()} == {"torch": "torch==2", "numpy": "NumPy<2"}


FAKE_UV = """#!/bin/bash
# Stands for uv: keeps what it was asked, answers what $ANSWER holds.
[ "$1" = --version ] && { echo "uv 9.9.9 (x)"; exit; }
echo "$*" >"$CALLS"
for last; do :; done
cp "${@: -2:1}" "$CALLS.constraint" 2>/dev/null
if [ -f "$ANSWER.stderr" ]; then cat "$ANSWER.stderr" >&2; exit 1; fi
cat "$ANSWER"
"""


@pytest.fixture
def fake_uv(tmp_path, monkeypatch):
    """Function (stdout, stderr=None) -> path of a fake uv that answers so."""

    def make(stdout, stderr=None):
        program, answer = tmp_path / "uv", tmp_path / "answer"
        program.write_text(FAKE_UV)
        program.chmod(0o755)
        answer.write_text(stdout)
        if stderr is not None:
            (tmp_path / "answer.stderr").write_text(stderr)
        monkeypatch.setenv("ANSWER", str(answer))
        monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
        return str(program)

    return make


def test_lock_of_another_tier(tmp_path, fake_uv, capsys):
    uv = fake_uv("zlib-ng==1\ntensorrt-cu13==11.4\ntensorrt-cu13-bindings==11.4\ntorch==2.13.0\n")
    assert lock.main(["trt11", "--uv", uv, "--out", str(tmp_path / "lock.txt")]) == 0
    text = (tmp_path / "lock.txt").read_text()
    assert "with uv 9.9.9 from pypi.org" in text
    assert "#   tensorrt-cu13==11.4\n--extra-index-url" in text and "#   tensorrt-cu13-bindings" not in text
    kept = (tmp_path / "calls.constraint").read_text().split()
    assert "numpy==1.26.4" in kept and not [pin for pin in kept if pin.startswith("torch==")]
    assert "--python-version 3.11" in (tmp_path / "calls").read_text()


def test_a_lock_that_cannot_be_resolved_stays_as_it_was(tmp_path, fake_uv, capsys):
    (tmp_path / "lock.txt").write_text("as it was")
    assert lock.main(["trtllm", "--uv", fake_uv("", "No solution"), "--out", str(tmp_path / "lock.txt")]) == 1
    assert (tmp_path / "lock.txt").read_text() == "as it was"
    assert lock.main(["trtllm", "--uv", str(tmp_path / "nowhere")]) == 2
    assert "pip install uv" in capsys.readouterr().err


# conflicts


def test_recorded_conflicts_carry_their_provenance_and_name_the_packages():
    record = conflicts.recorded()
    assert re.match(r"uv \d", record["resolver"]) and record["command"].startswith("uv pip compile")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", str(record["date"]))
    for conflict in record["conflict"]:
        assert all(Requirement(wanted).name in conflict["words"] for wanted in conflict["requires"]), conflict["name"]
        assert ("unsatisfiable" in conflict["words"]) != conflict["resolves"]


def test_the_conflict_between_course_and_tensorrt_llm_is_that_of_the_locks():
    conflict = next(conflict for conflict in conflicts.recorded()["conflict"] if conflict["name"].endswith("torch"))
    allowed = SpecifierSet(re.search(r"depends on torch(\S+) and", conflict["words"])[1])
    assert allowed.contains(pins("trtllm")["torch"]) and not allowed.contains(pins("trt11")["torch"])
    asked = {Requirement(wanted).name: wanted.split("==")[1] for wanted in conflict["requires"]}
    assert asked == {"tensorrt-llm": pins("trtllm")["tensorrt-llm"], "torch": pins("trt11")["torch"]}


def test_live_conflicts_notice_a_resolver_that_decides_otherwise(fake_uv, capsys):
    assert conflicts.main(["--live", "--uv", fake_uv("tensorrt==1\n")]) == 1
    assert "decides otherwise: course and TensorRT-LLM: torch" in capsys.readouterr().err
    assert conflicts.main(["--live", "--uv", "no-such-uv"]) == 2
    assert conflicts.main([]) == 0
    assert "refused: TensorRT-LLM is compiled against one torch" in capsys.readouterr().out


def test_a_resolver_that_fails_is_not_a_conflict(fake_uv):
    with pytest.raises(RuntimeError, match="did not come to a decision:\nno network"):
        conflicts.main(["--live", "--uv", fake_uv("", "no network")])


def test_words_are_the_reasons_without_the_hints():
    said = "error: No solution found\n  cause: Because a.\n         And b.\n\nhint: drop this\n"
    assert conflicts.words("", said) == "Because a.\nAnd b."
    assert conflicts.words("numpy==1\ntensorrt-cu12==10\n", "") == "tensorrt-cu12==10"


# Dockerfile

GOOD = """ARG IMAGE=debian:12.13-slim
FROM ${IMAGE} AS tools
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends git \\
    # a comment
    && rm -rf /var/lib/apt/lists/*
FROM tools AS course
LABEL org.opencontainers.image.title="x" org.opencontainers.image.licenses="Apache-2.0"
COPY requirements requirements
RUN pip install --no-deps --requirement requirements/cpu.txt
USER 1010:1010
HEALTHCHECK --timeout=60s CMD ["true"]
"""


def test_the_dockerfile_keeps_the_rules():
    assert dockerfile.breaches(DOCKERFILE, ROOT) == []
    assert dockerfile.breaches(GOOD, ROOT) == []


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ("debian:12.13-slim", "debian", "not pinned"),
        ("debian:12.13-slim", "debian:latest", "not pinned"),
        ("ARG IMAGE=debian:12.13-slim\n", "", "not pinned"),
        ("debian:12.13-slim", "localhost:5000/debian", "not pinned"),
        ("USER 1010:1010\n", "", "runs as root"),
        ("USER 1010:1010", "USER 1010\nUSER root", "runs as root"),
        ("HEALTHCHECK --timeout=60s CMD", "CMD", "no HEALTHCHECK"),
        ("    && rm -rf /var/lib/apt/lists/*", "    && true", "rm -rf /var/lib/apt/lists"),
        ("--no-install-recommends ", "", "--no-install-recommends"),
        ("apt-get update \\\n    && ", "", "apt-get update"),
        ("COPY requirements", "ADD https://example.org/x.tar.gz", "use COPY"),
        ("COPY requirements ", "COPY requirement ", "no such file"),
        ("COPY requirements ", "COPY .git ", ".dockerignore keeps it out"),
        (" --no-deps", "", "without a lock"),
        ("USER 1010:1010", "ENV HF_TOKEN=hf_x\nUSER 1010:1010", "keep a secret"),
        ("org.opencontainers.image.licenses", "licence", "no label org.opencontainers.image.licenses"),
        ("RUN pip", "RUN curl x | sh && pip", "no place"),
        ("FROM tools AS course", "FROM tools", "no name"),
    ],
)
def test_each_rule_of_the_dockerfile_catches(old, new, breach):
    assert old in GOOD
    assert breach in "\n".join(dockerfile.breaches(GOOD.replace(old, new), ROOT))


@pytest.mark.parametrize("text", ["", "RUN true\n", "FROM a:1\nINSTALL x\n", "FROM a:1 b\n", "FROM a:1\nRUN <<X\n"])
def test_a_dockerfile_that_is_not_understood_is_refused(text):
    with pytest.raises(BadInput):
        dockerfile.read(text)


def test_stages_continue_each_other_and_lines_are_those_of_the_file():
    tools, course = dockerfile.read(GOOD)
    assert (tools.name, tools.base, course.parent, course.line) == ("tools", "debian:12.13-slim", tools, 7)
    assert [instruction.line for instruction in course.all("RUN")] == [3, 10]
    assert "comment" not in tools.own[0].text


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("helpers/graph/edit.py", False),
        ("helpers/__pycache__/graph.pyc", True),
        (".venv-gpu/bin/python", True),
        (".git/config", True),
        ("data/minidrive/x.json", True),
        ("data_scripts/train.py", False),
        ("Dockerfile", True),
    ],
)
def test_what_is_sent_to_the_builder(path, out):
    assert dockerfile.ignored(path, dockerfile.ignore_rules(ROOT)) is out


def test_image_tags_agree_with_the_locks():
    stages = {stage.name: stage for stage in dockerfile.read(DOCKERFILE)}
    assert stages["llm"].base.endswith(f":{pins('trtllm')['tensorrt-llm']}")
    assert set(stages) == {"tools", "cpu", "course", "llm"}
    needed = set(re.findall(r"python3\.\d+", stages["tools"].own[0].text))
    assert needed == {f"python{TIERS['cpu']['python']}"}


def test_proving_copies_what_a_build_would(tmp_path):
    root = containers.Root(tmp_path, {})
    owner = f"{os.getuid()}:{os.getgid()}"
    for line in (
        f"USER {owner}",
        "WORKDIR /home/x",
        "ARG A=1",
        "ARG C",
        "ENV B=$A/2",
        f"COPY --chown={owner} requirements r",
    ):
        keyword, _, text = line.partition(" ")
        assert containers.apply(dockerfile.Instruction(keyword, text, 1), root) == 0
    assert (tmp_path / "home/x/r/cpu.txt").read_bytes() == (ROOT / "requirements/cpu.txt").read_bytes()
    assert root.env["B"] == "1/2" and "C" not in root.env and root.user == owner


def test_proving_executes_as_the_stage_says(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        subprocess, "run", lambda line, **how: calls.append((line, how)) or subprocess.CompletedProcess(line, 3)
    )
    root = containers.Root(tmp_path, {"PIP_CERT": "/ca"})
    root.user, root.workdir = "1010:1010", "/home/x"
    status = containers.apply(dockerfile.Instruction("RUN", "--mount=type=cache,target=/c make && true", 1), root)
    line, how = calls[0]
    assert status == 3 and line[:3] == ["chroot", "--userspec=1010:1010", tmp_path]
    assert line[-1] == "cd /home/x && exec /bin/sh -c 'make && true'"
    assert how["env"]["PIP_CERT"] == "/ca" and set(how["env"]) == {"HOME", "PATH", "PIP_CERT"}


def test_proving_refuses_what_is_no_root(tmp_path, capsys):
    assert containers.main(["prove", "--stage", "cpu", "--root", str(tmp_path)]) == 2
    assert "debootstrap" in capsys.readouterr().err
    assert containers.main(["prove", "--stage", "gpu", "--root", str(tmp_path)]) == 2
    assert "one of tools, cpu, course, llm" in capsys.readouterr().err


def test_lint_says_whether_hadolint_ran(tmp_path, capfd):
    assert containers.main(["lint", "--hadolint", "no-such-hadolint"]) == 0
    assert "not installed here, so not run" in capfd.readouterr().out
    fake = tmp_path / "hadolint"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Linter 1 || exit 1\n')
    fake.chmod(0o755)
    assert containers.main(["lint", "--hadolint", str(fake)]) == 1


# dev containers, conda

PROPERTIES = {  # the base schema at containers.dev/implementors/json_schema
    "name": str, "build": dict, "remoteUser": str, "runArgs": list, "containerEnv": dict, "postCreateCommand": str,
    "forwardPorts": list, "hostRequirements": dict, "customizations": dict,
}  # fmt: skip


@pytest.mark.parametrize("name", ["devcontainer.json", "gpu/devcontainer.json"])
def test_dev_containers(name):
    path = ROOT / ".devcontainer" / name
    content = json.loads(path.read_text())
    assert all(isinstance(value, PROPERTIES[key]) for key, value in content.items())
    build, needs = content["build"], content["hostRequirements"]
    assert (path.parent / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (path.parent / build["context"]).resolve() == ROOT
    stage = next(stage for stage in dockerfile.read(DOCKERFILE) if stage.name == build["target"])
    assert f"useradd --create-home --shell /bin/bash --uid 1010 {content['remoteUser']}" in str(stage.all("RUN"))
    assert type(needs["cpus"]) is int and all(re.fullmatch(r"\d+[tgmk]b", needs[key]) for key in ("memory", "storage"))
    gpu = name.startswith("gpu")
    assert needs.get("gpu", False) is gpu and ("--gpus" in content.get("runArgs", [])) is gpu
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(target in targets for target in re.findall(r"make (\w+)", content["postCreateCommand"]))


def test_conda_gets_the_pins_of_the_cpu_lock():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"python={TIERS['cpu']['python']}" in content["dependencies"] and "pip" in content["dependencies"]
    (options,) = [entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)]
    named = [option.split()[1] for option in options if option.startswith("--requirement")]
    assert named == ["requirements/cpu.txt"] and (ROOT / named[0]).exists()
    index = next(option.split()[1] for option in options if option.startswith("--extra-index-url"))
    assert "+cpu" in pins("cpu")["torch"] and index.endswith("/cpu")


# make gpu

FAKE_PYTHON = """#!/bin/bash
# Stands for the tier's Python and its pip: notes what it is asked; $FAILS names what fails.
echo "$*" >>"$CALLS"
case "$FAILS" in ?*) case "$*" in *"$FAILS"*) exit 1 ;; esac ;; esac
case "$*" in
    *"-m venv"*) for last; do :; done; mkdir -p "$last/bin" "$last/site" && cp "$0" "$last/bin/python" ;;
    *purelib*) echo "$(dirname "$0")/../site" ;;
esac
"""


@pytest.fixture
def make_gpu(tmp_path):
    """Function (what nvidia-smi prints or None, *arguments, fails="") -> the finished process; root at tmp_path."""
    (tmp_path / "bin").mkdir()
    for name in ("ci/setup/gpu.py", *(f"requirements/{file}" for file in os.listdir(ROOT / "requirements"))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for tool in ("bash", "mkdir", "cp", "dirname"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    python = tmp_path / "bin/fake-python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)

    def run(said, *arguments, fails="", status=0):
        if said is not None:
            program = tmp_path / "bin/nvidia-smi"
            program.write_text(f"#!/bin/bash\nprintf '{said}'\nexit {status}\n")
            program.chmod(0o755)
        environment = {
            "PATH": f"{tmp_path}/bin",
            "PYTHON": str(python),
            "CALLS": str(tmp_path / "calls"),
            "FAILS": fails,
        }
        command = [sys.executable, "-m", "ci.setup.gpu", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=20)

    run.root = tmp_path
    return run


H100 = "NVIDIA H100 80GB HBM3, 580.159.04, 9.0\\n"


@pytest.mark.parametrize(
    ("said", "arguments", "found", "needed"),
    [
        (None, [], "no nvidia-smi on PATH", "an NVIDIA driver, 535 or newer"),
        ("", [], "lists no GPU: exit status 0", "an NVIDIA driver"),
        ("No devices were found\\n", [], "lists no GPU: No devices were found", "an NVIDIA driver"),
        ("NVIDIA A10, 470.82.01, 8.6\\n", [], "driver 470.82.01 (NVIDIA A10)", "535 or newer for trt10"),
        ("NVIDIA A10, 550.54.15, 8.6\\n", ["trt11"], "driver 550.54.15", "580 or newer for trt11"),
        ("Tesla V100, 580.95.05, 7.0\\n", [], "compute capability 7.0", "compute capability 7.5 or newer for trt10"),
        ("Tesla T4, 580.95.05, 7.5\\n", ["trtllm"], "compute capability 7.5", "8.0 or newer for trtllm"),
        ("RTX 5090, 580.95.05, 12.0\\n", ["edge"], "compute capability 12.0", "7.5 to 9.0 for edge"),
        ("NVIDIA A10, [N/A], 8.6\\n", [], "nvidia-smi says NVIDIA A10, [N/A], 8.6", "driver version"),
        (H100, ["trt12"], "TIER=trt12", "one of trt10, trt11, trtllm, edge"),
    ],
)
def test_make_gpu_refuses_naming_found_and_needed(make_gpu, said, arguments, found, needed):
    done = make_gpu(said, *arguments)
    assert done.returncode == 1
    first, second, third = done.stderr.rstrip().splitlines()
    assert found in first and needed in second and third.strip().startswith("fix")
    assert not list(make_gpu.root.glob(".venv*")) and not (make_gpu.root / "calls").exists()


@pytest.mark.parametrize(
    ("said", "arguments", "tier"),
    [
        (H100, [], "trt11"),
        ("NVIDIA A10, 550.54.15, 8.6\\n", [], "trt10"),
        (H100, ["trt10"], "trt10"),
        (H100, ["trtllm"], "trtllm"),
        (H100, ["edge"], "edge"),
    ],
)
def test_make_gpu_installs_the_tier_that_fits(make_gpu, said, arguments, tier):
    done = make_gpu(said, *arguments)
    assert done.returncode == 0, done.stderr
    folder, calls = make_gpu.root / TIERS[tier]["folder"], make_gpu.root / "calls"
    assert f"--no-deps -r {make_gpu.root}/requirements/{tier}.txt" in calls.read_text()
    assert (folder / "site/onramp.pth").read_text() == f"{make_gpu.root}\n"
    calls.unlink()
    again = make_gpu(said, *arguments)
    assert "already holds" in again.stdout and "install" not in (calls.read_text() if calls.exists() else "")
    (make_gpu.root / f"requirements/{tier}.txt").write_text("numpy==1\n")
    assert "is ready" in make_gpu(said, *arguments).stdout


@pytest.mark.parametrize("fails", ["-m venv", "install", "import tensorrt"])
def test_make_gpu_leaves_nothing_half_made(make_gpu, fails):
    done = make_gpu(H100, "trt10", fails=fails)
    assert done.returncode == 1 and "nothing was left behind" in done.stderr
    assert not (make_gpu.root / ".venv-gpu").exists()


def test_make_gpu_needs_the_python_of_the_tier(make_gpu):
    done = make_gpu(H100, "edge", fails="ensurepip")
    assert done.returncode == 1 and "no Python 3.10 with venv" in done.stderr
    assert not list(make_gpu.root.glob(".venv*"))


def test_drivers_in_the_table_are_those_of_the_readable_refusals():
    assert [(TIERS[name]["driver"], Version(TIERS[name]["sm"])) for name in ("trt10", "trt11", "trtllm")] == [
        (535, Version("7.5")), (580, Version("7.5")), (580, Version("8.0"))
    ]  # fmt: skip
    assert all(TIERS[name]["source"].startswith("https://") for name in TIERS if "driver" in TIERS[name])
