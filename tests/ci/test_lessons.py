"""The scripts that run the lessons: the verdict on each kind of notebook, learner's copies, rules, set-up."""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import ANY

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ci.lessons import check as check_notebooks
from ci.lessons import execute as execute_notebook
from ci.lessons import learner
from ci.lessons import run as run_notebooks
from ci.lessons import site as build_site
from helpers import records
from helpers.errors import BadInput
from helpers.files import ROOT

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SOLUTION = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
CHECK = "assert double(2) == 4, f'double(2) should be 4, yours is {double(2)}: multiply by two'"
NAP = f"sleep {100_000 + os.getpid()}"  # no other process is called like this
SLEEPER = f"import subprocess, time\nsubprocess.Popen('{NAP}'.split())\ntime.sleep(1000)"


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


def lesson(*cells, title="A lesson", **metadata):
    parameters = code('TIER = "cpu"\nFAST = False\nDATAROOT = "data/minidrive"', "parameters")
    return new_notebook(
        cells=[new_markdown_cell(f"# {title}"), parameters, *cells], metadata={"kernelspec": KERNEL, **metadata}
    )


def exercise(solution=SOLUTION, check=CHECK):
    heading = new_markdown_cell("## Exercise 1: double a number (easy, 2 minutes)")
    return heading, code(solution, "exercise"), code(check, "check")


def skip(until):
    return {"skip": {"reason": "waits for a release", "until": until}}


NOTEBOOKS = {
    "passes": lesson(code("print('FAST is', FAST)"), *exercise(), code("assert double(3) == 6")),
    "fails": lesson(code("1 + 1"), code("def broken():\n    raise ValueError('nothing here')\nbroken()")),
    "dies": lesson(code("import os\nos._exit(3)")),
    "empty": lesson(new_markdown_cell("no code")),
    "skipped": lesson(code("1 / 0"), onramp=skip("2999-01-01")),
    "expired": lesson(code("1"), onramp=skip("2020-01-01")),
    "lax_check": lesson(*exercise(check="assert callable(double), 'double should be a function of x'")),
    "wrong_solution": lesson(*exercise(SOLUTION.replace("2 * x", "3 * x"))),
}


def start(notebooks, folder, *options):
    """Write the notebooks and start a run over them."""
    folder.mkdir()
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "ci.lessons.run", folder, "--out", f"{folder}-out", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def result(process, folder):
    """The end of a run: its exit code and output, its folder, and the report's entries by name."""
    text, out = process.communicate(timeout=200)[0], folder.with_name(f"{folder.name}-out")
    entries = json.loads((out / "report.json").read_text())["notebooks"]
    entries = {entry["notebook"].removesuffix(".ipynb"): entry for entry in entries}
    return SimpleNamespace(out=out, code=process.returncode, text=text, entries=entries)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """One run over a notebook that hangs, with little time, beside one over all NOTEBOOKS, with enough."""
    slow, folder = tmp_path_factory.mktemp("ci") / "slow", tmp_path_factory.mktemp("ci") / "notebooks"
    hanging = start({"hangs": lesson(code(SLEEPER))}, slow, "--timeout", "10")
    rest = start(NOTEBOOKS, folder, "--fast", "--prove-checks", "--timeout", "120", "--jobs", "2")
    return result(hanging, slow), result(rest, folder)


@pytest.fixture
def batch(both):
    return both[1]


def test_each_notebook_gets_its_own_verdict(batch):
    statuses = {name: entry["status"] for name, entry in batch.entries.items()}
    assert statuses == dict.fromkeys(NOTEBOOKS, "failed") | {
        "passes": "passed",
        "skipped": "skipped",
    }
    assert batch.code == 1
    assert batch.text.endswith("notebooks: 1 passed, 6 failed, 0 timed out, 1 skipped\n")


def test_executed_copy_has_outputs_and_the_fast_parameter(batch):
    executed = nbformat.read(batch.out / "notebooks/passes.ipynb", as_version=4)
    printed = [o.text for cell in executed.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    assert printed == ["FAST is True\n"]
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
    assert "killed after 10 s of wall clock" in hanging.text
    assert hanging.text.endswith("notebooks: 0 passed, 0 failed, 1 timed out, 0 skipped\n")
    assert NAP not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "no code cell of its own ran"),
        ("skipped", "waits for a release (until 2999-01-01)"),
        ("expired", "the skip ended on 2020-01-01: waits for a release"),
        ("lax_check", "the check passes although the solution is cleared"),
        ("wrong_solution", "AssertionError in cell 5"),
    ],
)
def test_reason(batch, name, reason):
    assert reason in batch.entries[name]["reason"]


def test_exercise_is_proven(batch):
    title = "Exercise 1: double a number (easy, 2 minutes)"
    assert batch.entries["passes"]["exercises"] == [{"title": title, "problem": None}]


