"""The doctor's checks of the system, of MiniDrive and of the weights."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from helpers.environment.doctor import checks, quick
from helpers.environment.doctor.report import FAIL, OK, WARN
from helpers.files import ROOT
from helpers.ops.library import OF_MAKE
from tests.helpers.environment.doctor.builders import machine, tool


def test_another_python(monkeypatch):
    monkeypatch.setattr(checks, "PYTHON", "3.99")
    check = checks.python(machine())
    assert check.status == FAIL and "python3.99-venv" in check.cure


def test_missing_tools(tools):
    tool(tools, "git", "")
    check = checks.tools(machine(environ={"PATH": str(tools)}))
    assert (check.status, check.cure) == (FAIL, "sudo apt-get install -y make gcc g++")


def test_no_folder_for_temporary_files(tmp_path):
    check = checks.folders(machine(temporary=str(tmp_path / "absent")))
    assert check.status == FAIL and check.cure.startswith("export TMPDIR=")


def test_a_locale_without_utf8():
    code = "from helpers.environment.doctor import Machine, checks; print(checks.folders(Machine()))"
    environ = dict(os.environ) | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True)
    assert "status='WARN'" in done.stdout and "PYTHONUTF8=1" in done.stdout


@pytest.mark.parametrize(
    ("meminfo", "limit", "status", "cure"),
    [
        ("MemTotal: 2000000 kB\nMemAvailable: 1900000 kB", "max", FAIL, "--memory=8g"),
        ("MemTotal: 16000000 kB\nMemAvailable: 1500000 kB", "max", WARN, "ps aux"),
        ("MemTotal: 16000000 kB\nMemAvailable: 15000000 kB", str(2**30), FAIL, "--memory=8g"),
        ("nothing that is known", "max", WARN, "GiB"),
        ("MemTotal: 16000000 kB\nMemAvailable: 15000000 kB", "max", OK, ""),
    ],
)
def test_memory(tmp_path, meminfo, limit, status, cure):
    (tmp_path / "meminfo").write_text(meminfo)
    (tmp_path / "limit").write_text(limit)
    here = machine(meminfo=str(tmp_path / "meminfo"), cgroup=str(tmp_path / "limit"))
    check = checks.memory(here, ["02_onnx_export_and_inspection", "04_modelopt_ptq"])
    assert check.status == status and cure in check.cure


def test_memory_names_only_the_lessons_that_do_not_fit(tmp_path):
    (tmp_path / "meminfo").write_text(f"MemTotal: {int(3.2 * 2**20)} kB\nMemAvailable: {int(3.1 * 2**20)} kB")
    check = checks.memory(machine(meminfo=str(tmp_path / "meminfo")), ["00_start_here", "04_modelopt_ptq"])
    assert check.status == FAIL and "04_modelopt_ptq" in check.found and "00_start_here" not in check.found


@pytest.mark.parametrize(("free", "status"), [(0.3, FAIL), (0.6, WARN), (0.8, OK)])
def test_disk(root, free, status):
    check = checks.disk(machine(root, disk_free=lambda path: free * 2**30), ["00_start_here", "04_modelopt_ptq"])
    assert check.status == status and check.cure.startswith("make clean") == (status != OK)


def test_the_cure_of_a_full_disk_frees_space(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    kept = [tmp_path / name for name in (".venv/python", "data/minidrive/x", "build/learner/mine", "learner/mine")]
    for path in (*kept, built := tmp_path / "build/engines/large"):
        path.parent.mkdir(parents=True)
        path.touch()
    here = machine(tmp_path, disk_free=lambda path: 0.1 * 2**30 if built.exists() else 50 * 2**30)
    check = checks.disk(here, ["00_start_here"])
    assert check.status == FAIL
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    subprocess.run(check.cure, shell=True, cwd=tmp_path, check=True, capture_output=True, env=environment)
    assert checks.disk(here, ["00_start_here"]).status == OK
    assert all(path.is_file() for path in kept) and not built.exists()


def test_the_room_of_every_lesson_is_stated():
    notebooks = {path.stem for path in (ROOT / "notebooks").rglob("*.ipynb")}
    assert set(checks.LESSONS) == notebooks and all(0 < needs.disk <= 0.4 for needs in checks.LESSONS.values())


def test_disk_counts_what_is_still_to_be_made(tmp_path):
    details = checks.disk(machine(tmp_path), ["00_start_here"]).details
    assert ".venv: 2.7 GiB" in details and "MiniDrive: 0.3 GiB" in details


@pytest.mark.parametrize(
    ("damage", "status", "found"),
    [
        (lambda data: data.rename(data.parent / "elsewhere"), FAIL, "not made yet"),
        (lambda data: (data / "minidrive.json").unlink(), FAIL, "incomplete"),
        (lambda data: _rewrite(data / "minidrive.json", "{"), FAIL, "minidrive.json is damaged"),
        (lambda data: _rewrite(data / "minidrive.json", "[]"), FAIL, "minidrive.json is damaged"),
        (lambda data: _rewrite(data / "v1.0-mini/sample_data.json", "["), FAIL, "sample_data.json is damaged"),
        (lambda data: _rewrite(data / "v1.0-mini/sample_data.json", "[1]"), FAIL, "sample_data.json is damaged"),
        (lambda data: (data / "v1.0-mini/sample.json").unlink(), FAIL, "tables missing: sample"),
        (lambda data: next((data / "samples/CAM_FRONT").iterdir()).unlink(), FAIL, "1 file missing"),
        (lambda data: _rewrite(data / "minidrive.json", '{"generator": "0"}'), WARN, "another version"),
    ],
)
def test_damaged_data(root, data, damage, status, found):
    assert checks.data(machine(root), ["00_start_here"]).status == OK
    damage(data)
    check = checks.data(machine(root), ["00_start_here"])
    assert check.status == status and found in check.found and "make data" in check.cure


@pytest.mark.parametrize("lost", ["minidrive.json", "v1.0-mini/sample.json"])
def test_the_cure_of_damaged_data_cures(root, data, monkeypatch, lost):
    (data / lost).unlink()
    monkeypatch.chdir(root)
    cure = checks.data(machine(root), ["00_start_here"]).cure
    making = f"{sys.executable} -m data_scripts.make_minidrive --scenes 1 --frames 2 --workers 1"  # smaller than make's
    subprocess.run(
        cure.replace("make data", making), shell=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert checks.data(machine(root), ["00_start_here"]).found == "1 scene of 2 frames"


def _rewrite(path, content):
    path.unlink()
    path.write_text(content)


def test_scenes_are_counted(data, root):
    marker = json.loads((data / "minidrive.json").read_text())
    for names, words in ((["scene-0061"], "1 scene of "), (["scene-0061", "scene-0103"], "2 scenes of ")):
        _rewrite(data / "minidrive.json", json.dumps(marker | {"names": names}))
        (check,) = [check for check in quick("cpu", machine(root)) if check.topic == "MiniDrive"]
        assert check.status == OK and check.found.startswith(words)


def test_a_lesson_without_data_needs_none(tmp_path):
    for check in (checks.data, checks.checkpoints):
        assert check(machine(tmp_path), ["01_environment_patching"]).status == OK


def test_pointers_in_the_place_of_weights(root):
    def found():
        return next(check for check in quick("cpu", machine(root)) if check.topic == "checkpoints")

    assert (found().status, found().found) == (OK, "weights.safetensors")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12838276\n"
    (root / "checkpoints/published.pth").write_text(pointer)
    check = found()
    assert check.status == FAIL and check.cure.startswith("git lfs pull")
    assert check.found.startswith("published.pth: not weights but a git-lfs pointer")
    for path in (root / "checkpoints").iterdir():
        path.unlink()
    assert (found().status, found().cure) == (FAIL, "git restore checkpoints")
