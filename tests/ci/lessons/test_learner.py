"""Learner's copies: solutions cleared, changed copies kept."""

import nbformat
import pytest

from ci.lessons import learner
from helpers.errors import BadInput
from tests.ci.lessons.notebooks import SOLUTION, exercise, lesson


def test_clear_keeps_everything_outside_the_markers():
    cleared = learner.clear(f"{SOLUTION}\n\nprint(double)")
    assert cleared == "def double(x):\n    # your code here\n    ...\n\nprint(double)"
    for broken in (learner.BEGIN, learner.END, f"{learner.BEGIN}\n{learner.BEGIN}\n{learner.END}"):
        with pytest.raises(BadInput):
            learner.clear(broken)


def test_learner_copies_are_cleared_and_a_changed_one_is_kept(tmp_path):
    source, out = tmp_path / "notebooks", tmp_path / "copies"
    (source / "systems").mkdir(parents=True)
    notebook = lesson(*exercise())
    notebook.cells[1].outputs, notebook.cells[1].execution_count = [nbformat.v4.new_output("stream", text="x")], 1
    nbformat.write(notebook, source / "systems/one.ipynb")
    learner.write_copies(source, out)
    copy = nbformat.read(out / "systems/one.ipynb", as_version=4)
    assert "return 2 * x" not in nbformat.writes(copy)
    assert copy.cells[1].outputs == [] and copy.cells[1].execution_count is None
    assert learner.write_copies(source, out)[0][1] == "written"
    (out / "systems/one.ipynb").write_text("mine")
    assert learner.write_copies(source, out)[0][1].startswith("kept")
    assert (out / "systems/one.ipynb").read_text() == "mine"
    assert learner.write_copies(source, out, force=True)[0][1] == "written"