def test_proof_wants_an_assertion_error_that_helps():
    def problem(name, message):
        return execute_notebook.problem_of_cleared(SimpleNamespace(ename=name, evalue=message))

    assert problem("AssertionError", "double(2) should be 4: multiply by two") is None
    assert "NameError" in problem("NameError", "name 'answer' is not defined")
    assert "too short" in problem("AssertionError", "wrong")
    assert "passes although" in execute_notebook.problem_of_cleared(None)


def test_pages(batch):
    records.write(records.record("speed", {"NDS": 0.25, "latency_ms_p50": 12.5}, "make run"), batch.out / "records")
    page = build_site.build(batch.out).read_text()
    assert page.count("✗ failed") == 6
    assert 'href="html/passes.html"' in page
    assert page.index("<h3>Accuracy</h3>") < page.index("0.25") < page.index("<h3>Latency</h3>") < page.index("12.5")
    assert "FAST is True" in (batch.out / "html/passes.html").read_text()
    assert not (batch.out / "html/skipped.html").exists()


def test_tables_of_figures_stay_narrow(tmp_path):
    """Runs with other figures each: their names go down the page, not across, and can be broken over lines."""
    timing = {f"{kind}_ms_{key}": 1.5 for kind in ("gpu", "host", "graph_gpu") for key in ("p50", "p99", "n")}
    other = {"latency_ms_p50": 2.5, "latency_ms_p90": 3.25, "latency_ms_mean_fp32": 4.5, "queue_p99": 0.1}
    parts = {f"type/Kind{k}_ms": 0.5 for k in range(30)} | {f"top_{k:02}_ms": 0.25 for k in range(30)}
    for name, figures in {"on_gpu": timing | {"build_seconds": 9.5}, "on_cpu": other, "profile": parts}.items():
        records.write(records.record(name, figures, "make run"), tmp_path)
    html = build_site.records_section("Recorded", "", tmp_path).replace("<wbr>", "")
    latency, others = re.findall(r"<table>.*?</table>", html)
    assert [cells(row) for row in latency.split("</tr>")[:-1]] == [
        ["run", "figure", "value or p50", "p90", "p99", "n", "device"],
        ["on_cpu", "latency_ms", "2.5", "3.25", "", "", ANY],
        ["", "latency_ms_mean_fp32", "4.5", "", "", "", ""],
        ["on_gpu", "gpu_ms", "1.5", "", "1.5", "1.5", ANY],
        ["", "host_ms", "1.5", "", "1.5", "1.5", ""],
        ["", "graph_gpu_ms", "1.5", "", "1.5", "1.5", ""],
        ["", "build_seconds", "9.5", "", "", "", ""],
    ]
    assert cells(others.split("</tr>")[0]) == ["run", "figure", "value or p50", "device"]
    assert others.count("<tr>") == 1 + len(parts) + 1
    assert "top_<wbr>01_<wbr>ms" in build_site.cell("top_01_ms") and "a/<wbr>b" in build_site.cell("a/b")


def cells(row):
    return re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", row)


def test_unchanged_notebook_is_reused_and_a_changed_one_is_not(tmp_path, capsys):
    path, arguments = tmp_path / "one.ipynb", ["--out", str(tmp_path / "out"), "--reuse", str(tmp_path / "one.ipynb")]
    reused = []
    for source in ("1", None, "2"):
        if source:
            nbformat.write(lesson(code(source)), path)
        assert run_notebooks.main(arguments) == 0
        reused.append("reused" in capsys.readouterr().out)
    assert reused == [False, True, False]


def test_no_notebooks_is_an_error(tmp_path, capsys):
    assert run_notebooks.main(["--out", str(tmp_path / "out"), str(tmp_path)]) == 2
    assert "no notebooks" in capsys.readouterr().err


def test_skip_holds_through_its_last_day():
    notebook = lesson(onramp=skip("2026-05-01"))
    assert run_notebooks.skip_status(notebook, datetime.date(2026, 5, 1))[0] == "skipped"
    assert run_notebooks.skip_status(notebook, datetime.date(2026, 5, 2))[0] == "failed"
    for bad in (True, {"reason": "x"}, {"reason": "x", "until": "soon"}, {"reason": " ", "until": "2999-01-01"}):
        assert run_notebooks.skip_status(lesson(onramp={"skip": bad}), datetime.date(2026, 5, 1))[0] == "failed"
    assert run_notebooks.skip_status(lesson(), datetime.date(2026, 5, 1)) is None


def test_clear_keeps_everything_outside_the_markers():
    cleared = learner.clear(f"{SOLUTION}\n\nprint(double)")
    assert cleared == "def double(x):\n    # your code here\n    ...\n\nprint(double)"
    for broken in (learner.BEGIN, learner.END, f"{learner.BEGIN}\n{learner.BEGIN}\n{learner.END}"):
        with pytest.raises(BadInput):
            learner.clear(broken)


