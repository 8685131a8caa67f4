"""Temporary folders: removed at the end, swept when their process was killed, left alone while it lives."""

import fcntl
import os
import subprocess
import sys

import pytest

from helpers import files, temporary

WRITES = """
import sys, time
from helpers import files
with files.atomic(sys.argv[1], folder=True) as part:
    (part / "half").touch()
    print("writing", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def writing(tmp_path):
    """A process that is writing the folder tmp_path/set."""
    process = subprocess.Popen([sys.executable, "-c", WRITES, tmp_path / "set"], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_goes_when_the_next_one_writes_there(tmp_path, writing):
    held = names(tmp_path)
    with files.atomic(tmp_path / "other") as part:
        part.touch()
    assert names(tmp_path) == [*held, "other"]  # its process lives
    writing.kill()
    writing.wait()
    files.check_target(tmp_path / "third")
    assert names(tmp_path) == ["other"]


def test_what_was_put_aside_comes_back_if_nothing_took_its_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f".{name}.abcdefgh.part" / temporary.REPLACED).mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/new").touch()
    temporary.sweep(tmp_path)
    assert names(tmp_path) == ["one", "two"] and names(tmp_path / "two") == ["new"]


def test_only_folders_of_this_kind_are_swept(tmp_path):
    for name in (".a.b", ".a.abcdefgh", "a.abcdefgh.part", ".a.abc.part", ".abcdefgh.part"):
        (tmp_path / name).mkdir()
    (tmp_path / ".a.abcdefg1.part").touch()
    (tmp_path / ".a.abcdefg2.part").symlink_to(".a.b")
    before = names(tmp_path)
    temporary.sweep(tmp_path)
    assert names(tmp_path) == before


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, swept = fcntl.flock, []

    def late(descriptor, how):
        if not swept:
            swept.append(names(tmp_path)[0])
            os.rmdir(tmp_path / swept[0])
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with temporary.beside(tmp_path / "a") as folder:
        assert folder.is_dir() and folder.name != swept[0]
    assert names(tmp_path) == []


def test_scratch_is_swept_too(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / ".onramp.abcdefgh.part").mkdir()
    with temporary.scratch() as folder:
        assert names(tmp_path) == [folder.name] and folder.name != ".onramp.abcdefgh.part"
    assert names(tmp_path) == []
