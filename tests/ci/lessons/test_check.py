"""The rules of lessons together, and the command."""

import subprocess
import sys

from ci.lessons import check
from helpers.files import ROOT
from tests.ci.lessons.courses import breaches_of, written


def test_lessons_that_keep_the_rules_have_no_breach(tmp_path):
    course = written(tmp_path)
    assert [lesson.name for lesson in course.lessons] == ["00_first.ipynb", "systems/bevformer.ipynb"]
    assert {lesson.name: list(check.breaches(lesson, course)) for lesson in course.lessons} == {
        "00_first.ipynb": [],
        "systems/bevformer.ipynb": [],
    }


def test_what_is_no_notebook_is_told_alone(tmp_path):
    def change(notebook):
        notebook.cells[3]["outputs"] = []

    (found,) = breaches_of(tmp_path, change)
    assert found.startswith("not valid: ")


def test_a_notebook_without_cells_is_told(tmp_path):
    assert breaches_of(tmp_path, lambda notebook: notebook.cells.clear()) == ["has no cells"]


def test_the_command_checks_one_lesson_or_refuses_what_is_none():
    def run(path):
        command = [sys.executable, "-m", "ci.lessons.check", path]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    done = run("notebooks/00_start_here.ipynb")
    *told, last = done.stdout.splitlines()
    assert last == f"1 lessons checked, {len(told)} breaches" and done.returncode == bool(told)
    assert all(line.startswith("00_start_here.ipynb: ") for line in told)
    done = run("README.md")
    assert done.returncode == 2 and "README.md: no lesson in notebooks/" in done.stderr
