"""Links between pages."""

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from ci.lessons.rules import links
from helpers.files import ROOT
from tests.ci.lessons.courses import breaches_of, replaced

GLOSSARY = "# Glossary\n\n## Q/DQ\n\nA pair.\n\n```\n## no heading\n```\n\n## Twice\n\n## Twice\n"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "glossary.md").write_text(GLOSSARY)
    cells = [new_markdown_cell("# A lesson\n\n<a id='here'></a>"), new_markdown_cell("## What it's `for`")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a lesson.ipynb")
    return tmp_path / "page.md"


@pytest.mark.parametrize(
    ("target", "breach"),
    [
        ("glosary.md", "leads nowhere"),
        ("", "leads nowhere"),
        ("glossary.md#q-dq", "leads to no heading of glossary.md"),
        ("glossary.md#no-heading", "leads to no heading"),
        ("glossary.md#twice-2", "leads to no heading"),
        ("a%20lesson.ipynb#what-its", "leads to no heading of a lesson.ipynb"),
        ("#absent", "leads to no heading of page.md"),
        ("glossary.md", ""),
        ("glossary.md#qdq", ""),
        ("glossary.md#twice-1", ""),
        ("a%20lesson.ipynb#what-its-for", ""),
        ("a%20lesson.ipynb#here", ""),
        ("#present", ""),
        ("https://example.org/nowhere#x", ""),
    ],
)
def test_links_and_anchors(page, target, breach):
    page.write_text(f"## Present\n\nA [link with `code`]({target}).")
    found = [text for _, text in links.of_pages([page])]
    assert len(found) == bool(breach) and breach in "".join(found)


def test_code_holds_no_links_and_pictures_are_links(page):
    page.write_text("`[a](b.md)`\n\n```\n[a](b.md)\n```\n\n![a](b.png)\n\n[![c](d.png)](e.md)")
    assert [text for _, text in links.of_pages([page])] == [
        "the link to 'b.png' leads nowhere",
        "the link to 'e.md' leads nowhere",
    ]


def test_lessons_are_held_to_it(tmp_path):
    (found,) = breaches_of(tmp_path, replaced(0, "nothing", "[nothing](00_first.ipynb#the-second)"))
    assert found == "cell 1: the link to '00_first.ipynb#the-second' leads to no heading of 00_first.ipynb"


def test_the_pages_of_the_project_have_no_broken_link():
    pages = [path for pattern in ("README.md", "docs/*.md", "notebooks/*.md") for path in ROOT.glob(pattern)]
    assert list(links.of_pages(pages)) == []
