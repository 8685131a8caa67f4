"""Checks the rules that every lesson keeps (notebooks/README.md) without running it; one line for each breach."""

import argparse
import re
import sys
from pathlib import Path

import nbformat

from ci.lessons.learner import exercises
from helpers.errors import BadInput
from helpers.files import ROOT

MOST_CODE_LINES = 25
WORDS = (900, 1800)
CELLS = (40, 70)
PARAMETERS = {"TIER", "FAST", "DATAROOT"}
EXERCISE_HEADING = re.compile(r"^Exercise \d+\b.*\((easy|medium|hard), \d+ minutes\)")


def words_of(markdown):
    """How many words of prose there are: code blocks, formulas, tags and link targets do not count."""
    for pattern in (r"```.*?```", r"\$\$.*?\$\$", r"<[^>]+>", r"\]\([^)]*\)"):
        markdown = re.sub(pattern, " ", markdown, flags=re.DOTALL)
    return len(re.findall(r"[A-Za-z0-9][\w'’.-]*", markdown))


def code_breaches(cell):
    lines = [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("### ")]
    if len(lines) > MOST_CODE_LINES:
        yield f"{len(lines)} lines of code (at most {MOST_CODE_LINES})"
    if cell.outputs or cell.execution_count is not None:
        yield "has outputs (commit lessons without: jupyter nbconvert --clear-output --inplace FILE)"
    if re.search(r"^\s*[!%]\s*(pip|conda)\b", cell.source, re.MULTILINE):
        yield "installs packages (the lock does that)"
    if "raises-exception" in cell.metadata.get("tags", []):
        yield "is tagged raises-exception (papermill fails on it; catch the error and show it instead)"


def parameter_breaches(notebook):
    tagged = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells tagged 'parameters' (exactly one)"]
    missing = PARAMETERS - set(re.findall(r"^(\w+)\s*=", tagged[0].source, re.MULTILINE))
    return [f"the parameters cell does not define {', '.join(sorted(missing))}"] if missing else []


def exercise_breaches(notebook):
    try:
        found = exercises(notebook)
    except BadInput as error:
        return [f"{error.where}: {error.found} (expected {error.expected})"]
    wanted = "'Exercise N: what (easy|medium|hard, N minutes)'"
    wrong = [f"the heading {title!r} is not {wanted}" for _, _, title in found if not EXERCISE_HEADING.match(title)]
    return wrong if found else ["has no exercise"]


def breaches(notebook):
    """The rules that a lesson breaks, as sentences."""
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"not valid: {error.message}"
        return
    markdown = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for what, count, (least, most) in (
        ("words of prose", words_of(markdown), WORDS),
        ("cells", len(notebook.cells), CELLS),
    ):
        if not least <= count <= most:
            yield f"{count} {what} ({least} to {most})"
    if notebook.cells and not notebook.cells[0].source.startswith("# "):
        yield "does not begin with a heading '# ...'"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "its kernel is not 'python3'"
    yield from parameter_breaches(notebook)
    yield from exercise_breaches(notebook)
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            yield from (f"cell {number}: {breach}" for breach in code_breaches(cell))


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.lessons.check", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "notebooks")
    folder = parser.parse_args(argv).folder
    paths = [p for p in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    count = 0
    for path in paths:
        for breach in breaches(nbformat.read(path, as_version=nbformat.NO_CONVERT)):
            print(f"{path.relative_to(folder)}: {breach}")
            count += 1
    print(f"{len(paths)} lessons checked, {count} breaches")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
