"""Engines of TensorRT that run as one: one stream, one graph, and nothing copied between them."""

import numpy as np
import onnx
import pytest
from onnx import helper

from helpers import engine, graph
from helpers.errors import BadInput
from tests.helpers.engine.tensorrt.builders import built, sequences, step
from tests.helpers.graph.test_split import save_two_natures

STATES = {"history": "kept"}


@pytest.fixture
def parts(trt, tmp_path):
    whole, eyes, mind = (tmp_path / f"{name}.onnx" for name in ("whole", "eyes", "mind"))
    graph.split(save_two_natures(whole), ["/eyes/*"], eyes, mind)
    return built(eyes), built(mind)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_they_compute_what_the_whole_does_with_the_states_on_the_gpu(parts, driver, cuda_graph):
    eyes, mind = parts
    with engine.load(mind, before=engine.load(eyes), states=STATES, cuda_graph=cuda_graph) as loaded:
        assert list(loaded.inputs) == ["x", "history"] and list(loaded.outputs) == ["kept", "top"]
        doubled = sequences(loaded, driver, lambda x, history: step(2 * x, history))
        runs = [(x, driver.log.count("download")) for x in doubled]
        assert [count for _, count in runs] == [2] * 8
        x, _ = runs[-1]
        assert driver.log.count("launch" if cuda_graph else "execute") == (1 if cuda_graph else 2)
        assert loaded.time({"x": x}, 1, 2)["gpu"]["n"] == 2 and len(loaded.layers()) == 6
        assert loaded.memory()["engine_file"] == pytest.approx(sum(path.stat().st_size for path in parts) / 2**20)
        with pytest.raises(BadInput, match="profile each of them"):
            loaded.profile({"x": x})
        (slot,) = loaded.slots(1, STATES)
        slot.inputs["x"][...] = x
        slot.submit(True)
        np.testing.assert_allclose(slot.result()["top"], step(2 * x, 0 * x)["top"], rtol=1e-6)
        slot.close()


@pytest.fixture
def three(trt, tmp_path):
    """What comes before the states, what keeps them, and what reads the result."""
    whole = onnx.load(save_two_natures(tmp_path / "whole.onnx"))
    whole.graph.node[-1].input[0] = "face"
    whole.graph.node.insert(5, helper.make_node("Identity", ["kept"], ["face"], "/mind/Identity"))
    ends = {
        "eyes": (["x"], ["features"]),
        "mind": (["features", "history"], ["kept", "face"]),
        "mouth": (["face"], ["top"]),
    }
    return [built(graph.subgraph(whole, tmp_path / f"{name}.onnx", *both)) for name, both in ends.items()]


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_what_the_one_in_the_middle_keeps_is_a_state_of_the_three(three, driver, cuda_graph):
    eyes, mind, mouth = three
    middle = engine.load(mind, before=engine.load(eyes))
    with engine.load(mouth, before=middle, states=STATES, cuda_graph=cuda_graph) as loaded:
        assert list(loaded.inputs) == ["x", "history"] and list(loaded.outputs) == ["kept", "top"]
        for _ in sequences(loaded, driver, lambda x, history: step(2 * x, history)):
            assert driver.log.count("launch" if cuda_graph else "execute") == (1 if cuda_graph else 3)
        assert loaded.time({"x": np.ones((3, 2), np.float32)}, 1, 2)["gpu"]["n"] == 2 and len(loaded.layers()) == 7
        slots = loaded.slots(2, STATES)
        assert all(list(slot.inputs) == ["x"] for slot in slots)
        history = np.zeros((3, 2), np.float32)
        for turn in range(5):
            slot, x = slots[turn % 2], np.full((3, 2), turn, np.float32)
            slot.inputs["x"][...] = x
            slot.submit(turn == 0)
            expected = step(2 * x, history)
            found = slot.result()
            assert list(found) == ["top"]
            np.testing.assert_allclose(found["top"], expected["top"], rtol=1e-6)
            history = expected["kept"]
        for slot in slots:
            slot.close()


def test_states_of_one_that_comes_before_are_refused(three):
    eyes, mind, mouth = three
    with (
        engine.load(mind, states=STATES) as middle,
        pytest.raises(BadInput, match=r"with states(.|\n)*second one with"),
    ):
        engine.load(mouth, before=middle)
    with engine.load(eyes) as first, pytest.raises(BadInput, match=r"outputs features(.|\n)*one of face"):
        engine.load(mouth, before=first)


def test_both_are_given_back(parts, driver):
    weights = len(driver.memory)
    loaded = engine.load(parts[1], before=engine.load(parts[0]), states=STATES, cuda_graph=True)
    loaded.run({"x": np.ones((3, 2), np.float32)})
    loaded.close(), loaded.close()
    assert len(driver.pinned) == 0 and len(driver.memory) == weights + 2  # the stand-in's weights stay
    assert {kind.__name__ for kind, _ in driver.handles.values()} == {"CUcontext"}
