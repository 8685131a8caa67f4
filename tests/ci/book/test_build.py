"""The whole book of a small run, made by Sphinx: its pages, their order, what is folded, what is refused."""

import json
import re

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell

from ci import book
from ci.book import __main__ as program
from ci.book import build
from helpers import records
from helpers.errors import BadInput
from helpers.files import ROOT
from tests.ci.book.samples import EXERCISE, HEADER, code, entry, html, lesson, png, report

HINT = "### Exercise 1: a (easy, 1 minute)\n\n<details><summary>Hint 1</summary>\n\nUse **two**.\n\n</details>"
SYSTEM = HEADER.replace("# First: a lesson", "# Second")


def write(out, *entries, **notebooks):
    for name, notebook in notebooks.items():
        path = out / "notebooks" / name.replace("__", "/").lstrip("_")
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path.with_suffix(".ipynb"))
    (out / "report.json").write_text(json.dumps(report(*entries)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a book of two lessons, one of which failed, and a skipped one."""
    pytest.importorskip("myst_nb", reason="the tools of the book are not installed (make tools)")
    out = tmp_path_factory.mktemp("run")
    links = new_markdown_cell("## One\n\n[ABI](glossary.md#abi), [next](systems/b.ipynb#one), $x^2$")
    shown = code("a", html("<b>shown</b>"), png("a dot"))
    cells = [links, new_markdown_cell(HINT), code(EXERCISE, tags=["exercise"]), shown]
    system = lesson(new_markdown_cell("## One\n\ntext"), code("b", png("a dot")), header=SYSTEM)
    error = {"name": "ValueError", "message": "broken", "traceback": ["t"], "cell": 3, "source": ["f()"]}
    failed = entry("systems/b.ipynb", status="failed", error=error)
    write(out, entry("00_a.ipynb"), failed, entry("c.ipynb", status="skipped"),
          _00_a=lesson(*cells), systems__b=system, c=lesson())  # fmt: skip
    records.write(records.record("quick", {"NDS": 0.25}, "make run", [__file__]), out / "records")
    home, code_of_sphinx = build.build(out, strict=True)
    assert (home, code_of_sphinx) == (out / "book/index.html", 0)
    assert not any((out / "book-work").iterdir())
    return out


def text_of(made, page):
    return (made / "book" / page).read_text()


def test_pages_are_there_and_lead_on_by_title(made):
    first = text_of(made, "notebooks/00_a.html")
    foot = first[first.index("prev-next-footer") :]
    assert 'title="next page"' in foot and '<p class="prev-next-title">Second</p>' in foot
    sidebar = first[first.index("bd-sidebar-primary") : first.index("bd-article-container")]
    assert sidebar.index("00 First: a lesson") < sidebar.index("Second") < sidebar.index("Results")
    assert not (made / "book/notebooks/c.html").exists()
    assert 'url=book/index.html"' in (made / "index.html").read_text()


def test_hints_and_solutions_are_folded_and_markdown_within_them_is_read(made):
    page = text_of(made, "notebooks/00_a.html")
    assert re.search(r"<details><summary>Hint 1</summary>\s*<p>Use <strong>two</strong>.</p>\s*</details>", page)
    solution = page[page.index('<details class="solution">') :]
    assert "your code here" in page.partition('<details class="solution">')[0]
    assert "your code here" not in solution and "return" in solution.partition("</details>")[0]
    assert "TIER" not in page


def test_formulas_and_pictures_need_nothing_from_outside(made):
    page = text_of(made, "notebooks/00_a.html")
    assert "<math" in page and not re.search("<script[^>]*mathjax", page, re.IGNORECASE)
    picture = re.search(r'<img alt="a dot" src="\.\./(pictures/\w+\.png)"', page)
    assert (made / "book" / picture[1]).is_file()
    for file in (made / "book").rglob("*.html"):
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=\"(https?:)?//", file.read_text()), file


def test_links_lead_to_the_glossary_to_a_heading_and_to_a_record(made):
    page = text_of(made, "notebooks/00_a.html")
    assert 'href="glossary.html#abi"' in page and 'href="systems/b.html#one"' in page
    label = re.search(r'href="records.html#(record-quick-[^"]+)"', text_of(made, "results.html"))[1]
    assert f'id="{label}"' in text_of(made, "records.html")


def test_a_lesson_that_failed_says_so_on_its_page(made):
    page = text_of(made, "notebooks/systems/b.html")
    assert "did not run to its end (failed)" in page and 'href="../../what_ran.html"' in page
    assert "ValueError: broken" in text_of(made, "what_ran.html")


def test_a_link_that_leads_nowhere_fails_a_strict_build_only(tmp_path, capfd):
    pytest.importorskip("myst_nb", reason="the tools of the book are not installed (make tools)")
    write(tmp_path, entry("00_a.ipynb"), _00_a=lesson(new_markdown_cell("[x](glossary.md#no-such-term)")))
    assert program.main(["--out", str(tmp_path), "--strict"]) == 1
    assert "no-such-term" in capfd.readouterr().err
    assert (tmp_path / "book/index.html").is_file()


def test_no_run_and_no_tools_are_refused(tmp_path, capsys, monkeypatch):
    with pytest.raises(BadInput, match="run the lessons first"):
        build.sources(tmp_path, tmp_path / "source")
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: None)
    assert program.main(["--out", str(tmp_path)]) == 2
    assert "fix: make tools" in capsys.readouterr().err


def test_the_table_of_contents_names_every_page_of_docs():
    listed = {path for group in (build.LEARN, build.LOOK_UP, build.AUTHORS) for path in group} | {build.FIGURES}
    there = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")} - {"docs/README.md"}
    assert there <= listed and all((ROOT / path).is_file() for path in listed)
    assert book.__name__ == "ci.book"
