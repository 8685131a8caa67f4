"""`python -m helpers doctor`."""

import ast
import dataclasses
import json
import subprocess
import sys

import pytest

from helpers import __main__ as cli
from helpers.environment import doctor
from helpers.environment.doctor.report import FAIL, OK, WARN, Check, Report
from helpers.files import ROOT


@pytest.mark.parametrize(("status", "code"), [(OK, 0), (WARN, 0), (FAIL, 1)])
def test_exit_code_and_json(monkeypatch, capsys, status, code):
    report = Report([Check("topic", status, "found", "" if status == OK else "cure")])
    monkeypatch.setattr(doctor, "examine", lambda *arguments, **options: report)
    assert cli.main(["doctor", "--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert printed["checks"] == [dataclasses.asdict(report[0])] and printed["counts"][status] == 1
    assert cli.main(["doctor"]) == code
    printed = capsys.readouterr().out
    assert printed.startswith(status) and ("cure: cure" in printed) == (status != OK)


@pytest.mark.parametrize("arguments", [["--tier", "tpu"], ["03_nothing"]])
def test_bad_arguments_exit_2(arguments):
    command = [sys.executable, "-m", "helpers", "doctor", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("LICENSE", "no line PACKAGE==VERSION"),
        ("nofile", "no such file"),
        ("tests", "a folder"),
        ("checkpoints/bevformer_mini.safetensors", "a file of safetensors"),
        ("/proc/self/mem", "OSError"),  # which cannot be read
    ],
)
def test_what_is_no_lock_is_refused(name, found, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.main(["doctor", "--lock", name]) == 2
    assert capsys.readouterr().err.startswith(f"error: {name}\n  found:    {found}")


def test_the_doctor_starts_where_no_package_does():
    code = "import sys, helpers.cli.doctor; print(sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout)) - set(sys.stdlib_module_names)
    assert {name for name in loaded if not name.startswith(("_", "sitecustomize"))} <= {"helpers"}
