"""Executes one notebook through papermill and reports each step as a line of JSON on standard output.

Run by ci.lessons.run, which holds the clock. With `--prove-checks` every exercise is first run with its solution
cleared, in the same kernel: its check must then fail with an AssertionError whose message helps. After that the
solution runs, and the check must pass.
"""

import argparse
import json
import os
import re
import sys

import nbformat
import papermill
from nbclient.exceptions import CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from ci.lessons.learner import clear, exercises

LEAST_MESSAGE = 20  # characters of help in a failing check
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def problem_of_cleared(error):
    """What is wrong with the error that a check raised on the cleared exercise; None if it is as it should be."""
    if error is None:
        return "the check passes although the solution is cleared"
    if error.ename != "AssertionError":
        return f"the check raises {error.ename} on the cleared exercise, expected AssertionError: {error.evalue}"
    if len(error.evalue.strip()) < LEAST_MESSAGE:
        return f"the check's message is too short to help: {error.evalue.strip()!r}"
    return None


class ReportingClient(PapermillNotebookClient):
    """Reports every cell before it runs, and proves the exercises if asked to."""

    report = staticmethod(print)
    prove_checks = False

    def execute_cell(self, cell, index):
        injected = [i for i, c in enumerate(self.nb.cells) if "injected-parameters" in c.metadata.get("tags", [])]
        number = index + 1 - sum(i <= index for i in injected)  # as in the lesson, without papermill's own cell
        self.report(event="cell", cell=number, of=len(self.nb.cells) - len(injected))
        if self.prove_checks:
            for exercise, check, title in exercises(self.nb):
                if exercise == index:
                    self.report(event="exercise", title=title, problem=self.prove(exercise, check))
        return super().execute_cell(cell, index)

    def prove(self, exercise, check):
        """What is wrong with an exercise and its check when the solution is cleared; None if nothing is."""
        error = self.error_of(exercise, clear(self.nb.cells[exercise].source))
        if error is not None:
            return f"the cleared cell itself raises {error.ename}: {error.evalue}"
        return problem_of_cleared(self.error_of(check, self.nb.cells[check].source))

    def error_of(self, index, source):
        """Run `source` in the place of a cell, leave the cell as it was, and return the error or None."""
        original = self.nb.cells[index]
        try:
            super().execute_cell(nbformat.v4.new_code_cell(source), index)
        except CellExecutionError as error:
            return error
        finally:
            self.nb.cells[index] = original
        return None


class ReportingEngine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **options):
        options = {key: value for key, value in options.items() if key in ("timeout", "iopub_timeout")}
        return ReportingClient(nb_man, kernel_name=kernel_name, **options).execute()


def executed_cells(notebook):
    """How many code cells of the lesson's own have run; the parameters do not count."""
    own = (c for c in notebook.cells if c.cell_type == "code")
    own = (c for c in own if not {"parameters", "injected-parameters"} & set(c.metadata.get("tags", [])))
    return sum(c.execution_count is not None for c in own)


def describe(error):
    """The error as a dict: its name, message and the last lines of its traceback, without colors."""
    traceback = [line for text in getattr(error, "traceback", []) or [] for line in ANSI.sub("", text).splitlines()]
    return {
        "name": getattr(error, "ename", type(error).__name__),
        "message": ANSI.sub("", str(getattr(error, "evalue", error))),
        "traceback": [line for line in traceback if line.strip()][-8:],
    }


def execute(path, out, parameters, prove_checks, report):
    """Run the notebook, write the executed copy to `out` even when it fails, and report the end as a `done` event."""
    ReportingClient.report, ReportingClient.prove_checks = staticmethod(report), prove_checks
    papermill_engines.register("reporting", ReportingEngine)
    error = None
    try:
        papermill.execute_notebook(
            path, out, parameters, engine_name="reporting", kernel_name="python3", progress_bar=False
        )
    except Exception as caught:
        error = caught
    executed = executed_cells(nbformat.read(out, as_version=4)) if os.path.exists(out) else 0
    report(event="done", executed=executed, error=describe(error) if error else None)


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.lessons.execute", description=__doc__)
    parser.add_argument("notebook")
    parser.add_argument("out", help="where the executed copy goes")
    parser.add_argument("--parameters", type=json.loads, default={}, help="JSON")
    parser.add_argument("--prove-checks", action="store_true")
    arguments = parser.parse_args(argv)
    events = os.fdopen(os.dup(1), "w", buffering=1)  # ours alone: what anything else prints goes to standard error
    os.dup2(2, 1)

    def report(**event):
        events.write(json.dumps(event) + "\n")

    execute(arguments.notebook, arguments.out, arguments.parameters, arguments.prove_checks, report)


if __name__ == "__main__":
    sys.exit(main())
