"""The pages that no lesson holds: home, what ran, results and records."""

import dataclasses
import re

import nbformat

from ci.book import home, ran, results
from ci.lessons.order import Lesson
from helpers import records
from helpers.files import ROOT
from tests.ci.book.samples import HEADER, entry, lesson, report


def lessons(folder, **headers):
    for name, header in headers.items():
        nbformat.write(lesson(header=header), folder / f"{name}.ipynb")
    return [Lesson(f"{name}.ipynb", folder / f"{name}.ipynb") for name in headers]


def test_home_has_a_card_and_an_entry_for_each_lesson(tmp_path):
    there = lessons(tmp_path, _00_a=HEADER, b="# Only <a> title")
    there[0] = Lesson("00_a.ipynb", there[0].path)
    text = home.page(there, {"Lessons": ["notebooks/00_a.ipynb", "notebooks/b.ipynb"]}, tmp_path / "pictures")
    cards = re.findall(r'<a class="lesson-card".*?</a>', text)
    assert 'href="notebooks/00_a.html"' in cards[0] and ">Lesson 00<" in cards[0] and ">First: a lesson<" in cards[0]
    assert ">A number can be doubled, and it is shown.<" in cards[0]
    assert ">20 minutes to read, under 2 minutes to run<" in cards[0]
    assert "Only &lt;a&gt; title" in cards[1] and "claim" not in cards[1]
    assert "00 First: a lesson <notebooks/00_a>\nOnly <a> title <notebooks/b>" in text
    assert "There are 2 lessons; each says" in text


def test_home_adds_up_the_minutes(tmp_path):
    there = lessons(tmp_path, a=HEADER, b=HEADER.replace("20 minutes", "70 minutes"))
    assert "The 2 lessons take about 1.5 hours to read" in home.time_of(there)
    assert "The 1 lessons take about 20 minutes to read" in home.time_of(there[:1])


def test_the_road_is_drawn_for_light_and_dark_pages(tmp_path):
    text = home.road(tmp_path)
    light, dark = ((tmp_path / f"road-{theme}.svg").read_text() for theme in ("light", "dark"))
    assert "prefers-color-scheme" in (ROOT / home.ROAD).read_text()
    assert "prefers-color-scheme" not in light + dark
    assert "fill: #161b22" not in light and dark.index("fill: #f7f9fb") < dark.index("fill: #161b22")
    assert text.count('alt="The road from a PyTorch checkpoint') == 2


def test_what_ran_counts_and_links_pages_by_their_titles():
    entries = [
        entry("a.ipynb"),
        entry("systems/b.ipynb", reused=True),
        entry("c.ipynb", status="skipped", reason="waits"),
    ]
    text = ran.page(report(*entries), {"a.ipynb": "A <b>", "systems/b.ipynb": "B"})
    assert "Of 3 lessons: **2 passed, 0 failed, 1 skipped**" in text and "<code>TIER = cpu</code>" in text
    assert '<a href="notebooks/a.html">A &lt;b&gt;</a>' in text and '<a href="notebooks/systems/b.html">B</a>' in text
    assert "<td>1.5 (earlier)</td>" in text and "### Title of c.ipynb\n\n<p>waits</p>" in text
    assert "Wrong answers" not in text


def test_what_ran_says_where_lessons_ran_side_by_side():
    assert "at a time" not in ran.page(report(entry("a.ipynb")), {})
    text = ran.page(report(entry("a.ipynb")) | {"jobs": 2, "threads": 1}, {})
    assert "The lessons ran 2 at a time, each on 1 thread, so" in text and "measures time ran while no other" in text