def test_learner_copies_are_cleared_and_a_changed_one_is_kept(tmp_path):
    source, out = tmp_path / "notebooks", tmp_path / "copies"
    (source / "systems").mkdir(parents=True)
    notebook = lesson(*exercise())
    notebook.cells[1].outputs, notebook.cells[1].execution_count = [nbformat.v4.new_output("stream", text="x")], 1
    nbformat.write(notebook, source / "systems/one.ipynb")
    learner.write_copies(source, out)
    copy = nbformat.read(out / "systems/one.ipynb", as_version=4)
    assert "return 2 * x" not in nbformat.writes(copy)
    assert copy.cells[1].outputs == [] and copy.cells[1].execution_count is None
    assert learner.write_copies(source, out)[0][1] == "written"
    (out / "systems/one.ipynb").write_text("mine")
    assert learner.write_copies(source, out)[0][1].startswith("kept")
    assert (out / "systems/one.ipynb").read_text() == "mine"
    assert learner.write_copies(source, out, force=True)[0][1] == "written"


@pytest.mark.parametrize(
    ("cells", "breach"),
    [
        ([code("1"), new_markdown_cell("word " * 1801)], "words of prose"),
        ([code("\n".join(f"x = {i}" for i in range(26)))], "26 lines of code"),
        ([code("x = 1", "parameters")], "2 cells tagged 'parameters'"),
        ([code("%pip install torch")], "installs packages"),
        ([code("1 / 0", "raises-exception")], "raises-exception"),
        ([code(SOLUTION)], "markers but no tag"),
        ([code("x = 1", "exercise")], "the tag but no markers"),
        ([exercise()[1], code("1")], "no check after the exercise"),
        ([new_markdown_cell("## Exercise 1"), *exercise()[1:]], "the heading 'Exercise 1' is not"),
    ],
)
def test_rules_of_lessons_catch(cells, breach):
    assert breach in "\n".join(check_notebooks.breaches(lesson(*cells)))


def test_a_lesson_that_keeps_the_rules_has_no_breach():
    cells = [new_markdown_cell("some plain words here " * 8) for _ in range(40)]
    assert list(check_notebooks.breaches(lesson(*cells, *exercise()))) == []
    with_output = lesson(*cells, *exercise(), code("1"))
    with_output.cells[-1].execution_count = 4
    assert len(list(check_notebooks.breaches(with_output))) == 1


FAKE_PYTHON = """#!/bin/bash
# Stands for Python 3.11 and its pip: notes what it is asked, and knows torch only from the CPU index.
echo "$*" >> "$CALLS"
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *--index-url*) ;;
    *"torch=="*) echo "ERROR: No matching distribution found for torch"; exit 1 ;;
esac
"""


def set_up(tmp_path, python=None):
    """Run a copy of ci/setup/cpu.sh on a PATH that has no Python; (exit code, output, the calls of the fake Python)."""
    for name in ("ci/setup/cpu.sh", "requirements/cpu.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for tool in ("bash", "cat", "cmp", "cp", "dirname", "grep", "mkdir", "mktemp", "rm", "tee", "uname"):
        if not (tools / tool).exists():
            (tools / tool).symlink_to(shutil.which(tool))
    calls = tmp_path / "calls"
    calls.write_text("")
    environment = {"PATH": str(tools), "CALLS": str(calls), "PYTHON": str(python or "")}
    done = subprocess.run(
        ["ci/setup/cpu.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=20
    )
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()


def test_set_up_without_python_says_what_to_do(tmp_path):
    status, text, _ = set_up(tmp_path)
    assert status == 1
    assert "Python 3.11 was not found" in text and "apt install python3.11" in text


def test_set_up_takes_torch_from_the_cpu_index_only_if_need_be_and_runs_once(tmp_path):
    python = tmp_path / "fake"
    python.write_text(FAKE_PYTHON)
    os.chmod(python, 0o755)
    status, text, calls = set_up(tmp_path, python)
    assert status == 0, text
    torch = [call for call in calls if "torch==" in call]
    assert len(torch) == 2 and "--index-url https://download.pytorch.org/whl/cpu" in torch[1]
    assert any("--no-deps -r requirements/cpu.txt" in call for call in calls)
    assert not any("install" in call for call in set_up(tmp_path, python)[2])
    (tmp_path / ".venv/installed-from").write_text("another lock")
    assert any("install" in call for call in set_up(tmp_path, python)[2])


def test_lock_is_exact_and_has_no_cuda():
    pins = [line for line in (ROOT / "requirements/cpu.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    names = [line.split("==")[0] for line in pins]
    assert names == sorted(set(names))
    assert not [name for name in names if name.startswith(("nvidia-cu", "cuda", "triton"))]
