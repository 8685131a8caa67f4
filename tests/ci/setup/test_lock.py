"""The locks of the tiers: exact, satisfied, of one CUDA; and how they are made."""

import re
import tomllib

import pytest
from packaging.specifiers import SpecifierSet

from ci.setup import lock
from helpers.files import ROOT
from tests.ci.setup.locks import TIERS, pins


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


def test_lock_is_exact_and_has_no_cuda():
    pins = [line for line in (ROOT / "requirements/cpu.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    names = [line.split("==")[0] for line in pins]
    assert names == sorted(set(names))
    assert not [name for name in names if name.startswith(("nvidia-cu", "cuda", "triton"))]


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
