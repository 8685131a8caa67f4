"""The locks of the tiers: exact, satisfied, of one CUDA; and how they are made."""

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging.specifiers import SpecifierSet

from ci.setup import lock
from helpers.files import ROOT
from tests.ci.setup.locks import TIERS, hashes, pins

BINDINGS = ["cuda-bindings", "cuda-pathfinder"]
COMPILER = {
    "cuda-toolkit",
    "nvidia-cuda-cccl",
    "nvidia-cuda-crt",
    "nvidia-cuda-nvcc",
    "nvidia-cuda-nvdisasm",
    "nvidia-cuda-runtime",
    "nvidia-nvvm",
}  # of the CPU tier; GPU tiers take the machine's, and torch for CUDA 13 brings two of them in the same version
OTHER = {
    "trt10": {"torch", "cuda-bindings", *COMPILER},  # torch for CUDA 12 pins bindings of CUDA 12
    "trt11": {"torch", *COMPILER - {"cuda-toolkit", "nvidia-cuda-runtime"}},
}


@pytest.mark.parametrize("tier", TIERS)
def test_every_requirement_is_satisfied_by_the_lock(tier):
    pinned = pins(tier)
    for name, requirement in lock.requirements(ROOT / f"requirements/{tier}.in").items():
        if requirement.marker and not requirement.marker.evaluate():
            continue  # taken away from the list that this one begins with
        assert requirement.specifier.contains(pinned[name], prereleases=True), (requirement, pinned[name])


