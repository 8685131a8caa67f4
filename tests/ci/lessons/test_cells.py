"""Whether the executed copy of a lesson shows that the whole lesson ran."""

import copy

import pytest
from nbformat.v4 import new_output

from ci.lessons.cells import shortfall
from tests.ci.lessons.notebooks import code, lesson

LESSON = lesson(code("1"), code(" \n"), code("# no statement"), code("2"))  # cells 3 to 6; cell 2 sets parameters


def executed(**counts):
    """The lesson as papermill leaves it: with its own cell after the parameters, and these execution counts."""
    ran = copy.deepcopy(LESSON)
    for number, count in ({"c2": 1, "c3": 3, "c4": None, "c5": 4, "c6": 9} | counts).items():
        ran.cells[int(number[1:]) - 1].execution_count = count
    ran.cells.insert(2, code("FAST = True", "injected-parameters"))
    return ran


def test_a_whole_run_has_no_shortfall():
    assert shortfall(LESSON, executed()) == ""


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"c6": None}, "cell 6 did not run"),
        ({"c3": None, "c5": None}, "cells 3, 5 did not run"),
        ({"c2": None}, "cell 2 did not run"),
        ({"c5": 3}, "cell 5 ran out of order"),
        ({"c5": 1, "c6": 2}, "cell 5 ran out of order"),
    ],
)
def test_what_is_missing_is_named(counts, text):
    assert shortfall(LESSON, executed(**counts)) == text


def test_an_error_that_is_shown_counts_whatever_the_kernel_says():
    ran = executed()
    ran.cells[6].outputs = [new_output("error", ename="SystemExit", evalue="0", traceback=[])]
    assert shortfall(LESSON, ran) == "cell 6 ended in an error"


def test_cells_of_another_lesson_do_not_count():
    other = executed()
    other.cells[6].source = "3"
    assert "does not hold the cells" in shortfall(LESSON, other)
    assert "does not hold the cells" in shortfall(LESSON, lesson())
    assert shortfall(lesson(), lesson()) == "no code cell of its own ran"
