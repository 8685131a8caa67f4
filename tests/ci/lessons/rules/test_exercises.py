"""Exercises, the project, and the files of wrong answers."""

import textwrap

import pytest
from nbformat.v4 import new_markdown_cell

from ci.lessons import check
from tests.ci.lessons.courses import EXERCISE, PROJECT, STUB, TASK, WRONG, breaches_of, exercise, replaced, written
from tests.ci.lessons.notebooks import code

TASK_AT, STUB_AT, CHECK_AT, ANSWER_AT, PROJECT_AT = 28, 29, 30, 31, 32
HINT = TASK[TASK.index("<details>") :]


def without(cell):
    return lambda notebook: notebook.cells.pop(cell) and None


def untagged(cell):
    def change(notebook):
        notebook.cells[cell].metadata.pop("tags")

    return change


def between(notebook):
    notebook.cells.insert(STUB_AT, code("x = 1"))


def more(notebook):
    notebook.cells += exercise("Exercise 2: once more (easy, 2 minutes)")


def none(notebook):
    del notebook.cells[TASK_AT:]


def project_first(notebook):
    notebook.cells[TASK_AT:] = notebook.cells[PROJECT_AT:] + notebook.cells[TASK_AT:PROJECT_AT]


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        (replaced(TASK_AT, "### Exercise", "## Exercise"), "cell 29: the task begins with '## Exercise 1"),
        (replaced(TASK_AT, "(easy, 2 minutes)", "(easy)"), "cell 29: the task begins with"),
        (replaced(TASK_AT, "### ", "Now you know.\n\n### "), "cell 29: the task begins with 'Now you know.'"),
        (replaced(TASK_AT, "Exercise 1", "Exercise 2"), "the exercises are numbered 2 (from 1 on)"),
        (replaced(TASK_AT, HINT, ""), "cell 29: 0 hints"),
        (replaced(TASK_AT, HINT, "\n\n".join([HINT] * 4)), "cell 29: 4 hints"),
        (replaced(TASK_AT, HINT, f"{HINT}\n\n<details><summary>More</summary>"), "a <details> that is no hint"),
        (between, "the cell before it is not the markdown of its task"),
        (replaced(STUB_AT, "def double(x):", "if x := 3:"), "cell 30: no function for the learner to fill"),
        (replaced(STUB_AT, '    """Twice x."""\n', ""), "cell 30: double has no docstring"),
        (replaced(STUB_AT, STUB, STUB + "\nx = ("), "cell 30: the cleared cell is no Python"),
        (replaced(STUB_AT, "### END SOLUTION", "### BEGIN SOLUTION"), "out of order"),
        (untagged(STUB_AT), "markers but no tag"),
        (replaced(STUB_AT, STUB, "def double(x):\n    return 2 * x"), "the tag but no markers"),
        (without(CHECK_AT), "no check after the exercise"),
        (replaced(CHECK_AT, "exercise.check(", "contextlib.nullcontext("), "cell 31: the check does not use"),
        (replaced(CHECK_AT, "Right. ", "OK. "), "cell 31: the check does not end with print"),
        (without(ANSWER_AT), "cell 31: after the check comes no markdown cell tagged 'answer'"),
        (untagged(ANSWER_AT), "cell 31: after the check comes no markdown cell tagged 'answer'"),
        (replaced(ANSWER_AT, "Why this is", "This is"), "cell 32: the answer does not begin"),
        (more, "1 projects (exactly one, '### Project: ...', after the other exercises)"),
        (project_first, "1 projects (exactly one"),
        (replaced(PROJECT_AT, "Project", "Exercise 2"), "0 projects (exactly one"),
        (replaced(PROJECT_AT, "40 minutes", "20 minutes"), "the project is (hard, 20 minutes)"),
        (replaced(PROJECT_AT, "40 minutes", "46 minutes"), "the project is (hard, 46 minutes)"),
        (replaced(PROJECT_AT, "(hard,", "(easy,"), "the project is (easy, 40 minutes)"),
        (none, "has no exercise"),
    ],
)
def test_exercises_of_another_form_are_told(tmp_path, change, breach):
    assert breach in "\n".join(breaches_of(tmp_path, change))


@pytest.mark.parametrize("minutes", [30, 45])
def test_a_project_may_take_30_to_45_minutes_and_be_a_class(tmp_path, minutes):
    def change(notebook):
        replaced(PROJECT_AT, "40 minutes", f"{minutes} minutes")(notebook)
        replaced(PROJECT_AT + 1, STUB, f'class Doubler:\n    """Doubles."""\n\n{textwrap.indent(STUB, "    ")}')(
            notebook
        )

    assert breaches_of(tmp_path, change) == []


def test_prose_may_follow_the_project(tmp_path):
    assert (
        breaches_of(tmp_path, lambda notebook: notebook.cells.append(new_markdown_cell("## You can now double"))) == []
    )


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        (WRONG, "", f"0 wrong answers for {EXERCISE!r} in 00_first.py (at least 4)"),
        ("Project: adds 3", "Exercise 1: adds 4", f"3 wrong answers for {PROJECT!r}"),
        ("Project: adds 3\n# says: two", "Project: adds 3\n# accepted", f"3 wrong answers for {PROJECT!r}"),
        ("Exercise 1: adds 3", "Exercise 7: adds 3", "'Exercise 7: adds 3' in 00_first.py belongs to no exercise"),
        ("# says: two", "# wants: two", "00_first.py: the cell '# %% Exercise 1: adds 0', then '# wants: two'"),
    ],
)
def test_wrong_answers_that_lack_are_told(tmp_path, old, new, breach):
    course = written(tmp_path)
    (tmp_path / "answers/00_first.py").write_text(WRONG.replace(old, new))
    assert breach in "\n".join(check.breaches(course.lessons[0], course))


def test_a_file_of_wrong_answers_that_is_absent_is_told(tmp_path):
    course = written(tmp_path)
    (tmp_path / "answers/00_first.py").unlink()
    assert len(list(check.breaches(course.lessons[0], course))) == 2