def test_what_ran_shows_the_traceback_of_a_failure_as_one_block():
    error = {"name": "ValueError", "message": "no <x>", "traceback": ["one", "two"], "cell": 7, "source": ["f(x)"]}
    text = ran.page(report(entry("a.ipynb", status="failed", error=error)), {})
    block = re.search(r"<p>In cell 7:</p><pre.*</pre>", text)[0]
    assert "\n" not in block and "f(x)&#10;&#10;ValueError: no &lt;x&gt;&#10;&#10;one&#10;two" in block
    early = ran.page(report(entry("a.ipynb", status="failed", error=error | {"cell": 1} | {})), {})
    assert "In cell 1" in early
    del error["cell"]
    assert "Before its first cell" in ran.page(report(entry("a.ipynb", status="failed", error=error)), {})


def test_what_ran_has_the_table_of_wrong_answers():
    wrong = [{"mistake": "adds <2>", "message": "divide\nby two", "problem": None},
             {"mistake": "triples", "message": "", "problem": "the check accepts it"}]  # fmt: skip
    exercises = [{"title": "Exercise 1", "problem": "wrong answer 'triples': the check accepts it", "wrong": wrong},
                 {"title": "Exercise 2", "problem": None}]  # fmt: skip
    text = ran.page(report(entry("a.ipynb", exercises=exercises)), {})
    assert "1 of 2 wrong answers were refused by name" in text and "<td>1 of 2</td>" in text
    assert "2 exercises, 2 wrong answers" in text
    assert "<td>adds &lt;2&gt;</td><td>divide by two</td>" in text
    assert '<span class="failed">✗ the check accepts it</span>' in text and "✗ not proven" in text
    assert text.count("<p><b>Exercise 1</b></p>") == text.count("<p><b>Exercise 2</b></p>") == 1
    assert "<td>the empty exercise</td><td>refused</td>" in text


def test_names_and_messages_are_text_on_every_page(tmp_path):
    evil = "\"'><script>alert(1)</script>`\x1b[31m\u202e"
    error = dict.fromkeys(("name", "message"), evil) | {"traceback": [evil], "source": [evil], "cell": 1}
    wrong = [{"mistake": evil, "message": evil, "problem": evil}]
    proofs = [{"title": evil, "problem": evil, "wrong": wrong}, {"title": evil, "problem": None, "wrong": []}]
    entries = [entry(evil, title=evil, status="failed", reason=evil, error=error, exercises=proofs), entry(evil)]
    ran_there = report(*entries) | {"parameters": {"DATAROOT": evil}}
    record = dataclasses.replace(
        records.record("odd", {evil: 3}, evil, [__file__]), device=evil, commit=evil, versions={evil: evil}
    )
    pages = [ran.page(ran_there, {}), ran.page(ran_there, {evil: evil}), results.records_page({"odd.json": record}, {})]
    for page in pages:
        assert "&lt;script&gt;" in page and "<script" not in page and not {"\x1b", "\u202e"} & set(page)


def test_results_and_records_of_this_project_and_of_a_run(tmp_path):
    records.write(records.record("quick", {"NDS": 0.25, "latency_ms_p50": 12.5}, "make <run>", [__file__]), tmp_path)
    records.write(records.record("odd", {"queue": 3}, "make run", [__file__]), tmp_path)
    measured = results.read(tmp_path)
    text = results.page(measured)
    row = next(line for line in text.splitlines() if line.startswith("| [quick]"))
    assert re.fullmatch(r"\| \[quick\]\(#record-quick-\d+t\d+z\) \| 0.25 \|  \| 12.5 \|", row) and "[odd]" not in text
    assert "| BEVFormer-tiny, TensorRT FP16 |" in text and "../results/" not in text
    assert set(re.findall(r"\]\(results/([^)]+)\)", text)) <= {path.name for path in ROOT.glob("results/*.json")}
    page = results.records_page(measured, {})
    label = row.partition("(#")[2].partition(")")[0]
    assert f"({label})=\n### quick, " in page and "<code>make &lt;run&gt;</code>" in page and "1 figures" in page
    assert "## Kept with the project" not in page and "Measured for this book" not in results.page({})
    assert results.read(tmp_path / "absent") == {}
