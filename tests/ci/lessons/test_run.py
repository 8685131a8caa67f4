"""The runner of lessons: the verdict on each kind of notebook, the clock, proofs of exercises, reuse, skips."""

import datetime
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import nbformat
import pytest

from ci.lessons import execute, run
from ci.lessons import lesson as lessons
from helpers import shared
from helpers.errors import BadInput
from helpers.files import ROOT
from tests.builders.waiting import HANG, interrupt
from tests.ci.lessons.notebooks import NOTEBOOKS, SOLUTION, code, lesson, skip


def test_each_notebook_gets_its_own_verdict(batch):
    statuses = {name: entry["status"] for name, entry in batch.entries.items()}
    assert statuses == dict.fromkeys(NOTEBOOKS, "failed") | {
        "passes": "passed",
        "skipped": "skipped",
    }
    assert batch.code == 1
    assert batch.text.endswith("notebooks: 1 passed, 15 failed, 0 timed out, 1 skipped\n")


def test_executed_copy_has_outputs_the_fast_parameter_and_garbage_is_seldom_looked_for(batch):
    executed = nbformat.read(batch.out / "notebooks/passes.ipynb", as_version=4)
    printed = [o.text for cell in executed.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    assert printed == [f"FAST is True {execute.SELDOM}\n"]
    assert [cell.source for cell in executed.cells if "exercise" in cell.metadata.tags] == [SOLUTION]


def test_failure_names_cell_error_and_last_lines(batch):
    assert "FAILED  fails.ipynb, cell 4\n    | def broken():" in batch.text
    assert "    ValueError: nothing here\n" in batch.text
    assert "\x1b" not in batch.text
    assert "FAILED  dies.ipynb, cell 3\n    | import os" in batch.text


def test_timeout_is_told_apart_and_kills_all_that_the_notebook_started(both):
    hanging = both[0]
    assert hanging.code == 1
    assert hanging.entries["hangs"]["status"] == "timed out"
    assert hanging.entries["hangs"]["error"]["cell"] == 3  # it was in the cell, not still starting
    assert "killed after 2 s of wall clock" in hanging.text
    assert hanging.text.endswith("notebooks: 0 passed, 0 failed, 1 timed out, 0 skipped\n")
    assert list(hanging.out.with_name("slow-tmp").iterdir()) == []
    assert hanging.nap not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "no code cell of its own ran"),
        ("skipped", "waits for a release (until 2999-01-01)"),
        ("expired", "the skip ended on 2020-01-01: waits for a release"),
        ("lax_check", "with the solution cleared: the check accepts it"),
        ("accepts", "wrong answer 'adds two': the check accepts it; right answer 'shifts what is no integer': the "),
        ("says_little", "wrong answer 'triples': the check's message does not say 'triple': 'double(2) should be 4"),
        ("wrong_solution", "AssertionError in cell 5"),
        ("exits_last", "DeadKernelError in cell 4"),
        ("kills_itself", "DeadKernelError in cell 4"),
        ("leaves", "cell 4 ended in an error; cells 6, 7 did not run"),
        ("passes_over", "cell 4 did not run"),
        ("not_json", "not a readable notebook: "),
        ("no_cells", "not a readable notebook: "),
        ("odd_metadata", "the metadata `onramp` is not an object"),
    ],
)
def test_reason(batch, name, reason):
    assert reason in batch.entries[name]["reason"]


def test_exercise_is_proven(batch):
    title = "Exercise 1: double a number (easy, 2 minutes)"
    (proof,) = batch.entries["passes"]["exercises"]
    assert (proof["title"], proof["problem"]) == (title, None)
    assert [(answer["mistake"], answer["problem"]) for answer in proof["wrong"]] == [
        ("adds three", None),
        ("returns nothing", None),
    ]
    assert proof["wrong"][1]["message"].endswith("double(2) should be 4, yours is None: multiply by two")
    assert "1/1 exercises proven, 2 wrong answers refused" in batch.text


def test_proof_wants_an_assertion_error_that_helps():
    def problem(name, message):
        return execute.problem_of(SimpleNamespace(ename=name, evalue=message))

    assert problem("AssertionError", "double(2) should be 4: multiply by two") is None
    assert "NameError" in problem("NameError", "name 'answer' is not defined")
    assert "too short" in problem("AssertionError", "wrong")
    assert execute.problem_of(None) == "the check accepts it" and execute.problem_of(None, None) is None
    assert "refuses it: add" in execute.problem_of(SimpleNamespace(ename="Wrong", evalue="add it to itself"), None)
    assert execute.problem_of(SimpleNamespace(ename="Wrong", evalue="multiply by two, always"), "BY TWO") is None
    assert "does not say" in execute.problem_of(SimpleNamespace(ename="Wrong", evalue="multiply by two, always"), "add")


