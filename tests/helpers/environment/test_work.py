"""The folder that a lesson writes to: its own, whatever else runs."""

import subprocess
import sys

import pytest

from helpers.environment import work, work_folder
from helpers.errors import BadInput
from helpers.files import ROOT

HOLDER = """
import sys
from helpers.environment import work, work_folder
from pathlib import Path
work.FOLDER = Path(sys.argv[1])
print(work_folder("00_start_here"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "FOLDER", tmp_path / "lessons")
    monkeypatch.setattr(work, "_held", {})
    return tmp_path / "lessons"


def test_a_second_run_gets_a_folder_of_its_own_and_the_first_is_free_again(folder, capsys, monkeypatch):
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline().strip() == str(folder / "00_start_here")
        assert work_folder("00_start_here") == folder / "00_start_here-2"
        assert f"writes to {folder / '00_start_here-2'}" in capsys.readouterr().out
        other.kill()
    monkeypatch.setattr(work, "_held", {})
    assert work_folder("00_start_here") == folder / "00_start_here"
    assert capsys.readouterr().out == ""


def test_the_same_process_gets_the_same_folder(folder):
    assert work_folder("systems/bevformer") == work_folder("systems/bevformer") == folder / "systems/bevformer"
    assert (folder / "systems/bevformer").is_dir()


@pytest.mark.parametrize("name", ["../elsewhere", "", ".", "/tmp"])
def test_a_name_that_leads_elsewhere_is_refused(folder, name):
    with pytest.raises(BadInput, match="lesson"):
        work_folder(name)


def test_a_checkout_that_may_not_be_written_to_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "ROOT", tmp_path)
    (tmp_path / "build").write_text("a file, where a folder is needed")
    with pytest.raises(BadInput, match="expected: a place where it can be written"):
        work_folder("00_start_here")
