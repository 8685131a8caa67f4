"""Size, kernel, parameters, outputs, and how long a lesson may be skipped."""

import re
from datetime import timedelta

from ci.lessons.lesson import defined_parameters, skip_status
from ci.lessons.markdown import words_of
from helpers.display.style import WIDEST

CELLS = (30, 60)
WORDS = (1200, 2500)
MOST_CODE_LINES = 25
PARAMETERS = {"TIER", "FAST", "DATAROOT"}
LONGEST_SKIP = timedelta(days=90)
WIDTH = re.compile(r"figsize=\(([\d.]+)")


def cell_breaches(cell):
    lines = [line for line in cell.source.splitlines() if line.strip()]
    if len(lines) > MOST_CODE_LINES:
        yield f"{len(lines)} lines of code (at most {MOST_CODE_LINES})"
    for width in WIDTH.findall(cell.source):
        if float(width) > WIDEST:
            yield f"a figure {width} inches wide (at most {WIDEST}: a page shrinks a wider one and its letters)"
    if cell.outputs or cell.execution_count is not None:
        yield "has outputs (commit lessons without: jupyter nbconvert --clear-output --inplace FILE)"
    if "raises-exception" in cell.metadata.get("tags", []):
        yield "is tagged raises-exception (papermill fails on it; catch the error and show it instead)"


def parameter_breaches(notebook):
    tagged = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells tagged 'parameters' (exactly one)"
    elif missing := PARAMETERS - set(defined_parameters(notebook)):
        yield f"the parameters cell does not define {', '.join(sorted(missing))}"


def skip_breaches(notebook, today):
    found, later = skip_status(notebook, today), skip_status(notebook, today + LONGEST_SKIP + timedelta(days=1))
    if found and found[0] == "failed":
        yield found[1]
    elif found and later[0] == "skipped":
        yield f"is skipped for longer than {LONGEST_SKIP.days} days: {found[1]}"


def breaches(lesson, course):
    notebook = lesson.notebook
    markdown = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for what, count, (least, most) in (
        ("words of prose", words_of(markdown), WORDS),
        ("cells", len(notebook.cells), CELLS),
    ):
        if not least <= count <= most:
            yield f"{count} {what} ({least} to {most})"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "its kernel is not 'python3'"
    yield from parameter_breaches(notebook)
    yield from skip_breaches(notebook, course.today)
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            yield from (f"cell {number}: {breach}" for breach in cell_breaches(cell))
