"""`make gpu`: refuses before it creates anything, and installs the tier that fits."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from helpers.files import ROOT
from tests.builders.waiting import HANG
from tests.ci.setup.locks import TIERS

FAKE_PYTHON = """#!/bin/bash
# Stands for the tier's Python and its pip: notes what it is asked, and each list of pins; $FAILS names what fails.
echo "$*" >>"$CALLS"
case "$*" in *" -r "*) cp "${@: -1}" "$CALLS.$(ls "$CALLS".* 2>/dev/null | wc -l)" ;; esac
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
    locks = [f"requirements/{file}" for file in os.listdir(ROOT / "requirements")]
    for name in ("ci/setup/alone.sh", "ci/setup/gpu.py", "ci/setup/python.sh", *locks):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for tool in ("bash", "cat", "cp", "dirname", "ls", "mkdir", "wc"):
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
        command = [sys.executable, "-S", "-m", "ci.setup.gpu", *arguments]  # -S: a bare Python
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG)

    run.root = tmp_path
    return run


def locked(tier):
    """The lines of a lock without its comments, sorted."""
    lines = (ROOT / f"requirements/{tier}.txt").read_text().splitlines()
    return sorted(line for line in lines if not line.startswith("#"))


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
    installs = [call for call in calls.read_text().splitlines() if " install " in call]
    lists = [Path(f"{calls}.{i}").read_text().splitlines() for i in range(len(installs))]
    assert sorted(lists[-2] + lists[-1] if len(lists) == 3 else lists[-1]) == locked(tier)
    for call, pinned in zip(installs, lists, strict=True):
        assert "--no-deps" in call and ("--require-hashes --no-build-isolation" in call) == ("--hash=" in pinned[0])
        assert all(("--hash=" in pin) == ("--hash=" in pinned[0]) for pin in pinned)
    if tier != "edge":
        assert {"setuptools", "setuptools-scm"} <= {pin.split("==")[0] for pin in lists[0]}
        assert lists[-1][0] == "--extra-index-url https://pypi.nvidia.com"
        assert all(pin.startswith(("--", "tensorrt")) for pin in lists[-1])
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
