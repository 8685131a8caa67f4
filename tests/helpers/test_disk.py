"""What a disk refuses comes out as one error that names the file and the room, whoever wrote it."""

import errno
import os
import types

import numpy as np
import pytest

from helpers import disk, files, npz, processes
from helpers.errors import BadInput, foreign

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
HIDDEN = (  # as NumPy, safetensors and PyTorch say it
    OSError("400 requested and 8 written"),
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
)


def usage(free, files, inodes):
    return lambda path: types.SimpleNamespace(f_bavail=free, f_frsize=2**20, f_files=files, f_favail=inodes)


@pytest.mark.parametrize("error", [FULL, *HIDDEN], ids=str)
def test_a_full_disk_tells_the_room_that_there_was_and_leaves_the_old_file_alone(tmp_path, monkeypatch, error):
    (target := tmp_path / "a.bin").write_bytes(b"old")
    monkeypatch.setattr(os, "statvfs", usage(3, 0, 0))
    said = rf"^{target}\n  found:    the disk is full \(5\.0 MiB free\)\n  expected: more room"
    with pytest.raises(BadInput, match=said), files.atomic(target) as part, foreign(part, "weights", "mend them"):
        part.write_bytes(bytes(2**21))
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"] and target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "inodes", "said"),
    [
        (errno.ENOSPC, 0, r"takes no more files \(3\.0 MiB free, but no inode\)"),
        (errno.EDQUOT, 9, r"quota is used up \(3\.0 MiB free"),
    ],
)
def test_no_inode_and_a_quota_are_no_full_disk(tmp_path, monkeypatch, number, inodes, said):
    monkeypatch.setattr(os, "statvfs", usage(3, 100, inodes))
    with pytest.raises(BadInput, match=said), disk.errors(tmp_path / "a.bin"):
        raise OSError(number, os.strerror(number))


def test_room_that_is_known_to_be_needed_is_asked_for_before(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", usage(3, 0, 0))
    disk.require(tmp_path / "new/a.bin", 3 * 2**20)
    with pytest.raises(BadInput, match=r"a\.bin\n  found:    3\.0 MiB free on the disk\n  expected: 3\.0 MiB for it"):
        disk.require(tmp_path / "new/a.bin", 3 * 2**20 + 1)


def test_no_error_names_a_temporary_file(tmp_path):
    target = tmp_path / "set"
    with pytest.raises(BadInput, match=rf"^{target}/sub/a\.bin\n"), files.atomic(target, folder=True) as part:
        disk.require(part / "sub/a.bin", 2**60)
    outer = files.atomic(target, folder=True)
    with pytest.raises(BadInput, match=rf"^{target}/sub/a\.bin\n"), outer as part, files.atomic(part / "sub/a.bin"):
        raise FULL


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "a file that was being written\n  found:    a disk is full ({free} MiB free in {temporary}; "),
        (OSError(errno.ENOSPC, "No space left on device", "/x/a.bin"), "/x/a.bin\n  found:    the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "/x/a.bin"), "/x/a.bin\n  found:    Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/a"), "/x/a\n  found:    Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']"), "temporary files\n"),
        (BadInput("a.onnx", "text", "a graph", "export it"), "a.onnx\n  found:    text"),
    ],
)
def test_a_program_ends_with_a_sentence(tmp_path, monkeypatch, capfd, error, said):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def main():
        raise error

    monkeypatch.setattr(disk, "free", lambda path: 2**20)
    assert processes.program(main) == 2
    assert capfd.readouterr().err.startswith("error: " + said.format(free="1.0", temporary=tmp_path))


@pytest.mark.parametrize(
    "error", [KeyError("a"), FileNotFoundError(errno.ENOENT, "no", "/x/a"), PermissionError(errno.EACCES, "no socket")]
)
def test_a_fault_of_the_program_stays_one(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        processes.program(main)


def test_a_program_in_a_folder_that_is_gone_says_so(tmp_path, monkeypatch, capfd):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert processes.program(os.getcwd) == 2
    assert capfd.readouterr().err.startswith("error: the current folder\n  found:    it is no longer there")


@pytest.mark.filterwarnings("error")
def test_arrays_that_find_no_room_complain_once(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(True)}
    npz.write(arrays, tmp_path / "a.npz")
    read = np.load(tmp_path / "a.npz")
    assert all(np.array_equal(read[name], array) for name, array in arrays.items()) and set(read) == set(arrays)
    with pytest.raises(OSError, match="No space left"):
        npz.write({"a": np.zeros(2**20)}, "/dev/full")
