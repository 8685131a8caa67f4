"""The matrix of signals tells what is half written, what still runs and what was left."""

import sys
import time
import uuid
from types import SimpleNamespace

import pytest

from ci import interrupted, signals
from ci.interrupted import Program
from ci.lessons import copies
from tests.builders.waiting import until

WRITES = "import sys, time; p = sys.argv[1]; open(p, 'w').write('half'); time.sleep({}); open(p, 'w').write('whole')"
LEAVES = (
    "import subprocess, sys; subprocess.Popen(['sleep', '900'], start_new_session=True); "
    "open(sys.argv[1], 'w').write('whole')"
)
DROPS = "import os, sys; open(os.environ['TMPDIR'] + '/dropped', 'w'); open(sys.argv[1], 'w').write('whole')"


def program(code):
    def check(inputs, path):
        return None if path.read_text() == "whole" else path.read_text()

    return Program(lambda inputs: None, lambda inputs, folder: ["-c", code, folder / "out"], check, "out")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (WRITES.format(0), None),
        (LEAVES, "1 processes left"),
        (DROPS, "left behind: tmp/dropped"),
        ("raise SystemExit(3)", "exit code 3"),
        ("pass", "no out"),
    ],
)
def test_an_undisturbed_run_is_held_against_the_rules(tmp_path, monkeypatch, code, problem):
    monkeypatch.setattr(signals, "SECONDS", 0.2)
    monkeypatch.setattr(signals.wait_for_none, "__defaults__", (0.2,))
    found = signals.whole_run(program(code), tmp_path, tmp_path / "run")[1]
    assert found is None if problem is None else problem in found


def test_a_file_that_is_half_written_is_a_fault(tmp_path, monkeypatch):
    out = tmp_path / "run/out"
    begun = lambda after: until(lambda: out.exists() and out.read_text())  # noqa: E731
    monkeypatch.setattr(signals, "time", SimpleNamespace(sleep=begun, monotonic=time.monotonic))
    found = signals.field(program(WRITES.format(1000)), tmp_path, tmp_path / "run", "KILL", False, 0)
    assert found == "half written: out: half"


def test_processes_are_found_by_their_mark_alone(tmp_path):
    mark = uuid.uuid4().hex
    process = signals.start(["-c", "import time; time.sleep(1000)"], tmp_path, mark)
    try:
        assert until(lambda: process.pid in signals.living(mark)) and signals.living(mark[:-1]) == []
    finally:
        assert signals.wait_for_none(mark, 0)
        process.wait()
    assert signals.living(mark) == []


def test_copies_of_lessons_that_would_be_kept_as_changed_are_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "files", lambda source: {"glossary.md": source / "glossary.md"})
    assert interrupted.copies(None, tmp_path) is None and (tmp_path / "glossary.md").is_file()
    (tmp_path / copies.MANIFEST).unlink()  # a command that was stopped has not written it
    assert interrupted.copies(None, tmp_path) is None
    (tmp_path / "glossary.md").write_text("half")
    assert interrupted.copies(None, tmp_path) == "glossary.md is taken for changed"


def test_the_calibration_that_is_interrupted_runs_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path / "set.npz")])
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    exec(interrupted.COLLECT, {})
    assert interrupted.PROGRAMS["collect"].damage(None, tmp_path, True) is None
