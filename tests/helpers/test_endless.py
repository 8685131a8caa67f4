"""Devices and pipes, whose bytes may have no end, are neither read nor replaced."""

import os
import signal

import pytest
from torch import nn

from helpers import engine, files, graph, models, npz, repository, shared
from helpers.calibration import samples
from helpers.dataset import tables
from helpers.dataset.images import read_image
from helpers.environment import doctor, machine
from helpers.environment.doctor import plugins
from helpers.errors import BadInput
from helpers.ops import library
from tests.builders.waiting import HANG


@pytest.fixture(autouse=True)
def soon():
    """A test that waits for a pipe fails instead."""

    def late(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(HANG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["pipe", "device"])
def endless(request, tmp_path):
    path = tmp_path / "endless.bin"
    if request.param == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path


def shapes(path):
    """Of a sample whose first input is the path."""
    config = models.configs("fbocc")["mini"]
    path.rename(path.parent / f"{next(iter(config.input_shapes()))}{samples.SUFFIX}")
    samples.read_shapes(path.parent, config)


READERS = {
    "digest": files.sha256,
    "JSON": lambda path: files.read_json(path, "a table", "write it"),
    "plugin": library.identity,
    "loaded plugin": library.load,
    "model": graph.load,
    "engine": engine.load,
    "metadata": engine.inspect,
    "checkpoint": lambda path: models.load_checkpoint(nn.Linear(2, 2), path),
    "arrays": npz.members,
    "picture": read_image,
    "sample": shapes,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_has_no_end_is_not_read(endless, reader):
    with pytest.raises(BadInput) as caught:
        READERS[reader](endless)
    assert str(endless.parent) in caught.value.where and caught.value.found == "a device or a pipe"


def test_a_pipe_is_no_pointer_of_git_lfs(endless):
    assert not repository.is_lfs_pointer(endless)


@pytest.mark.parametrize(
    "write",
    [files.check_target, lambda path: files.atomic(path).__enter__(), lambda path: shared.write_new(path, "x")],
)
def test_no_file_takes_the_place_of_a_device(endless, write):
    with pytest.raises(BadInput, match="a device or a pipe"):
        write(endless)
    assert files.found_at(endless) == "a device or a pipe" and len(list(endless.parent.iterdir())) == 1


def test_what_is_at_a_path_has_a_name(tmp_path):
    (tmp_path / "file").write_text("")
    found = [files.found_at(tmp_path / name) for name in ("file", "", "absent")]
    assert found == ["a file", "a folder", "no such file"] and files.found_at("/dev/null") == "a device or a pipe"


# ------------------------------------------ files with holes, which take no room on the disk and all of the memory


LARGE = {
    "JSON": (files.MOST, READERS["JSON"]),
    "picture": (files.MOST, READERS["picture"]),
    "plugin": (library.LARGEST, READERS["plugin"]),
    "model": (2 << 30, lambda path: graph.load(path)),
    "table": (tables.MOST, lambda path: tables.read_rows(path, {}, "a table", "copy it")),
    "lock": (files.MOST, lambda path: doctor.examine(lock=path)),
}


@pytest.mark.parametrize("reader", LARGE)
def test_what_is_larger_than_can_be_meant_is_not_read(tmp_path, reader):
    most, read = LARGE[reader]
    (path := tmp_path / "large.bin").touch()
    os.truncate(path, most + 1)
    with pytest.raises(BadInput, match=r"large\.bin\n  found:    (\d+(,\d{3})+ bytes|a model of 2\.0 GiB)") as caught:
        read(path)
    assert not isinstance(caught.value.__cause__, MemoryError)


def test_a_file_of_the_largest_size_is_read(tmp_path):
    (path := tmp_path / "file").write_bytes(b"[1]")
    assert files.read_file(path, "a file", "", 3) == b"[1]" and files.read_json(path, "", "", 3) == [1]
    with pytest.raises(BadInput, match="3 bytes\n  expected: a file, of at most 2 bytes"):
        files.read_file(path, "a file", "", 2)
    with pytest.raises(BadInput, match="at most 2 bytes"):
        files.read_json(path, "a file", "", 2)


def test_the_doctor_reads_no_plugin_that_is_larger_than_one_can_be(tmp_path):
    (path := tmp_path / "large.so").touch()
    os.truncate(path, library.LARGEST + 1)
    (check,) = plugins.library(machine.Machine(), "cpu", path, ())
    assert check.status == "FAIL" and "4,294,967,297 bytes" in check.found