def test_unchanged_notebook_is_reused_and_a_changed_one_is_not(tmp_path, capsys):
    path, arguments = tmp_path / "one.ipynb", ["--out", str(tmp_path / "out"), "--reuse", str(tmp_path / "one.ipynb")]
    reused = []
    for source in ("1", None, "2"):
        if source:
            nbformat.write(lesson(code(source)), path)
        assert run.main(arguments) == 0
        reused.append("reused" in capsys.readouterr().out)
    assert reused == [False, True, False]


class Ran:
    """Stands for a lesson's process: the lesson has run, or has failed, at once."""

    started, fails = 0, False

    def __init__(self, path, out, *_):
        type(self).started += 1
        self.cell, self.exercises = 0, []
        notebook = nbformat.read(path, as_version=4)
        for count, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                cell.execution_count = count
        nbformat.write(notebook, out)

    def wait(self, timeout, tick):
        return True

    def verdict(self):
        return ("failed", "an exercise is not proven", None) if self.fails else ("passed", "", None)


@pytest.fixture
def again(tmp_path, monkeypatch):
    """A function that runs a lesson, with reuse: whether it ran, and its entry. It has run once, and passed."""
    monkeypatch.setattr(run, "Run", type("Run", (Ran,), {}))
    path, out = tmp_path / "one.ipynb", tmp_path / "out"
    nbformat.write(lesson(code("1")), path)

    def again(*options):
        before = run.Run.started
        run.main(["--out", str(out), "--reuse", *options, str(path)])
        (entry,) = json.loads((out / "report.json").read_text())["notebooks"]
        assert entry["reused"] == (run.Run.started == before)
        return run.Run.started > before

    again.copy, again.report, again.data = out / "notebooks/one.ipynb", out / "report.json", tmp_path / "data"
    assert again()
    return again


def test_what_passed_is_reused_again_and_again(again):
    assert [again(), again()] == [False, False]


def test_other_parameters_or_data_make_it_run(again):
    data = "-p", "DATAROOT", str(again.data)
    assert [again("--fast"), again(*data), again(*data)] == [True, True, False]
    again.data.mkdir()
    (again.data / "minidrive.json").write_text("{}")
    assert [again(*data), again(*data)] == [True, False]


def test_a_changed_or_missing_executed_copy_makes_it_run(again):
    again.copy.write_text(again.copy.read_text() + " ")
    assert [again(), again()] == [True, False]
    again.copy.unlink()
    assert [again(), again()] == [True, False]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{}")])
def test_a_changed_or_missing_record_makes_it_run(again, monkeypatch, damage):
    records = again.report.with_name("records")
    records.mkdir()

    class Records(Ran):
        def wait(self, timeout, tick):
            for name in ("one", "two"):  # the other is of another lesson, which runs at the same time
                (records / f"{name}.json").write_text(json.dumps({"command": f"run notebooks/{name}.ipynb"}))
            return True

    monkeypatch.setattr(run, "Run", Records)
    assert [again("--fast"), again("--fast")] == [True, False]
    (records / "two.json").unlink()
    assert not again("--fast")
    damage(records / "one.json")
    assert [again("--fast"), again("--fast")] == [True, False]


def test_a_failure_is_never_reused(again):
    run.Run.fails = True
    assert [again("--fast"), again("--fast")] == [True, True]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: '{"notebooks": [3, {"notebook": []}]}',
        lambda text: text.replace('"exercises": []', '"exercises": 3'),
        lambda text: text.replace('"seconds"', '"second"'),
    ],
)
def test_a_damaged_report_makes_it_run(again, damage):
    again.report.write_text(damage(again.report.read_text()))
    assert [again(), again()] == [True, False]