@pytest.mark.parametrize("name", lock.NAMES)
def test_locks_are_exact_sorted_hashed_and_name_no_other_index(name):
    lines = (ROOT / f"requirements/{name}.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith(("#", "-"))]
    foreign = {pin for pin in hashes(name) if lock.FROM_NVIDIA.match(pin)}
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+( --hash=sha256:[0-9a-f]{64})*", line) for line in pinned)
    assert {line for line in pinned if "--hash" not in line} == foreign
    names = [line.split("==")[0] for line in pinned]
    assert names == sorted(set(names))
    assert f"CPython {' and '.join(lock.pythons(name))}," in lines[0]
    index = ["--extra-index-url https://pypi.nvidia.com"] if name in ("trt10", "trt11", "trtllm") else []
    assert [line for line in lines if line.startswith("-")] == index and bool(index) == bool(foreign)


def test_whatever_a_file_of_this_project_installs_has_a_hash():
    """ci/setup/gpu.py, which puts its commands together, is run in its own tests."""
    names = (
        "Makefile",
        "Dockerfile",
        "environment.yml",
        "ci/setup/*.sh",
        ".github/workflows/*",
        ".devcontainer/*.json",
    )
    texts = [path.read_text().replace("\\\n", " ") for name in names for path in ROOT.glob(name)]
    found = [line for text in texts for line in re.split(r"\n|&&", text) if re.search(r"pip3? install|pip:", line)]
    assert len(found) >= 6 and not [line for line in found if "--require-hashes" not in line and " -e ." not in line]


def test_what_builds_packages_is_pinned_as_in_the_tier():
    """A package built with another version would be replaced at once; setuptools-scm gives cppimport its version."""
    building, tier = pins("build"), pins("cpu")
    assert {"setuptools", "setuptools-scm", "packaging"} <= building.keys()
    assert {name: building[name] for name in building.keys() & tier.keys()} == {
        name: tier[name] for name in building.keys() & tier.keys()
    }


def test_cpu_torch_is_the_one_file_that_both_indexes_have():
    """The wheel at hand and that of download.pytorch.org/whl/cpu, as other projects have locked it."""
    published = "sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
    assert hashes("cpu")["torch==2.13.0+cpu"] == [published]


@pytest.mark.parametrize("tier", ["trt10", "trt11"])
def test_gpu_tiers_take_the_files_that_the_cpu_tier_takes(tier):
    own = hashes(tier)
    for pin, cpu in hashes("cpu").items():
        assert pin.split("==")[0] in OTHER[tier] or set(cpu) <= set(own[pin]), pin


@pytest.mark.parametrize("tier", ["trt10", "trt11"])
def test_gpu_tiers_differ_from_the_cpu_tier_in_torch_with_its_bindings_and_additions_only(tier):
    cpu, gpu = pins("cpu"), pins(tier)
    assert {name for name in cpu if gpu.get(name) != cpu[name]} == OTHER[tier]
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
    assert pins("edge")["tensorrt"] == "8.6.0" and TIERS["edge"]["python"] == "3.10"
    assert all(name in ("numpy", "tensorrt", *BINDINGS) or name.startswith("nvidia-") for name in pins("edge"))


def test_a_tier_s_requirement_takes_the_place_of_its_namesake(tmp_path):
    (tmp_path / "base.in").write_text("torch==1+cpu  # small\nNumPy<2\n")
    (tmp_path / "big.in").write_text("# all of it\n-r base.in\ntorch==2\n")
    found = lock.requirements(tmp_path / "big.in")
    assert {name: str(requirement) for name, requirement in found.items()} == {"torch": "torch==2", "numpy": "NumPy<2"}


def test_the_cpu_lock_has_a_compiler_and_no_library_of_cuda():
    """The runtime comes with the compiler, which links it into what it makes."""
    found = {name for name in pins("cpu") if name.startswith(("nvidia-cu", "nvidia-nv", "cuda", "triton"))}
    assert found == {*BINDINGS, *COMPILER}


@pytest.mark.parametrize(("tier", "release"), [("trt10", 12), ("trt11", 13), ("edge", 12)])
def test_the_bindings_fit_the_driver_that_a_tier_asks_for(tier, release):
    """helpers/engine/cuda.py says which release wants which driver: 13 one of CUDA 12.8, branch 570."""
    bindings = tuple(map(int, pins(tier)["cuda-bindings"].split(".")))
    assert bindings[0] == release and (release < 13 or TIERS[tier]["driver"] >= 570)
    assert tier != "edge" or bindings <= (12, 9, 6)  # DRIVE OS 6 has a driver of CUDA 11.4


def pylock(**packages):
    """What uv says of files on the index: the first letters of their hashes, by package; "sdist:..." for a source."""
    lines = []
    for pin, digests in packages.items():
        lines += ["[[packages]]", f'name = "{pin}"', 'version = "1"']
        if digests[0].startswith("sdist:"):
            lines.append(f'sdist = {{hashes = {{sha256 = "{digests[0].removeprefix("sdist:")}"}}}}')
        else:
            lines.append("wheels = [" + ", ".join(f'{{hashes = {{sha256 = "{d}"}}}}' for d in digests) + "]")
    return "\n".join(lines)


def test_lock_of_another_tier(tmp_path, fake_uv, capsys):
    files = pylock(zlib_ng=["c", "b"], torch=["d"], tensorrt_cu13_bindings=["sdist:e"])
    uv = fake_uv("zlib-ng==1\ntensorrt-cu13==1\ntensorrt-cu13-bindings==1\ntorch==1\n", pylock=files)
    (tmp_path / "old.txt").write_text("zlib-ng==0.9 --hash=sha256:a\nnumpy==0.1\n")
    arguments = ["--uv", uv, "--out", str(tmp_path / "lock.txt"), "--constraint", str(tmp_path / "old.txt")]
    assert lock.main(["trt11", *arguments]) == 0
    text = (tmp_path / "lock.txt").read_text()
    assert "with uv 9.9.9." in text
    assert "#   tensorrt-cu13==1\n--extra-index-url" in text and "#   tensorrt-cu13-bindings" not in text
    assert text.partition("pypi.nvidia.com\n")[2].splitlines() == [
        "tensorrt-cu13==1",
        "tensorrt-cu13-bindings==1 --hash=sha256:e",
        "torch==1 --hash=sha256:d",
        "zlib-ng==1 --hash=sha256:b --hash=sha256:c",
    ]
    kept = (tmp_path / "calls.constraint").read_text().split()
    assert "numpy==1.26.4" in kept and "zlib-ng==0.9" in kept
    assert not [pin for pin in kept if pin.startswith("torch==") or "hash" in pin or pin == "numpy==0.1"]
    calls = (tmp_path / "calls").read_text()
    assert "--python-version 3.11 --python-platform x86_64-manylinux_2_28" in calls
    assert "--python-version 3.12 --python-platform x86_64-manylinux_2_40" in calls  # for the container's Python


def test_a_lock_that_cannot_be_resolved_stays_as_it_was(tmp_path, fake_uv, capsys):
    (tmp_path / "lock.txt").write_text("as it was")
    assert lock.main(["trtllm", "--uv", fake_uv("", "No solution"), "--out", str(tmp_path / "lock.txt")]) == 1
    assert (tmp_path / "lock.txt").read_text() == "as it was"
    assert lock.main(["trtllm", "--uv", str(tmp_path / "nowhere")]) == 2
    assert "pip install uv" in capsys.readouterr().err


@pytest.fixture
def install_tiny(tmp_path):
    """Function (digest of the lock, python="this") -> pip's (exit code, message) for a lock of one tiny wheel."""
    wheel = tmp_path / "wheels/tiny-1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")

    def run(digest=None):
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        (tmp_path / "lock.txt").write_text(f"tiny==1 --hash=sha256:{digest}\n")
        command = [sys.executable, "-m", "pip", "install", "--isolated", "--no-index", "--find-links", wheel.parent]
        command += ["--no-deps", "--no-build-isolation", "--require-hashes", "--target", tmp_path / "site"]
        done = subprocess.run([*command, "-r", tmp_path / "lock.txt"], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_file_of_another_hash_is_refused(install_tiny, tmp_path):
    status, said = install_tiny("0" * 64)
    assert status != 0 and "DO NOT MATCH THE HASHES" in said and not (tmp_path / "site/tiny.py").exists()
    status, said = install_tiny()
    assert status == 0 and (tmp_path / "site/tiny.py").exists(), said


def test_the_solver_changes_no_package_of_the_cpu_tier():
    solver, cpu = pins("solver"), pins("cpu")
    assert solver.keys() - cpu.keys() == {"casadi"} and solver["numpy"] == cpu["numpy"]
