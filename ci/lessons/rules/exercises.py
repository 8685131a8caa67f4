"""Exercises: heading, hints, a function to fill, a check, an answer; wrong answers; one project, which comes last."""

import ast
import re

from ci.lessons import wrong
from ci.lessons.learner import clear, exercises
from helpers.errors import BadInput

TITLE = re.compile(r"(Exercise (\d+)|Project): \S.* \((easy|medium|hard), (\d+) minutes\)")
WANTED = "'### Exercise N: title (easy|medium|hard, N minutes)', or '### Project: ...'"
HINT = re.compile(r"^<details>\s*<summary>Hint(?: \d)?</summary>.+?</details>", re.DOTALL | re.MULTILINE)
ANSWER = re.compile(r"^<details>\s*<summary>Why this is the answer</summary>.+?</details>", re.DOTALL | re.MULTILINE)
MOST_HINTS = 3
PROJECT_MINUTES = range(30, 46)
LEAST_WRONG_ANSWERS = 4


def task_breaches(cell):
    """The markdown cell: heading, task, folded hints."""
    first = cell.source.split("\n")[0].rstrip()
    if not first.startswith("### ") or not TITLE.fullmatch(first[4:]):
        yield f"the task begins with {first[:80]!r} (wanted: {WANTED})"
    hints = len(HINT.findall(cell.source))
    if not 1 <= hints <= MOST_HINTS:
        yield f"{hints} hints (one to three, each '<details><summary>Hint 1</summary> ... </details>')"
    if cell.source.count("<details") != hints:
        yield "a <details> that is no hint, or is not closed, in the task"


def stub_breaches(cell, project):
    """The exercise's cell: functions (in a project classes too) with docstrings, and a cleared copy that is Python."""
    try:
        tree = ast.parse(clear(cell.source))
    except SyntaxError as error:
        yield f"the cleared cell is no Python: {error}"
        return
    kinds = (ast.FunctionDef, ast.ClassDef) if project else ast.FunctionDef
    found = [node for node in tree.body if isinstance(node, kinds)]
    if not found:
        yield f"no function{' or class' if project else ''} for the learner to fill"
    yield from (f"{node.name} has no docstring" for node in found if not ast.get_docstring(node))


def check_breaches(cell):
    if "exercise.check(" not in cell.source:
        yield "the check does not use 'with exercise.check(function) as yours:'"
    if not re.search(r"^ *print\(\s*f?[\"']Right\. ", cell.source, re.MULTILINE):
        yield 'the check does not end with print("Right. ...")'


def four_cells(notebook, index, title):
    """The breaches of the four cells around the exercise's at `index`, each with the number of its cell."""
    cells, heading = notebook.cells, index - 1
    if cells[heading].cell_type != "markdown":
        yield index + 1, "the cell before it is not the markdown of its task"
    else:
        yield from ((heading + 1, text) for text in task_breaches(cells[heading]))
    project = title.startswith("Project")
    yield from ((index + 1, text) for text in stub_breaches(cells[index], project))
    yield from ((index + 2, text) for text in check_breaches(cells[index + 1]))
    answer = cells[index + 2] if index + 2 < len(cells) else None
    if answer is None or answer.cell_type != "markdown" or "answer" not in answer.metadata.get("tags", []):
        yield index + 2, "after the check comes no markdown cell tagged 'answer'"
    elif not ANSWER.match(answer.source):
        yield index + 3, "the answer does not begin '<details><summary>Why this is the answer</summary>'"


def title_breaches(titles):
    """The exercises together: numbered from 1, then exactly one project of 30 to 45 minutes."""
    parsed = [TITLE.fullmatch(title) for title in titles]
    numbers = [int(found[2]) for found in parsed if found and found[2]]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the exercises are numbered {', '.join(map(str, numbers))} (from 1 on)"
    projects = [found for found in parsed if found and found[1] == "Project"]
    if len(projects) != 1 or not parsed[-1] or parsed[-1][1] != "Project":
        yield f"{len(projects)} projects (exactly one, '### Project: ...', after the other exercises)"
    for project in projects:
        if int(project[4]) not in PROJECT_MINUTES or project[3] != "hard":
            yield f"the project is ({project[3]}, {project[4]} minutes) (wanted: hard, 30 to 45 minutes)"


def answer_breaches(titles, path):
    """The file of wrong answers: at least four for each exercise, none for another."""
    try:
        answers = wrong.read(path)
    except BadInput as error:
        yield f"{error.where}: {error.found} (expected {error.expected})"
        return
    for title in titles:
        count = sum(answer.says is not None for answer in wrong.of_exercise(answers, title))
        if count < LEAST_WRONG_ANSWERS:
            yield f"{count} wrong answers for {title!r} in {path.name} (at least {LEAST_WRONG_ANSWERS})"
    for answer in answers:
        if not any(wrong.of_exercise([answer], title) for title in titles):
            yield f"the wrong answer '{answer.exercise}: {answer.mistake}' in {path.name} belongs to no exercise"


def breaches(lesson, course):
    try:
        found = exercises(lesson.notebook)
    except BadInput as error:
        yield f"{error.where}: {error.found} (expected {error.expected})"
        return
    if not found:
        yield "has no exercise"
        return
    for index, _, title in found:
        yield from (f"cell {number}: {text}" for number, text in four_cells(lesson.notebook, index, title))
    titles = [title for _, _, title in found]
    yield from title_breaches(titles)
    yield from answer_breaches(titles, wrong.file_of(lesson.name, course.answers))
