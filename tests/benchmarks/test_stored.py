"""A work folder that was damaged: named with the command that makes it again, never a traceback, never half a set."""

import json
import types

import numpy as np
import pytest

from benchmarks import __main__ as measure_gpu
from benchmarks import frames, shots
from benchmarks.session import Session
from helpers.errors import BadInput

KEPT = {"tokens": ["a", "b"], "first": [True, False]}


@pytest.fixture
def work(tmp_path):
    """Two frames with one picture each, and one input beside it."""
    for name, table in (("frames", KEPT), ("pictures", KEPT | {"sizes": [3, 2]})):
        (folder := tmp_path / name / "mini").mkdir(parents=True)
        (folder / f"{'shots' if name == 'pictures' else name}.json").write_text(json.dumps(table))
        np.save(folder / "x.npy", np.float32([[1], [2]]))
    (tmp_path / "pictures/mini/pictures.bin").write_bytes(b"abcde")
    return tmp_path


def rows(work):
    return shots.read(work / "pictures/mini", "the fix")


def steps(work):
    return list(frames.Frames(work / "frames/mini", "the fix"))


def test_what_was_written_is_read(work):
    assert [(shot.jpegs, shot.feeds["x"].tolist(), shot.first, shot.frame) for shot in rows(work)] == [
        ((b"abc",), [1], True, "a"), ((b"de",), [2], False, "b")]  # fmt: skip
    assert [(step.feeds["x"].tolist(), step.first, step.frame) for step in steps(work)] == [
        ([1], True, "a"), ([2], False, "b")]  # fmt: skip


class Counting:
    """A network that keeps its states and says nothing of its inputs, as benchmarks.runner's in PyTorch."""

    def __init__(self):
        self.states, self.sum, self.resets = {"past": "sum"}, 0.0, 0

    def reset(self):
        self.sum, self.resets = 0.0, self.resets + 1

    def run(self, feeds):
        self.sum = self.sum + feeds["x"]
        return {"sum": self.sum}


def test_a_network_that_keeps_its_states_is_streamed_without_its_inputs(work):
    system = types.SimpleNamespace(kept=lambda config, outputs: outputs)
    config = types.SimpleNamespace(states={"past": "sum"}, initial_states=lambda: {"past": np.zeros(1, np.float32)})
    network, out = Counting(), work / "out.npz"
    assert frames.stream(network, frames.Frames(work / "frames/mini", "the fix"), system, config, out) == {
        "frames": 2, "finite": True}  # fmt: skip
    assert np.load(out)["sum"].tolist() == [[1], [3]] and network.resets == 1


@pytest.mark.parametrize(
    ("read", "file", "content"),
    [
        (steps, "frames/mini/frames.json", "{"),
        (steps, "frames/mini/frames.json", "[" * 100_000),
        (steps, "frames/mini/frames.json", "[]"),
        (steps, "frames/mini/frames.json", json.dumps(KEPT | {"first": [True]})),
        (steps, "frames/mini/frames.json", json.dumps(KEPT | {"first": ["false", "true"]})),
        (steps, "frames/mini/x.npy", "numbers"),
        (steps, "frames/mini/x.npy", np.float32([[1]])),
        (steps, "frames/mini/x.npy", np.array([{}, {}])),
        (rows, "pictures/mini/shots.json", json.dumps(KEPT)),
        (rows, "pictures/mini/shots.json", json.dumps(KEPT | {"sizes": [3, 2], "first": [1, 0]})),
        (rows, "pictures/mini/shots.json", json.dumps(KEPT | {"sizes": "ab"})),
        (rows, "pictures/mini/shots.json", json.dumps(KEPT | {"sizes": [3, 2, 1]})),
        (rows, "pictures/mini/shots.json", json.dumps(KEPT | {"sizes": [6, -1]})),
        (rows, "pictures/mini/shots.json", json.dumps({"tokens": [], "first": [], "sizes": []})),
        (rows, "pictures/mini/pictures.bin", "abcd"),
        (rows, "pictures/mini/pictures.bin", None),
        (rows, "pictures/mini/x.npy", np.array(["a", "b"])),
    ],
)
def test_what_is_damaged_is_named_with_the_command_that_makes_it_again(work, read, file, content):
    path = work / file
    if content is None:
        path.unlink()
    elif isinstance(content, str):
        path.write_text(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(BadInput, match=rf"{path.parent}(.|\n)*fix: *the fix"):
        read(work)


@pytest.mark.parametrize("content", ["{", "[1]", "{}", '{"depends": 1}', '{"depends": 1, "depends": 2, "result": 3}'])
def test_what_is_no_piece_is_neither_used_nor_written_over(tmp_path, capsys, content):
    path = tmp_path / "pieces/mini/build.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(BadInput, match="the stage makes it again"):
        Session(tmp_path).piece("mini/build", lambda: pytest.fail("made"))
    assert measure_gpu.main(["records", "--tiny", f"--work={tmp_path}"]) == 2
    assert str(path) in capsys.readouterr().err and path.read_text() == content


def test_nothing_measured_is_no_record(tmp_path, capsys):
    assert measure_gpu.main(["records", "--tiny", f"--work={tmp_path}"]) == 2
    assert "no pieces" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
