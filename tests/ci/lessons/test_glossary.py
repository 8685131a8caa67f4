"""The glossary and the first use of its terms."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ci.lessons import glossary, order

GLOSSARY = """# Glossary

Words.

## bird's-eye view
*also: BEV*

From above.

## engine

A compiled network.

## INT8

Eight bits.

## ONNX

A file format.

## ONNX Runtime

A runtime.

## query

A question.

## tensor core

A unit.
"""
USED = "# First\n\nonly the header: an engine"
LINKS = " ".join(
    f"[{term}](glossary.md#{anchor})"
    for term, anchor in (
        ("Bird's-eye view", "birds-eye-view"),
        ("engines", "engine"),
        ("INT8", "int8"),
        ("ONNX", "onnx"),
        ("ONNX Runtime", "onnx-runtime"),
        ("queries", "query"),
        ("tensor cores", "tensor-core"),
    )
)


def checked(folder, first, second="Nothing.", text=GLOSSARY, readme=""):
    """The breaches of a course of two lessons; `first` and `second` are their cells after the header."""
    lessons = folder / "notebooks"
    (lessons / "systems").mkdir(parents=True)
    for name, cells in (("00_first", first), ("systems/bevformer", second)):
        cells = [new_markdown_cell(cells)] if isinstance(cells, str) else cells
        nbformat.write(new_notebook(cells=[new_markdown_cell(USED), *cells]), lessons / f"{name}.ipynb")
    (lessons / "glossary.md").write_text(text)
    (folder / "README.md").write_text(readme)
    return [f"{name}: {sentence}" for name, sentence in glossary.breaches(lessons, folder)]


def first_use(words, entry, cell=2):
    return (
        f'00_first.ipynb: cell {cell}: "{words}" is used for the first time without a link to its entry '
        f"(glossary.md#{entry})"
    )


def test_linked_terms_have_no_breach(tmp_path):
    assert checked(tmp_path, LINKS, "Then the engine, INT8 and a bird's-eye view.") == []


@pytest.mark.parametrize(
    ("text", "words", "entry"),
    [
        ("An engine.", "engine", "engine"),
        ("Engines are fast.", "Engines", "engine"),
        ("**Engine**, it is called.", "Engine", "engine"),
        ("An engine-like thing.", "engine", "engine"),
        ("A *bird’s-eye\nview*.", "bird’s-eye view", "birds-eye-view"),
        ("A bird's eye view.", "bird's eye view", "birds-eye-view"),
        ("A *bird's-eye* view.", "bird's-eye view", "birds-eye-view"),
        ("The BEV grid.", "BEV", "birds-eye-view"),
        ("Two queries.", "queries", "query"),
        ("Tensor cores do.", "Tensor cores", "tensor-core"),
        ("With ONNX Runtime.", "ONNX Runtime", "onnx-runtime"),
        ("| a | table |\n|---|---|\n| an | engine |", "engine", "engine"),
        ("<details><summary>Hint 1</summary>\n\nAn engine.\n\n</details>", "engine", "engine"),
        ("Of the [engine](glossary.md#int8) an engine.", "engine", "engine"),
        ("Of the [engine](other.md#engine) an engine.", "engine", "engine"),
    ],
)
def test_a_first_use_without_its_link_is_told(tmp_path, text, words, entry):
    assert checked(tmp_path, f"{text}\n\n{LINKS}") == [first_use(words, entry)]


@pytest.mark.parametrize(
    "text",
    [
        "## The engine",
        "`engine` and\n\n```\nengine\n```",
        "[how an engine is made](https://example.org/engine) and https://example.org/engine",
        "int8, Int8 and bev are other words, so are engineer, search-engine and my_engine",
        "ENGINE",
    ],
)
def test_headings_code_other_links_and_other_words_do_not_count(tmp_path, text):
    assert checked(tmp_path, f"{text}\n\n{LINKS}") == []


def test_answers_and_code_cells_do_not_count(tmp_path):
    answer = new_markdown_cell("An engine.", metadata={"tags": ["answer"]})
    assert checked(tmp_path, [answer, new_code_cell("# engine"), new_markdown_cell(LINKS)]) == []


def test_the_first_use_is_that_of_the_reading_order(tmp_path):
    found = checked(tmp_path, "An engine.", LINKS.replace("glossary.md", "../glossary.md"))
    assert found == [first_use("engine", "engine")]


def test_a_longer_term_is_no_use_of_a_shorter_one(tmp_path):
    text = "[ONNX Runtime](glossary.md#onnx-runtime), then " + LINKS
    assert checked(tmp_path, text) == []


def test_links_from_a_folder_must_lead_to_the_page(tmp_path):
    assert checked(tmp_path, "Nothing.", LINKS.replace("glossary.md", "../glossary.md")) == []


def test_links_without_an_entry_are_told(tmp_path):
    found = checked(tmp_path, LINKS + " [x](glossary.md#motor) [all](glossary.md)")
    assert found == ["00_first.ipynb: cell 2: the link to glossary.md#motor leads to no entry"]


def test_entries_that_nothing_uses_are_told(tmp_path):
    rest = LINKS.replace("[INT8](glossary.md#int8)", "").replace("[queries](glossary.md#query)", "")
    assert checked(tmp_path / "a", rest) == [
        'glossary.md: "INT8" is used by no lesson and no page of docs',
        'glossary.md: "query" is used by no lesson and no page of docs',
    ]
    assert checked(tmp_path / "b", rest, readme="`INT8` and queries") == []


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ("A compiled network.", "", '"engine" has no text'),
        ("*also: BEV*", "*also: BEV, engine*", '"engine" belongs to "bird\'s-eye view" and to "engine"'),
        ("## ONNX\n", "## ZIP, or ONNX\n*also: ONNX*\n", '"ONNX Runtime" stands after "ZIP, or ONNX"'),
    ],
)
def test_the_glossary_itself_is_checked(tmp_path, old, new, breach):
    (tmp_path / "glossary.md").write_text(GLOSSARY.replace(old, new))
    found = list(glossary.own_breaches(glossary.read(tmp_path / "glossary.md")))
    assert len(found) == 1 and breach in found[0]


def test_the_glossary_of_the_course_is_well_formed():
    entries = glossary.read(order.FOLDER / glossary.NAME)
    assert len(entries) > 100 and list(glossary.own_breaches(entries)) == []
    assert {"qdq", "birds-eye-view", "minoptmax-shapes"} <= {entry.slug for entry in entries}


def test_a_path_that_is_no_lesson_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        glossary.main(["nope"])
    assert "nope: no lesson" in capsys.readouterr().err
