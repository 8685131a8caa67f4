"""Writes the book's sources and lets Sphinx make the pages."""

import json
import os
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from ci.book import home, notebooks, ran, results
from ci.book.links import Pages, rewritten
from ci.lessons import order
from helpers import cores, disk, processes
from helpers.errors import BadInput
from helpers.files import ROOT, atomic
from helpers.shared import alone

LEARN = ("docs/self_study.md", "docs/workshop.md")
LOOK_UP = (
    "notebooks/glossary.md", "docs/environments.md", "docs/jupyter.md", "docs/data.md", "docs/commands.md",
    "docs/exporters.md", "docs/fbocc.md", "docs/drive.md", "docs/edge.md", "docs/serve.md",
    "checkpoints/README.md", "plugins/README.md",
)  # fmt: skip
FIGURES = "docs/results.md"
AUTHORS = ("docs/lessons.md",)
ENTRY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Onramp</title>
<meta http-equiv="refresh" content="0; url=book/index.html"></head>
<body><p><a href="book/index.html">To the book</a></p></body></html>
"""


def report_of(out):
    path = out / "report.json"
    if not path.is_file():
        raise BadInput(path, "no such file", "the report of a run", "run the lessons first: python -m ci.lessons.run")
    return json.loads(path.read_text(encoding="utf-8"))


def sources(out, folder, root=ROOT):
    """Write what Sphinx reads to `folder`, from the run in `out`; the pictures go to `folder`/extra/pictures."""
    report, pictures = report_of(out), folder / "extra/pictures"
    ended = {entry["notebook"]: entry for entry in report["notebooks"] if entry["status"] != "skipped"}
    lessons = [lesson for lesson in order.lessons(out / "notebooks") if lesson.name in ended]
    measured, recorded = results.read(out / "records"), results.read(root / "results")
    documents = [path for path in (*LEARN, *LOOK_UP, FIGURES, *AUTHORS) if (root / path).is_file()]
    shown = [f"notebooks/{lesson.name}" for lesson in lessons]
    pages = Pages(frozenset([*documents, *shown]), frozenset(recorded))
    written = {path: rewritten((root / path).read_text(encoding="utf-8"), path, pages) for path in documents}
    if FIGURES in written:
        written[FIGURES] = written[FIGURES].replace("# Results\n", "# All recorded figures\n", 1)
    written["what_ran.md"] = ran.page(report, {lesson.name: lesson.title for lesson in lessons})
    written["results.md"] = rewritten(results.page(measured, root), "results.md", pages)
    written["records.md"] = results.records_page(measured, recorded)
    written["index.md"] = home.page(lessons, captions(shown, documents), pictures)
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    for lesson, path in zip(lessons, shown, strict=True):
        made = notebooks.page(lesson.notebook, path, pages, pictures)
        if ended[lesson.name]["status"] != "passed":
            made.cells.insert(1, new_markdown_cell(warning(ended[lesson.name], path)))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(made, folder / path)


def captions(shown, documents):
    """The table of contents: {caption: [page, ...]}."""
    chosen = {
        "Lessons": [path for path in shown if "/systems/" not in path],
        "Whole systems": [path for path in shown if "/systems/" in path],
        "Figures": ["results.md", FIGURES, "records.md"],
        "Learn and teach": LEARN,
        "Look up": LOOK_UP,
        "This book": ["what_ran.md", *AUTHORS],
    }
    there = {*shown, *documents, "results.md", "records.md", "what_ran.md"}
    found = {caption: [path for path in pages if path in there] for caption, pages in chosen.items()}
    return {caption: pages for caption, pages in found.items() if pages}


def warning(entry, path):
    back = "../" * path.count("/")
    text = f"This lesson did not run to its end ({entry['status']}). [What ran]({back}what_ran.md) says why."
    return f"```{{warning}}\n{text}\n```"


def build(out, strict=False):
    """Write the book to `out`/book, and a page that leads there to `out`/index.html.

    Returns (the path of its home page, the exit code of Sphinx).
    """
    report_of(out)
    work = out / "book-work"
    with alone(work, "a making of the book", "pass another --out"), disk.errors(out / "book"):
        clear(work)  # of one that was killed
        try:
            return build_held(out, strict, work)
        finally:
            clear(work)


def clear(work):
    for left in work.iterdir():
        shutil.rmtree(left, ignore_errors=True)


def build_held(out, strict, work):
    """`build` with an empty folder for its work that no other one uses."""
    sources(out, work / "source")
    with atomic(out / "book", folder=True) as part:
        command = [sys.executable, "-m", "sphinx", "--builder", "html", "--conf-dir", Path(__file__).parent]
        command += ["--doctree-dir", work / "doctrees", "--jobs", str(min(4, cores.count())), "--quiet"]
        command += ["--define", f"html_extra_path={work / 'source/extra'}", "--define", "exclude_patterns=extra"]
        command += ["--fail-on-warning"] * strict
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
        code = processes.run([*command, work / "source", part], env=environment)
        if not (part / "index.html").is_file():
            raise BadInput(out / "book", f"Sphinx ended with {code}", "a book", "see what it says above")
    with atomic(out / "index.html") as part:
        part.write_text(ENTRY, encoding="utf-8")
    return out / "book/index.html", code
