"""Small lessons for the tests, and runs over them."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.files import ROOT
from tests.builders.waiting import HANG

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SOLUTION = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
CHECK = "assert double(2) == 4, f'double(2) should be 4, yours is {double(2)}: multiply by two'"
NAP = f"sleep {100_000 + os.getpid()}"  # no other process is called like this
# A run whose clock starts when the cell begins: how long a kernel takes to start is another matter.
FROM_ITS_CELL = """
import sys, time
from ci.lessons import run
class Started(run.Run):
    def wait(self, timeout, tick):
        while self.cell < 3 and self.process.poll() is None:
            time.sleep(0.1)
        return super().wait(timeout, tick)
run.Run = Started
sys.exit(run.processes.program(run.main))
"""
SLEEPER = f"import subprocess, tempfile, time\ntempfile.mkstemp()\nsubprocess.Popen('{NAP}'.split())\ntime.sleep(1000)"


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


WRONG_ANSWERS = {
    "passes": """# %% Exercise 1: adds three
# says: multiply
def double(x):
    return x + 3

# %% Exercise 1: returns nothing
# says: multiply
def double(x):
    2 * x

# %% Exercise 1: adds itself
# accepted
def double(x):
    return x + x
""",
    "accepts": """# %% Exercise 1: adds two
# says: multiply
def double(x):
    return x + 2

# %% Exercise 1: shifts what is no integer
# accepted
def double(x):
    return float(x) << 1
""",
    "says_little": "# %% Exercise 1: triples\n# says: triple\ndef double(x):\n    return 3 * x\n",
}
NOTEBOOKS = {
    "passes": lesson(
        code("import gc\nprint('FAST is', FAST, gc.get_threshold())"), *exercise(), code("assert double(3) == 6")
    ),
    "fails": lesson(code("1 + 1"), code("def broken():\n    raise ValueError('nothing here')\nbroken()")),
    "dies": lesson(code("import os\nos._exit(3)")),
    "exits_last": lesson(code("1"), code("import os\nos._exit(0)")),
    "kills_itself": lesson(code("1"), code("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")),
    "leaves": lesson(code("import sys"), code("sys.exit(0)"), new_markdown_cell("so far"), code("2"), code("3")),
    "passes_over": lesson(code("1"), code("2", "skip-execution"), code("3"), code(" \n")),
    "not_json": '{"cells": [',
    "no_cells": '{"metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "odd_metadata": lesson(code("1"), onramp=["skip"]),
    "empty": lesson(new_markdown_cell("no code")),
    "skipped": lesson(code("1 / 0"), onramp=skip("2999-01-01")),
    "expired": lesson(code("1"), onramp=skip("2020-01-01")),
    "lax_check": lesson(*exercise(check="assert callable(double), 'double should be a function of x'")),
    "accepts": lesson(*exercise()),
    "says_little": lesson(*exercise()),
    "wrong_solution": lesson(*exercise(SOLUTION.replace("2 * x", "3 * x"))),
}


def start(notebooks, folder, *options, program=("-m", "ci.lessons.run")):
    """Write the notebooks and start a run over them."""
    folder.mkdir()
    for name, notebook in notebooks.items():
        path = folder / f"{name}.ipynb"
        path.write_text(notebook if isinstance(notebook, str) else nbformat.writes(notebook))
    answers = folder.with_name(f"{folder.name}-answers")
    answers.mkdir()
    for name, text in WRONG_ANSWERS.items():
        (answers / f"{name}.py").write_text(text)
    (temporary := folder.with_name(f"{folder.name}-tmp")).mkdir()
    variables = os.environ | {"TMPDIR": str(temporary)}
    command = [sys.executable, *program, folder, "--out", f"{folder}-out", *options]
    command += ["--wrong-answers", answers]
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)


def result(process, folder):
    """The end of a run: its exit code and output, its folder, and the report's entries by name."""
    text, out = process.communicate(timeout=10 * HANG)[0], folder.with_name(f"{folder.name}-out")
    entries = json.loads((out / "report.json").read_text())["notebooks"]
    entries = {entry["notebook"].removesuffix(".ipynb"): entry for entry in entries}
    return SimpleNamespace(out=out, code=process.returncode, text=text, entries=entries)
