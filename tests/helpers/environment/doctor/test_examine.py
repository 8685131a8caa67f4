"""A whole visit of the doctor: on a healthy set-up, on broken ones, and what it says of them."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import __main__ as cli
from helpers.environment import doctor, tiers
from helpers.environment.doctor import checks, examine, packages, quick, summary, text
from helpers.environment.doctor.report import FAIL, OK, WARN, Check, Report
from helpers.environment.machine import Machine
from helpers.errors import BadInput
from helpers.files import ROOT
from tests.builders.waiting import HANG
from tests.helpers.environment.doctor.builders import install, machine, only, with_driver


def test_a_healthy_machine_is_all_ok_and_quickly_told(root, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\n")
    here, started = machine(root, meminfo=str(tmp_path / "meminfo")), os.times()
    report = examine(tier="cpu", machine=here)
    assert sum(os.times()[:4]) - sum(started[:4]) < 10  # of the processors, in this process and in the probes
    assert [check for check in report if check.status != OK] == []
    topics = [check.topic for check in report]
    wanted = {"Python", "driver", "torch", "tensorrt-rtx", "ONNX Runtime", "ModelOpt", "lock", "disk", "MiniDrive"}
    assert wanted | {"checkpoints"} <= set(topics)
    assert all(not check.cure for check in report)
    assert [topic for topic in topics if not doctor.why(topic)] == []
    assert doctor.why("weather") == "" and doctor.why("plugins: loading") == doctor.why("plugins")


def test_every_line_that_is_not_ok_has_a_cure_in_the_gpu_tier(root, site, tools):
    install(site, "torch", "2.13.0+cpu", "torch", "class version: cuda = None")
    here = only(site, root=root, environ={"PATH": str(tools), "LD_LIBRARY_PATH": ""}, library_folders=())
    bad = {check.topic: check for check in examine(tier="gpu", machine=here) if check.status != OK}
    assert bad["torch"].status == bad["tensorrt"].status == FAIL
    assert bad["tensorrt"].cure.startswith("make gpu") and "whl/cu128" in bad["torch"].cure
    assert all(check.cure for check in bad.values())


def test_an_environment_beside_this_one(root, tmp_path):
    folder = tmp_path / "scratch"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    here = Machine.of_environment(folder, root=root, timeout=HANG)
    site = next(folder.glob("lib/python3*/site-packages"))
    install(site, "onnxruntime", "1.20.0", "onnxruntime", "raise AttributeError('_ARRAY_API not found')")
    found = {check.topic: check for check in examine(tier="cpu", machine=here)}
    assert found["Python"].status == OK and found["torch"].found == "not installed"
    assert found["ONNX Runtime"].cure == f"{folder}/bin/python -m pip install 'numpy<2'"
    (folder / "bin/python").unlink()
    check = checks.python(Machine.of_environment(folder))
    assert check.status == FAIL and check.found.startswith("unknown")


def test_an_exception_inside_a_check_is_a_line_and_not_a_traceback(monkeypatch, root):
    def breaks(*arguments):
        raise RuntimeError("the floor gave way\nat line two")

    monkeypatch.setattr(packages, "modelopt", breaks)
    report = examine(tier="cpu", machine=only(root, root=root))
    check = next(check for check in report if check.topic == "ModelOpt")
    assert check.status == FAIL and check.cure
    assert check.found == "the check itself failed: RuntimeError: the floor gave way"
    assert len(report) > 15


def test_what_hangs_does_not_hold_the_doctor_up(tmp_path, root, site, monkeypatch):
    monkeypatch.setattr(doctor, "BUDGET", 1.0)
    install(site, "torch", "2.13.0", "torch", "import time; time.sleep(1000)")
    install(site, "tensorrt", "10.3.0", "tensorrt", "import time; time.sleep(1000)")
    here = with_driver(tmp_path, "sleep(1000); return 0;", smi="exec sleep 1000", root=root, paths=(str(site),))
    started = time.monotonic()
    found = {check.topic: check for check in examine(tier="gpu", machine=here)}
    assert time.monotonic() - started < HANG  # each of them sleeps for 1000 s
    assert found["driver"].status == FAIL and "no answer" in found["driver"].found
    for topic in ("torch", "tensorrt"):
        assert found[topic].status == WARN and "not checked: no answer" in found[topic].found
        assert found[topic].cure.startswith("python -c 'import t")


def test_the_tier_follows_the_driver(tmp_path, root, site):
    install(site, "torch", "2.13.0+cpu", "torch", "class version: cuda = None")
    here = with_driver(tmp_path, smi="echo 570.86.10", root=root, paths=(str(site),))
    found = {check.topic: check for check in examine(machine=here)}
    assert found["GPU"].found == "NVIDIA L4, SM 8.9, 24 GiB" and found["tensorrt"].status == FAIL
    assert found["torch"].status == FAIL and "cu128" in found["torch"].cure


def test_an_empty_environment_is_all_cures_and_no_traceback(tmp_path, site, tools):
    here = only(site, root=tmp_path, environ={"PATH": str(tools)}, meminfo="/absent", temporary="/absent")
    report = examine(tier="cpu", machine=here)
    failed = {check.topic for check in report if check.status == FAIL}
    assert failed >= {"tools", "folders", "torch", "tensorrt-rtx", "ONNX Runtime", "ModelOpt"}
    assert all(check.cure for check in report if check.status != OK)
    assert not any("check itself failed" in check.found for check in report)


def test_the_report_is_a_table_in_a_notebook():
    report = Report([Check("x", FAIL, "<b>", "make it")])
    page = report._repr_html_()
    assert "make it" in page and "&lt;b&gt;" in page and "1 FAIL" in page


def test_unknown_names_are_refused():
    with pytest.raises(BadInput, match="03_nothing"):
        examine(lessons=["03_nothing"])
    with pytest.raises(BadInput, match="tpu"):
        examine(tier="tpu")


def test_text_shows_a_cure_below_each_fault():
    report = quick("cpu")
    shown = text(Report([*report, Check("disk", FAIL, "full", "make clean")]))
    assert "FAIL  disk" in shown and shown.count("cure:") == 1 + sum(check.status != OK for check in report)


def test_the_summary_of_a_lesson_is_quick_and_imports_nothing(root):
    started = time.process_time()  # what a busy machine adds is not its cost
    line = summary("cpu")
    assert time.process_time() - started < 1 and "checks OK" in line
    code = "import sys; from helpers.environment.doctor import summary; summary('cpu'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_summary_names_what_is_wrong(site):
    statuses = {check.topic: check for check in quick("cpu", only(site))}
    assert statuses["TensorRT"].status == statuses["ModelOpt"].status == FAIL
    assert statuses["TensorRT"].cure == "make setup"


def test_commands_named_in_cures_exist():
    sources = [
        *Path(ROOT, "helpers/environment/doctor").glob("*.py"),
        Path(tiers.__file__),
        ROOT / "helpers/environment/messages.toml",
    ]
    words = "".join(path.read_text(encoding="utf-8") for path in sources)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:[\"(] ?|&& |\$ |: )make ([a-z]+)", words))
    assert {"setup", "gpu", "data", "clean"} <= named <= targets
    assert "make gpu" in words and set(re.findall(r"make gpu(?!`| TIER=)", words)) == set()
    assert set(re.findall(r"TIER=(\w+)", words)) <= set(tiers.gpu_tiers())
    assert not re.findall(r"pip install (?:\S+ )*'?onnxruntime(?!\S*==)", words)
    assert set(re.findall(r"-m helpers ([a-z]+)", words)) <= set(cli.COMMANDS)
