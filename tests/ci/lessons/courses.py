"""A small course that keeps every rule, and changes to it that break one."""

import nbformat
from nbformat.v4 import new_markdown_cell

from ci.lessons import check
from ci.lessons.rules import course_of
from tests.ci.lessons.notebooks import KERNEL, code, lesson

HEADER = """# {title}

**The claim: a number can be doubled,
and it is shown.**

| | |
|---|---|
| You need | nothing |
| Tier | `cpu`; the same on `gpu` |
| To read | 25 minutes |
| To run | under 2 minutes on two CPU cores; the same on a GPU |
| Previous | {previous} |
| Next | {following} |"""
TASK = """### {title}

Return twice the number.

<details><summary>Hint 1</summary>

Two times.

</details>"""
STUB = '''def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION'''
CHECK = """with exercise.check(double, returns=float) as yours:
    assert yours(2) == 4, "multiply by two"
print("Right. Two times two is four.")"""
ANSWER = "<details><summary>Why this is the answer</summary>\n\nTwice is two times.\n\n</details>"
EXERCISE, PROJECT = "Exercise 1: double a number (easy, 2 minutes)", "Project: double a network (hard, 40 minutes)"
WRONG = "".join(
    f"# %% {name}: adds {n}\n# says: two\ndef double(x):\n    return x + {n}\n\n"
    for name in ("Exercise 1", "Project")
    for n in range(4)
)


def exercise(title=EXERCISE):
    answer = new_markdown_cell(ANSWER, metadata={"tags": ["answer"]})
    return [new_markdown_cell(TASK.format(title=title)), code(STUB, "exercise"), code(CHECK, "check"), answer]


def good(title, previous="none", following="none"):
    """A lesson: header, parameters, 25 cells of prose, an exercise, a project."""
    prose = [new_markdown_cell("A plain word stands here. " * 10) for _ in range(25)]
    made = lesson(code("import math"), *prose, *exercise(), *exercise(PROJECT))
    made.cells[0].source = HEADER.format(title=title, previous=previous, following=following)
    made.metadata["kernelspec"] = KERNEL
    return made


def written(folder, change=None, today=None):
    """Write two lessons that keep the rules; `change` may break the first. The course, as it is on a day."""
    lessons = folder / "notebooks"
    (lessons / "systems").mkdir(parents=True)
    first = good("The first", following="[BEVFormer](systems/bevformer.ipynb)")
    if change:
        first = change(first) or first
    nbformat.write(first, lessons / "00_first.ipynb")
    system = good("BEVFormer", previous="[The first](../00_first.ipynb)")
    nbformat.write(system, lessons / "systems/bevformer.ipynb")
    answers = folder / "answers"
    (answers / "systems").mkdir(parents=True)
    for name in ("00_first", "systems/bevformer"):
        (answers / f"{name}.py").write_text(WRONG)
    return course_of(lessons, answers, today)


def breaches_of(folder, change=None, today=None):
    """What is wrong with the first lesson after the change."""
    course = written(folder, change, today)
    return list(check.breaches(course.lessons[0], course))


def replaced(cell, old, new):
    """A change: in the source of one cell."""

    def change(notebook):
        assert old in notebook.cells[cell].source
        notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)

    return change
