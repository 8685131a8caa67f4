"""Executes one notebook through papermill and reports each step as a line of JSON on standard output.

Run by ci.lessons.run, which holds the clock. With `--prove-checks` every exercise is first run with its solution
cleared, in the same kernel: its check must then fail with an AssertionError whose message helps. The same holds for
each of the typical wrong answers (ci.lessons.wrong), whose message must name the mistake. Other right answers that
stand beside them must pass, and last the solution. With `--turns` the cells take turns with those of other lessons
(helpers.turns): one tagged `timed` runs while no cell of another lesson does.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from ci.lessons import wrong
from ci.lessons.cells import TIMED, tags
from ci.lessons.learner import clear, exercises
from helpers.errors import full
from helpers.turns import VARIABLE, Turns

REFUSALS = ("AssertionError", "Wrong")  # Wrong is the AssertionError of helpers.exercise
# What a lesson imports stays. To look for garbage in it as often as Python does takes up to a tenth of a lesson's time.
SELDOM = 50_000, 20, 100
LATE = 60  # seconds that a cell's output may come after its end, on a machine that is busy
LEAST_MESSAGE = 20  # characters of help in a failing check
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def problem_of(error, says=""):
    """What is wrong with the error that a check raised on an answer; None if it is as it should be.

    Args:
        says: what the message must match; None for an answer that is right.
    """
    if says is None:
        return error and f"the check refuses it: {error.evalue.strip()}"
    if error is None:
        return "the check accepts it"
    if error.ename not in REFUSALS:
        return f"the check raises {error.ename}, expected AssertionError: {error.evalue}"
    if len(error.evalue.strip()) < LEAST_MESSAGE:
        return f"the check's message is too short to help: {error.evalue.strip()!r}"
    if not re.search(says, error.evalue, re.IGNORECASE):
        return f"the check's message does not say {says!r}: {error.evalue.strip()!r}"
    return None


class ReportingClient(PapermillNotebookClient):
    """Reports every cell before it runs, and proves the exercises if asked to."""

    report = staticmethod(print)
    answers = None  # the wrong answers; None leaves the checks unproven
    turns = None  # those of a lesson that runs beside others

    def execute_cell(self, cell, index):
        injected = [i for i, c in enumerate(self.nb.cells) if "injected-parameters" in c.metadata.get("tags", [])]
        number = index + 1 - sum(i <= index for i in injected)  # as in the lesson, without papermill's own cell
        self.report(event="cell", cell=number, of=len(self.nb.cells) - len(injected))
        if self.answers is not None:
            for exercise, check, title in exercises(self.nb):
                if exercise == index:
                    self.report(event="exercise", title=title, **self.prove(exercise, check, title))
        return self.in_turn(cell, index)

    def in_turn(self, cell, index):
        """Run `cell` in the place of the one at `index`, alone if that one is timed."""
        if self.turns and cell.cell_type == "code":
            self.turns.take(TIMED in tags(self.nb.cells[index]))
        return super().execute_cell(cell, index)

    def prove(self, exercise, check, title):
        """How the check meets the cleared exercise and the wrong answers: {"problem": text or None, "wrong": [...]}."""
        problem = self.refusal(exercise, check, clear(self.nb.cells[exercise].source))["problem"]
        if problem:
            return {"problem": f"with the solution cleared: {problem}", "wrong": []}
        refusals, problems = [], []
        for answer in wrong.of_exercise(self.answers, title):
            met = self.refusal(exercise, check, answer.source, answer.says)
            kind = "right" if answer.says is None else "wrong"
            problems += [f"{kind} answer '{answer.mistake}': {met['problem']}"] if met["problem"] else []
            refusals += [{"mistake": answer.mistake, **met}] if kind == "wrong" else []
        return {"problem": "; ".join(problems) or None, "wrong": refusals}

    def refusal(self, exercise, check, source, says=""):
        """How the check meets this source in the place of the exercise: {"message": ..., "problem": text or None}."""
        error = self.error_of(exercise, source)
        if error is not None:
            return {"message": "", "problem": f"the cell itself raises {error.ename}: {error.evalue}"}
        error = self.error_of(check, self.nb.cells[check].source)
        return {"message": ANSI.sub("", error.evalue).strip() if error else "", "problem": problem_of(error, says)}

    def error_of(self, index, source):
        """Run `source` in the place of a cell, leave the cell as it was, and return the error or None."""
        original = self.nb.cells[index]
        try:
            self.in_turn(nbformat.v4.new_code_cell(source), index)
        except CellExecutionError as error:
            return error
        finally:
            self.nb.cells[index] = original
        return None


class ReportingEngine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **options):
        turns = ReportingClient.turns
        environment = os.environ | {VARIABLE: turns.variable() if turns else ""}
        descriptors = turns.descriptors if turns else ()
        begin = [f"--IPKernelApp.exec_lines=__import__('gc').set_threshold{SELDOM}"]
        client = ReportingClient(nb_man, kernel_name=kernel_name, iopub_timeout=LATE, extra_arguments=begin)
        return client.execute(env=environment, pass_fds=descriptors)


def describe(error):
    """The error as a dict: its name, message and the last lines of its traceback, without colors."""
    traceback = [line for text in getattr(error, "traceback", []) or [] for line in ANSI.sub("", text).splitlines()]
    return {
        "name": getattr(error, "ename", type(error).__name__),
        "message": ANSI.sub("", str(getattr(error, "evalue", error))),
        "traceback": [line for line in traceback if line.strip()][-8:],
    }


def execute(path, out, parameters, report, answers=None, turns=None):
    """Run the notebook, write the executed copy to `out` even when it fails, and report the end as a `done` event."""
    ReportingClient.report, ReportingClient.answers, ReportingClient.turns = staticmethod(report), answers, turns
    papermill_engines.register("reporting", ReportingEngine)
    error = None
    try:
        papermill.execute_notebook(
            path, out, parameters, engine_name="reporting", kernel_name="python3", progress_bar=False
        )
    except Exception as caught:
        error = caught
        if isinstance(caught, OSError) and full(caught):  # the copy itself, which is cut off
            Path(out).unlink(missing_ok=True)
    report(event="done", error=describe(error) if error else None)


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.lessons.execute", description=__doc__)
    parser.add_argument("notebook")
    parser.add_argument("out", help="where the executed copy goes")
    parser.add_argument("--parameters", type=json.loads, default={}, help="JSON")
    parser.add_argument("--prove-checks", type=Path, metavar="ANSWERS", help="with these, a file of ci.lessons.wrong")
    parser.add_argument("--turns", type=Path, help="folder that the lessons which run at the same time share")
    arguments = parser.parse_args(argv)
    events = os.fdopen(os.dup(1), "w", buffering=1)  # ours alone: what anything else prints goes to standard error
    os.dup2(2, 1)

    def report(**event):
        events.write(json.dumps(event) + "\n")

    answers = wrong.read(arguments.prove_checks) if arguments.prove_checks else None
    turns = Turns(arguments.turns) if arguments.turns else None
    execute(arguments.notebook, arguments.out, arguments.parameters, report, answers, turns)


if __name__ == "__main__":
    sys.exit(main())