def test_an_error_of_the_runner_costs_one_row(tmp_path, monkeypatch):
    class Broken(Ran):
        def wait(self, timeout, tick):
            if self.started == 1:
                raise OSError("no process can be started")
            return True

    monkeypatch.setattr(run, "Run", Broken)
    paths = [tmp_path / "one.ipynb", tmp_path / "two.ipynb"]
    for path in paths:
        nbformat.write(lesson(code("1")), path)
    assert run.main(["--out", str(tmp_path / "out"), *map(str, paths)]) == 1
    one, two = json.loads((tmp_path / "out/report.json").read_text())["notebooks"]
    assert (one["status"], two["status"]) == ("failed", "passed")
    assert one["reason"] == "the runner cannot run it: OSError: no process can be started"


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A function that runs three lessons, two at once, and interrupts them when both run; those that have ended.

    Its argument is called in each lesson's thread once that is told to stop.
    """
    both, ended = threading.Barrier(2), []

    def function(stopping):
        class Waiting(Ran):
            def wait(self, timeout, tick):
                if both.wait(HANG) == 0:
                    os.kill(os.getpid(), signal.SIGINT)
                try:
                    while True:
                        tick(1, 2)
                        time.sleep(0.01)
                finally:
                    stopping()
                    ended.append(self)

        monkeypatch.setattr(run, "Run", Waiting)
        paths = [tmp_path / f"{name}.ipynb" for name in ("one", "two", "three")]
        for path in paths:
            nbformat.write(lesson(code("1")), path)
        with pytest.raises(KeyboardInterrupt):
            run.main(["--out", str(tmp_path / "out"), "--jobs", "2", *map(str, paths)])
        assert list((tmp_path / "out/notebooks").iterdir()) == []
        return ended

    return function


def test_an_interrupt_ends_every_lesson_at_once(interrupted):
    assert len(interrupted(lambda: None)) == 2


def test_further_interrupts_leave_no_lesson_running(interrupted):
    assert len(interrupted(interrupt)) == 2


def test_an_interrupt_while_lessons_are_handed_out_begins_none(tmp_path, monkeypatch):
    class Interrupted(run.ThreadPoolExecutor):
        def submit(self, *work):
            super().submit(*work)
            time.sleep(0.2)  # time enough for the thread to begin
            raise KeyboardInterrupt

    began = type("Began", (Ran,), {})
    monkeypatch.setattr(run, "Run", began)
    monkeypatch.setattr(run, "ThreadPoolExecutor", Interrupted)
    nbformat.write(lesson(code("1")), tmp_path / "one.ipynb")
    with pytest.raises(KeyboardInterrupt):
        run.main(["--out", str(tmp_path / "out"), str(tmp_path / "one.ipynb")])
    assert began.started == 0


def test_lessons_at_once_share_the_cores_given(tmp_path, monkeypatch, capsys):
    threads = []

    class Threads(Ran):
        def __init__(self, path, out, parameters, answers, turns, environment):
            threads.append(int(environment["OMP_NUM_THREADS"]))
            assert environment["OMP_WAIT_POLICY"] == "passive"
            super().__init__(path, out)

    monkeypatch.setattr(run, "Run", Threads)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("ONRAMP_CORES", "")  # set back after the test
    monkeypatch.setattr(run.cores, "machine", lambda: 16)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)))
    monkeypatch.setattr(run.cores, "quota", lambda: None)
    nbformat.write(lesson(code("1")), tmp_path / "one.ipynb")
    for options in (["--cores", "6", "--jobs", "2"], ["--cores", "1", "--jobs", "4"]):
        assert run.main(["--out", str(tmp_path / "out"), *options, str(tmp_path / "one.ipynb")]) == 0
    assert threads == [3, 1]
    capsys.readouterr()
    with pytest.raises(BadInput, match="CORES"):
        run.main(["--cores", "few", str(tmp_path / "one.ipynb")])


def test_the_bar_is_shown_as_far_as_the_streams_encoding_goes():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    progress = run.Progress(1, stream)
    progress.live = True
    progress.tick("lesson.ipynb", 12, 12, 3.0)
    assert b"????????????" in stream.buffer.getvalue()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BadInput, match=str(tmp_path / "out")):
        run.main([str(ROOT / "notebooks/00_start_here.ipynb"), "--out", str(tmp_path / "out")])


def test_two_runs_into_one_folder_do_not_meet(tmp_path):
    out = tmp_path / "out"
    said = r"a run of lessons that another process is at[\s\S]*or pass another --out"
    with shared.alone(out / "notebooks", "a run of lessons", "wait"), pytest.raises(BadInput, match=said):
        run.main([str(ROOT / "notebooks/00_start_here.ipynb"), "--out", str(out)])
    assert list((out / "notebooks").iterdir()) == [] and not (out / "report.json").exists()


def test_a_process_that_runs_a_lesson_builds_no_grammar_of_addresses():
    what = "import sys, ci.lessons.execute; print(sys.modules['nbformat'] and sys.modules.get('rfc3987_syntax'))"
    assert subprocess.run([sys.executable, "-c", what], cwd=ROOT, capture_output=True, text=True).stdout == "None\n"


def test_no_notebooks_is_an_error(tmp_path):
    with pytest.raises(BadInput, match="no notebooks"):
        run.main(["--out", str(tmp_path / "out"), str(tmp_path)])


def test_skip_holds_through_its_last_day():
    notebook = lesson(onramp=skip("2026-05-01"))
    assert lessons.skip_status(notebook, datetime.date(2026, 5, 1))[0] == "skipped"
    assert lessons.skip_status(notebook, datetime.date(2026, 5, 2))[0] == "failed"
    for bad in (True, {"reason": "x"}, {"reason": "x", "until": "soon"}, {"reason": " ", "until": "2999-01-01"}):
        assert lessons.skip_status(lesson(onramp={"skip": bad}), datetime.date(2026, 5, 1))[0] == "failed"
    assert lessons.skip_status(lesson(), datetime.date(2026, 5, 1)) is None
