"""Size, kernel, parameters, outputs, skips."""

from datetime import date, timedelta

import pytest
from nbformat.v4 import new_markdown_cell

from ci.lessons.rules import form
from tests.ci.lessons.courses import breaches_of
from tests.ci.lessons.notebooks import code, skip


def added(*cells):
    def change(notebook):
        notebook.cells[3:3] = cells

    return change


def ran(notebook):
    notebook.cells[2].execution_count = 4


def few(notebook):
    del notebook.cells[3:20]


def other_kernel(notebook):
    notebook.metadata.kernelspec = {"name": "julia", "display_name": "Julia"}


def no_fast(notebook):
    notebook.cells[1].source = 'TIER = "cpu"\nDATAROOT = "data/minidrive"'


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        (added(new_markdown_cell("word " * 2600)), "words of prose (1200 to 2500)"),
        (few, "words of prose (1200 to 2500)"),
        (few, "19 cells (30 to 60)"),
        (added(*[code("1") for _ in range(30)]), "66 cells (30 to 60)"),
        (added(code("\n".join(f"x = {i}" for i in range(26)))), "cell 4: 26 lines of code"),
        (added(code(f"### BEGIN SOLUTION\n{'x = 1' + chr(10)}" * 13)), "cell 4: 26 lines of code"),
        (added(code("x = 1", "parameters")), "2 cells tagged 'parameters'"),
        (no_fast, "the parameters cell does not define FAST"),
        (added(code("plt.subplots(1, 2, figsize=(6.9, 3))")), "cell 4: a figure 6.9 inches wide (at most 6.8"),
        (added(code("1 / 0", "raises-exception")), "cell 4: is tagged raises-exception"),
        (ran, "cell 3: has outputs"),
        (other_kernel, "its kernel is not 'python3'"),
    ],
)
def test_lessons_of_another_form_are_told(tmp_path, change, breach):
    assert breach in "\n".join(breaches_of(tmp_path, change))


@pytest.mark.parametrize(
    ("days", "breach"),
    [(0, ""), (90, ""), (91, "longer than 90 days"), (500, "longer than 90 days"), (-1, "skip ended")],
)
def test_a_skip_ends_within_90_days(tmp_path, days, breach):
    def change(notebook):
        notebook.metadata["onramp"] = skip((today + timedelta(days=days)).isoformat())

    today = date(2026, 5, 1)
    found = breaches_of(tmp_path, change, today)
    assert len(found) == bool(breach) and breach in "".join(found)


def test_a_skip_without_a_reason_is_told(tmp_path):
    def change(notebook):
        notebook.metadata["onramp"] = {"skip": {"reason": " ", "until": "2999-01-01"}}

    assert breaches_of(tmp_path, change) == ["the skip gives no reason"]
    assert form.LONGEST_SKIP.days == 90
