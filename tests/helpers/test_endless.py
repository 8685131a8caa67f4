"""Devices and pipes, whose bytes may have no end, are neither read nor replaced."""

import os
import signal

import pytest
from torch import nn

from helpers import engine, files, graph, models, npz
from helpers.calibration import samples
from helpers.dataset.images import read_image
from helpers.errors import BadInput
from helpers.ops import library


@pytest.fixture(autouse=True)
def soon():
    """A test that waits for a pipe fails instead."""

    def late(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
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
    assert not files.is_lfs_pointer(endless)


@pytest.mark.parametrize(
    "write",
    [files.check_target, lambda path: files.atomic(path).__enter__(), lambda path: files.write_new(path, "x")],
)
def test_no_file_takes_the_place_of_a_device(endless, write):
    with pytest.raises(BadInput, match="a device or a pipe"):
        write(endless)
    assert files.found_at(endless) == "a device or a pipe" and len(list(endless.parent.iterdir())) == 1


def test_what_is_at_a_path_has_a_name(tmp_path):
    (tmp_path / "file").write_text("")
    found = [files.found_at(tmp_path / name) for name in ("file", "", "absent")]
    assert found == ["a file", "a folder", "no such file"] and files.found_at("/dev/null") == "a device or a pipe"
