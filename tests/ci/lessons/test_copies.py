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


def test_copies_that_a_stopped_command_wrote_are_not_taken_for_the_learners_own(place):
    source, kind = place
    done(place)
    (kind.folder / copies.MANIFEST).unlink()
    assert done(place) == {"glossary.md": "unchanged", "one.ipynb": "unchanged"}
    change(source / "systems/one.ipynb", "new = 1")
    assert done(place)["one.ipynb"] == "renewed"


def test_what_was_written_is_remembered_though_a_later_source_is_no_notebook(place):
    source, kind = place
    (source / "Untitled.ipynb").write_text("")
    with pytest.raises(BadInput, match="not a readable notebook"):
        copies.write(kind, source)
    (source / "Untitled.ipynb").unlink()
    copies.write(kind, source)
    assert set(copies.read_manifest(kind.folder)) == {"glossary.md", "systems/one.ipynb"}


def test_two_commands_at_once_leave_copies_that_still_follow_their_lessons(place, monkeypatch):
    source, kind = place
    reading = copies.read_manifest

    def read_while_another_writes(folder):
        known = reading(folder)
        monkeypatch.setattr(copies, "read_manifest", reading)
        copies.write(kind, source)
        return known

    monkeypatch.setattr(copies, "read_manifest", read_while_another_writes)
    copies.write(kind, source)
    assert done(place) == {"glossary.md": "unchanged", "one.ipynb": "unchanged"}
    change(source / "systems/one.ipynb", "new = 1")
    assert done(place)["one.ipynb"] == "renewed"


@pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"cells": 1}'])
def test_a_copy_that_is_no_notebook_any_more_is_kept_and_said_to_be_none(place, text):
    source, kind = place
    done(place)
    (kind.folder / "systems/one.ipynb").write_text(text)
    assert "no notebook any more" in done(place)["one.ipynb"]
    _, old = copies.reset("one", kind, source)
    assert old.read_text() == text and done(place)["one.ipynb"] == "unchanged"


def test_a_folder_in_the_place_of_a_copy_is_named_and_reset_moves_it_away(place):
    source, kind = place
    (kind.folder / "systems/one.ipynb").mkdir(parents=True)
    with pytest.raises(BadInput, match="Is a directory"):
        copies.write(kind, source)
    _, old = copies.reset("one", kind, source)
    assert old.is_dir() and done(place)["one.ipynb"] == "unchanged"


def test_a_link_that_leads_nowhere_is_kept_by_reset(place):
    source, kind = place
    (kind.folder / "systems").mkdir(parents=True)
    (kind.folder / "systems/one.ipynb").symlink_to("nowhere")
    _, old = copies.reset("one", kind, source)
    assert old.is_symlink() and copy_of(place).cells


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


def test_where_nothing_is_new_nothing_is_written(place, monkeypatch):
    done(place)
    monkeypatch.setattr(copies, "write_manifest", lambda *_: pytest.fail("it may lie in a folder that is read-only"))
    assert done(place) == {"glossary.md": "unchanged", "one.ipynb": "unchanged"}
