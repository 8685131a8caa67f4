"""Atomic files: whole or absent, whatever happens while they are written."""

import errno
import hashlib
import os

import pytest

from helpers import files
from helpers.errors import BadInput


def test_a_file_appears_only_when_the_block_succeeds(tmp_path):
    target = tmp_path / "new" / "a.bin"
    with files.atomic(target) as part:
        part.write_bytes(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), files.atomic(target) as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, number):
    target = tmp_path / "a.bin"
    with pytest.raises(BadInput, match=r"a\.bin[\s\S]*disk is full"), files.atomic(target) as part:
        part.write_bytes(b"half")
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), files.atomic(tmp_path / "a.bin"):
        raise PermissionError(errno.EACCES, "no")


def test_a_folder_replaces_a_folder_and_comes_back_if_that_fails(tmp_path, monkeypatch):
    target = tmp_path / "set"
    for content in ("first", "second"):
        with files.atomic(target, folder=True) as part:
            (part / content).touch()
    assert [path.name for path in target.iterdir()] == ["second"]

    replace = os.replace

    def fails(source, destination):
        if source.name == "set" and destination == target and (source / "third").exists():
            raise OSError(errno.EIO, "broken")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="broken"), files.atomic(target, folder=True) as part:
        (part / "third").touch()
    assert [path.name for path in target.iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_digest_covers_content_in_order(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    assert files.sha256(one, two) != files.sha256(two, one)
    assert files.sha256(one, two) == hashlib.sha256(b"ab").hexdigest()
