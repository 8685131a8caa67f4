"""An executed lesson as a page: no parameters, folded solutions, pictures as files, widgets without a kernel."""

import base64

import pytest
from nbformat.v4 import new_markdown_cell, new_output

from ci.book import notebooks, widgets
from ci.book.links import Pages
from ci.book.pictures import Pictures
from tests.ci.book.samples import DATA, EXERCISE, PNG, code, html, lesson, png

PAGES = Pages(frozenset({"notebooks/00_a.ipynb", "notebooks/glossary.md"}))


@pytest.fixture
def page(tmp_path):
    def made(*cells, path="notebooks/00_a.ipynb", **metadata):
        return notebooks.page(lesson(*cells, **metadata), path, PAGES, tmp_path / "pictures").cells

    return made


def test_parameters_are_hidden_and_the_header_is_a_list_without_neighbors(page):
    first, *rest = page(code("1 + 1"))
    assert [cell.source for cell in rest] == ["1 + 1"]
    assert (
        "{.facts}\nYou need\n: some `Python`\n\nTier\n: `cpu`; the same on `gpu`\n\nTo read\n: 20 minutes"
        in first.source
    )
    assert "|" not in first.source and "Previous" not in first.source and "Next" not in first.source
    assert first.source.startswith("# First: a lesson\n\n**The claim: ")


def test_an_exercise_shows_its_empty_form_and_then_its_solution_folded(page):
    cells = page(code(EXERCISE, new_output("stream", text="made"), tags=["exercise"]), code("double(2)"))[1:]
    stub, opening, solution, closing, check = cells
    assert stub.source == "def double(x):\n    # your code here\n    ...\n    # the end" and stub.outputs == []
    assert opening.source == '<details class="solution"><summary>Solution</summary>'
    assert solution.source == "def double(x):\n    return 2 * x\n    # the end" and solution.outputs[0].text == "made"
    assert closing.source == "</details>" and check.source == "double(2)"
    assert len({cell.id for cell in cells}) == 5


def test_pictures_become_files_with_size_and_text(page, tmp_path):
    within = html(f'<p>a</p><img alt="one &lt;dot&gt;" src="data:image/png;base64,{DATA}" style="max-width:100%">')
    cells = page(code("a", within, png("two"), png()), path="notebooks/systems/b.ipynb")
    (file,) = (tmp_path / "pictures").iterdir()
    assert file.read_bytes() == PNG
    shown = [output.data["text/html"] for output in cells[1].outputs]
    source = f'src="../../pictures/{file.name}" width="2" height="3" loading="lazy" decoding="async">'
    assert shown == [
        f'<p>a</p><img alt="one &lt;dot&gt;" {source}',
        f'<a class="picture" href="../../pictures/{file.name}"><img alt="two" {source}</a>',
        f'<a class="picture" href="../../pictures/{file.name}"><img alt="" {source}</a>',
    ]


def test_other_outputs_stay(page):
    stream, error = new_output("stream", text="x"), new_output("error", ename="E", evalue="v", traceback=["t"])
    markdown = new_output("display_data", data={"text/markdown": "**b**", "text/plain": "b"})
    assert page(code("a", stream, error, markdown))[1].outputs == [stream, error, markdown]


def test_a_text_without_end_is_cut(page):
    (output,) = page(code("a", new_output("stream", name="stderr", text="x" * 12_345)))[1].outputs
    assert (
        output.name == "stderr"
        and output.text.endswith("x\n… (12,345 characters in all)")
        and len(output.text) < 11_000
    )


def test_links_of_markdown_are_those_of_the_book_and_code_is_left_alone(page):
    cells = page(new_markdown_cell("[g](glossary.md#a) [x](../helpers/x.py)"), code("'[x](../helpers/x.py)'"))
    assert cells[1].source == "[g](glossary.md#a) x (`helpers/x.py`)"
    assert cells[2].source == "'[x](../helpers/x.py)'"


def test_the_notebook_itself_stays_as_it_was(tmp_path):
    notebook = lesson(code(EXERCISE, png("a"), tags=["exercise"]))
    before = str(notebook)
    notebooks.page(notebook, "notebooks/00_a.ipynb", PAGES, tmp_path)
    assert str(notebook) == before


def test_a_widget_shows_where_it_stood(page, tmp_path):
    states = {
        "box": {"state": {"_model_name": "VBoxModel", "children": ["IPY_MODEL_knob", "IPY_MODEL_pick", "IPY_MODEL_text",
                                                                   "IPY_MODEL_image", "IPY_MODEL_table"]}},
        "knob": {"state": {"_model_name": "FloatSliderModel", "description": "clip <x>", "value": 0.5}},
        "pick": {"state": {"_model_name": "DropdownModel", "index": 1, "_options_labels": ["one", "two"]}},
        "text": {"state": {"_model_name": "LabelModel", "value": "3 < 4"}},
        "table": {"state": {"_model_name": "HTMLModel", "value": "<table></table>"}},
        "image": {
            "state": {"_model_name": "ImageModel", "format": "png"},
            "buffers": [{"path": ["value"], "data": base64.b64encode(PNG).decode()}],
        },
    }  # fmt: skip
    view = new_output("display_data", data={widgets.VIEW: {"model_id": "box"}, "text/plain": "VBox()"})
    cells = page(code("a", view), widgets={widgets.STATES: {"state": states}})
    text = cells[1].outputs[0].data["text/html"]
    assert "<b>clip &lt;x&gt;</b> 0.5</p><p><b>value</b> two</p><p>3 &lt; 4</p><img" in text
    assert (
        'alt="Picture for clip &lt;x&gt; 0.5, value two"' in text and "<table></table>" in text and widgets.NOTE in text
    )
    assert list((tmp_path / "pictures").iterdir())
    assert "unknown" not in widgets.static("unknown", {}, None)


def test_a_widget_s_picture_of_no_known_kind_is_a_file_beside_the_others(tmp_path):
    state = {"_model_name": "ImageModel", "format": "/../../x"}
    model = {"state": state, "buffers": [{"path": ["value"], "data": base64.b64encode(PNG).decode()}]}
    shown = widgets.static("one", {"one": model}, Pictures(tmp_path / "pictures"))
    (made,) = (tmp_path / "pictures").iterdir()
    assert f'src="pictures/{made.name}"' in shown and made.suffix == ".bin"
