"""Links of the lessons and of the documentation as the book needs them.

A link between pages stays. One to a record leads to its place on the page of records. One to a file of the project that
is no page of the book becomes its text, with the file's path.
"""

import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from ci.lessons.markdown import links_of

OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|#|$", re.IGNORECASE)
HOME, RECORDS = "index.md", "records.md"


@dataclass(frozen=True)
class Pages:
    """What the book holds: paths of its pages, as in the project, and names of records."""

    paths: frozenset
    records: frozenset = frozenset()


def record_label(name):
    """The label of a record on its page, from the name of its file."""
    return "record-" + re.sub(r"[^a-z0-9]+", "-", PurePosixPath(name).stem.lower())


def rewritten(text, page, pages):
    """The Markdown of `page` (its path in the project) with its links as the book needs them."""
    for found in reversed(links_of(text)):
        if found["image"] or OUTSIDE.match(found["target"]):
            continue
        path, _, anchor = found["target"].partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        target = _target(there, anchor, pages)
        words = text[found.start("text") : found.end("text")]  # the match has code blanked
        if target is None:
            new = words if there in words or PurePosixPath(there).name in words else f"{words} (`{there}`)"
        else:
            new = f"[{words}]({_relative(target, page)})"
        text = text[: found.start()] + new + text[found.end() :]
    return text


def _relative(target, page):
    path, hash_sign, anchor = target.partition("#")
    if not path:
        return target
    return os.path.relpath(path, posixpath.dirname(page) or ".") + hash_sign + anchor


def _target(there, anchor, pages):
    """Where a link to a path of the project leads in the book, as a path of the project; None if nowhere."""
    if there in pages.paths:
        return f"{there}#{anchor}" if anchor else there
    if there in ("README.md", "docs/README.md", "."):
        return HOME
    if there == "results":
        return RECORDS
    if there.startswith("results/") and PurePosixPath(there).name in pages.records:
        return f"#{record_label(there)}"
    return None
