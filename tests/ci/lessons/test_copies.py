"""The copies that people work in: kept when changed, renewed when the lesson is new, reset without loss."""

import json

import nbformat
import pytest

from ci.lessons import copies
from helpers.errors import BadInput
from tests.ci.lessons.notebooks import code, exercise, lesson


@pytest.fixture
def place(tmp_path, monkeypatch):
    """(folder of the lessons, kind of copies) with one lesson in systems/ and a page."""
    source = tmp_path / "notebooks"
    (source / "systems").mkdir(parents=True)
    (source / "glossary.md").write_text("# Glossary\n")
    notebook = lesson(*exercise(), nbformat.v4.new_markdown_cell("why", metadata={"tags": ["answer"]}), onramp={"x": 1})
    notebook.cells[1].outputs, notebook.cells[1].execution_count = [nbformat.v4.new_output("stream", text="x")], 1
    nbformat.write(notebook, source / "systems/one.ipynb")
    return source, copies.Kind(tmp_path / "learner", copies.learner_copy, "*note for {lesson}*")


def done(place):
    source, kind = place
    return {path.name: what for path, what in copies.write(kind, source)}


def copy_of(place):
    return nbformat.read(place[1].folder / "systems/one.ipynb", as_version=4)


def change(path, text):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(code(text))
    nbformat.write(notebook, path)


def test_learners_copy_has_no_solutions_answers_outputs_or_authors_matter(place):
    assert done(place) == {"glossary.md": "written", "one.ipynb": "written"}
    copy = copy_of(place)
    assert "return 2 * x" not in nbformat.writes(copy)
    assert [cell for cell in copy.cells if cell.source == "why"] == []
    assert copy.cells[1].outputs == [] and copy.cells[1].execution_count is None
    assert copy.cells[0].source.endswith("*note for one*")
    assert "onramp" not in copy.metadata


def test_copy_with_solutions_has_them(place):
    source, kind = place
    copies.write(copies.Kind(kind.folder, copies.plain_copy, "*solved*"), source)
    copy = copy_of(place)
    assert "return 2 * x" in nbformat.writes(copy) and "why" in [cell.source for cell in copy.cells]
    assert copy.cells[1].outputs == [] and copy.cells[0].source.endswith("*solved*")


def test_changed_copies_are_kept_and_unchanged_ones_follow_their_lesson(place):
    source, kind = place
    done(place)
    assert done(place) == {"glossary.md": "unchanged", "one.ipynb": "unchanged"}
    change(source / "systems/one.ipynb", "new = 1")
    assert done(place)["one.ipynb"] == "renewed"
    assert copy_of(place).cells[-1].source == "new = 1"
    change(kind.folder / "systems/one.ipynb", "mine = 1")
    assert done(place)["one.ipynb"] == "kept: you have changed it"
    change(source / "systems/one.ipynb", "newer = 1")
    assert done(place)["one.ipynb"] == "kept, and the lesson has a newer version"
    assert copy_of(place).cells[-1].source == "mine = 1"


@pytest.mark.parametrize("damage", ["", "[]", '{"systems/one.ipynb": 3}'])
def test_without_a_manifest_nothing_is_overwritten(place, damage):
    done(place)
    change(place[1].folder / "systems/one.ipynb", "mine = 1")
    (place[1].folder / copies.MANIFEST).write_text(damage)
    assert done(place)["one.ipynb"].startswith("kept")
    assert copy_of(place).cells[-1].source == "mine = 1"
    assert isinstance(json.loads((place[1].folder / copies.MANIFEST).read_text()), dict)


def test_reset_renews_a_copy_and_keeps_the_old_one(place):
    source, kind = place
    done(place)
    change(kind.folder / "systems/one.ipynb", "mine = 1")
    target, old = copies.reset("one", kind, source)
    assert nbformat.read(old, as_version=4).cells[-1].source == "mine = 1"
    assert copy_of(place).cells[-1].source != "mine = 1"
    assert (target.name, done(place)["one.ipynb"]) == ("one.ipynb", "unchanged")
    assert copies.reset("one", kind, source)[1] is None


def test_a_lesson_is_found_by_number_name_and_path(tmp_path):
    for name in ("00_start_here", "02_export", "systems/two"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.ipynb").write_text("{}")
    for wanted in ("02", "2", "02_export", "notebooks/02_export.ipynb", "02_ex"):
        assert copies.find(wanted, tmp_path) == "02_export.ipynb"
    assert copies.find("two", tmp_path) == "systems/two.ipynb"
    for wrong in ("", "9", "../x"):
        with pytest.raises(BadInput, match="00_start_here, 02_export, two"):
            copies.find(wrong, tmp_path)
