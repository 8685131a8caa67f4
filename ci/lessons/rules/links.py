"""Links between lessons, glossary and docs: the file is there, and so is the anchor."""

import functools
from pathlib import Path
from urllib.parse import unquote

import nbformat

from ci.lessons.markdown import anchors_of, links_of

PAGES = (".md", ".ipynb")
OTHER = ("http://", "https://", "mailto:", "data:", "attachment:")


@functools.lru_cache(maxsize=256)
def _anchors(path, stamp):
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=nbformat.NO_CONVERT).cells
        return anchors_of([cell.source for cell in cells if cell.cell_type == "markdown"])
    return anchors_of([path.read_text(encoding="utf-8")])


def page_breaches(texts, path):
    """(number of the part, sentence) for each broken link in a page that is given in parts, (number, text)."""
    for number, text in texts:
        for link in links_of(text):
            target = link["target"]
            if target.lower().startswith(OTHER):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / unquote(name)).resolve() if name else path.resolve()
            if not target or not file.exists():
                yield number, f"the link to {target!r} leads nowhere"
            elif anchor and file.suffix in PAGES and unquote(anchor) not in _anchors(file, file.stat().st_mtime_ns):
                yield number, f"the link to {target!r} leads to no heading of {file.name}"


def breaches(lesson, course):
    cells = enumerate(lesson.notebook.cells, 1)
    texts = [(number, cell.source) for number, cell in cells if cell.cell_type == "markdown"]
    yield from (f"cell {number}: {text}" for number, text in page_breaches(texts, lesson.path))


def of_pages(paths):
    """(path, sentence) for each broken link in Markdown files."""
    for path in map(Path, paths):
        yield from ((path, text) for _, text in page_breaches([(0, path.read_text(encoding="utf-8"))], path))
