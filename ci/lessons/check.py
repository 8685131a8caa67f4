"""Checks the rules that every lesson keeps (docs/lessons.md) without running it; one line for each breach."""

import argparse
import sys
from pathlib import Path

import nbformat

from ci.lessons import glossary, order
from ci.lessons.rules import code, course_of, exercises, form, header, links, timed
from helpers.files import ROOT

RULES = (form, header, exercises, code, timed, links)
PAGES = ("README.md", "docs/*.md", "notebooks/*.md")


def breaches(lesson, course):
    """The rules that a lesson breaks, as sentences."""
    try:
        nbformat.validate(lesson.notebook)
    except nbformat.ValidationError as error:
        yield f"not valid: {error.message}"
        return
    if not lesson.notebook.cells:
        yield "has no cells"
        return
    for rule in RULES:
        yield from rule.breaches(lesson, course)


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.lessons.check", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="lessons (default: all, and the links of the pages)")
    paths = [path.resolve() for path in parser.parse_args(argv).paths]
    course = course_of()
    there = {lesson.path.resolve(): lesson for lesson in course.lessons}
    if unknown := [path for path in paths if path not in there]:
        print(f"{unknown[0]}: no lesson in {order.FOLDER.relative_to(ROOT)}/", file=sys.stderr)
        return 2
    wanted = [there[path] for path in paths] or course.lessons
    found = [(lesson.name, breach) for lesson in wanted for breach in breaches(lesson, course)]
    if not paths:
        found += glossary.breaches()
        pages = sorted(path for pattern in PAGES for path in ROOT.glob(pattern))
        found += [(path.relative_to(ROOT).as_posix(), breach) for path, breach in links.of_pages(pages)]
    for name, breach in found:
        print(f"{name}: {breach}")
    print(f"{len(wanted)} lessons checked, {len(found)} breaches")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
