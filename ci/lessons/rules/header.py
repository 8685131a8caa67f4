"""The first cell: title, claim and a table of six rows, with previous and next as the reading order has them."""

import os
import re

from ci.lessons import order

ROWS = ("You need", "Tier", "To read", "To run", "Previous", "Next")
FORM = (
    re.compile(r"^# \S.*$", re.MULTILINE),
    re.compile(r"^\*\*The claim: .+?\*\*$", re.DOTALL | re.MULTILINE),
    re.compile(r"^\| \| \|\n\|---\|---\|\n(?:\|.*\|\n?)+\Z", re.MULTILINE),
)
MINUTES = re.compile(r"^\d+ minutes$")
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
RUN = re.compile(r"^(?:[a-z]+ )?\d+(?: to \d+)? (?:minutes?|seconds) on two CPU cores; .*\bon a GPU$")
WANTED = {
    "Tier": (re.compile(r"^`(?:cpu|gpu)`"), "'`cpu`; ...' or '`gpu`; ...'"),
    "To read": (MINUTES, "'25 minutes'"),
    "To run": (RUN, "'under 2 minutes on two CPU cores; 1 minute on a GPU'"),
}


def rows_of(table):
    """dict of field to value, of a table of two columns."""
    lines = [re.split(r"(?<!\\)\|", line.strip().strip("|"), maxsplit=1) for line in table.splitlines()[2:]]
    return {line[0].strip(): line[-1].strip() for line in lines}


def neighbor(lesson, other):
    """How the header names another lesson: a link with its title, relative to the lesson."""
    if other is None:
        return "none"
    return f"[{other.title}]({os.path.relpath(other.path, lesson.path.parent)})"


def misnamed(lesson, course, text):
    """(title, name) of each lesson that `text` links to under another name than its title."""
    titles = {os.path.relpath(other.path, lesson.path.parent): other.title for other in course.lessons}
    return [(titles[target], name) for name, target in LINK.findall(text) if titles.get(target, name) != name]


def breaches(lesson, course):
    first = lesson.notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "does not begin with a heading '# ...'"
        return
    parts = re.split(r"\n{2,}", first.source.strip())
    names = ("a title '# ...'", "'**The claim: ...**'", "a table that begins with '| | |' and '|---|---|'")
    if len(parts) != 3:
        yield f"the header has {len(parts)} parts (three: {'; '.join(names)})"
    for part, form, name in zip(parts, FORM, names, strict=False):
        if not form.fullmatch(part):
            yield f"the header has {part.splitlines()[0][:50]!r}, where {name} is wanted"
    if len(parts) < 3 or not FORM[2].fullmatch(parts[-1]):
        return
    rows = rows_of(parts[-1])
    if tuple(rows) != ROWS:
        yield f"the header's rows are {', '.join(rows)} (wanted: {', '.join(ROWS)})"
    for name, (form, wanted) in WANTED.items():
        if name in rows and not form.match(rows[name]):
            yield f"the header's row {name!r} is {rows[name]!r} (wanted: {wanted})"
    for title, found in misnamed(lesson, course, rows.get("You need", "")):
        yield f"the header's row 'You need' calls a lesson {found!r} (its title: {title!r})"
    previous, following = order.neighbors(lesson.name, course.lessons)
    for name, other in (("Previous", previous), ("Next", following)):
        if name in rows and rows[name] != neighbor(lesson, other):
            yield f"the header's row {name!r} is {rows[name]!r} (in reading order: {neighbor(lesson, other)!r})"
