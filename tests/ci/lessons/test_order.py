"""The reading order."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ci.lessons import order
from helpers import models


def made(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cells = [new_code_cell("1"), new_markdown_cell(f"# All about {path.stem}\n\nText.")]
        nbformat.write(new_notebook(cells=cells), path)
    return order.lessons(folder)


def test_numbers_then_systems_as_in_their_table(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "systems", lambda: ["uniad", "bevformer"])
    found = made(
        tmp_path,
        "systems/bevformer.ipynb",
        "10_ten.ipynb",
        "systems/another.ipynb",
        "02_two.ipynb",
        "systems/uniad.ipynb",
        "appendix.ipynb",
        ".ipynb_checkpoints/00_zero-checkpoint.ipynb",
        "systems/.hidden.ipynb",
    )
    assert [lesson.name for lesson in found] == [
        "02_two.ipynb",
        "10_ten.ipynb",
        "appendix.ipynb",
        "systems/uniad.ipynb",
        "systems/bevformer.ipynb",
        "systems/another.ipynb",
    ]
    assert order.neighbors("02_two.ipynb", found) == (None, found[1])
    assert order.neighbors("appendix.ipynb", found) == (found[1], found[3])
    assert order.neighbors("systems/another.ipynb", found) == (found[4], None)


def test_a_title_is_the_first_heading(tmp_path):
    (lesson,) = made(tmp_path, "00_zero.ipynb")
    assert lesson.title == "All about 00_zero"
    nbformat.write(new_notebook(cells=[new_markdown_cell("no heading")]), tmp_path / "00_zero.ipynb")
    assert order.lessons(tmp_path)[0].title == "00_zero.ipynb"


def test_the_table_of_systems_is_read(tmp_path):
    assert order.systems() == list(models.SYSTEMS)
    (tmp_path / "table.py").write_text("OTHER = {}\n")
    with pytest.raises(LookupError, match="no table SYSTEMS"):
        order.systems(tmp_path / "table.py")


def test_every_lesson_of_the_project_is_in_it():
    names = {path.relative_to(order.FOLDER).as_posix() for path in order.FOLDER.glob("**/[!.]*.ipynb")}
    assert {lesson.name for lesson in order.lessons()} == {name for name in names if ".ipynb_checkpoints" not in name}
    assert order.lessons()[0].name == "00_start_here.ipynb"
