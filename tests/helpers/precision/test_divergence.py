"""What counts as a divergence, and which frames and states both runners are fed."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from helpers.errors import BadInput
from helpers.precision import Options, first_divergence
from helpers.sequence import Step
from tests.builders.graphs import chain, model_of

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_tolerance_is_relative_and_can_be_set_by_name():
    narrow, mixed = Options(overrides={"t2": 1e-3}), Options(overrides={"t2": 1e-2, "t?": 1.0, "t4": 1e-3})
    assert not first_divergence(chain(), chain(1.005), X, tolerance=1e-2).found
    assert first_divergence(chain(), chain(1.005), X, tolerance=1e-2, options=narrow).tensor == "t2"
    assert first_divergence(chain(), chain(1.005), X, options=mixed).tensor == "t4"


def test_the_worst_frame_counts():
    other = chain()
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([2]), "one"))
    found = first_divergence(chain(), other, [{"x": np.zeros(4, np.float32)}, {"x": np.full(4, 9, np.float32)}])
    assert (found.tensor, found.frame, found.error) == ("t0", 0, 1.0)


def test_history_is_the_references():
    """The state doubles what it gets: a fault of the first frame would double with it, but each frame starts anew."""

    def recurrent(gain):
        nodes = [
            helper.make_node("Mul", ["prev_bev", "gain"], ["kept"]),
            helper.make_node("Add", ["kept", "x"], ["bev_embed"]),
        ]
        return model_of(nodes, {"x": [4], "prev_bev": [4]}, ["bev_embed"], {"gain": np.float32(gain)})

    states = {"prev_bev": "bev_embed"}
    found = first_divergence(recurrent(2), recurrent(2.2), X * 3, states)
    assert (found.tensor, found.frames) == ("kept", 3) and found.error == pytest.approx(0.1)
    assert not first_divergence(recurrent(2), recurrent(2.2), X, states).found  # no history on a first frame
    scenes = [Step(X[0], first) for first in (True, False, True, True)]
    assert first_divergence(recurrent(2), recurrent(2.2), scenes, states).frame == 1
    assert not first_divergence(recurrent(2), recurrent(2.2), scenes[2:], states).found
    held = [X[0] | {"prev_bev": np.zeros(4, np.float32)}] * 2  # frames with an array of their own are fed that
    assert not first_divergence(recurrent(2), recurrent(2.2), held, states).found
    np.testing.assert_array_equal(found.inputs[0].reference[:2], found.inputs[0].candidate[:2])


def test_bad_input():
    with pytest.raises(BadInput, match="inputs of the candidate"):
        first_divergence(chain(), model_of([helper.make_node("Neg", ["z"], ["t0"])], {"z": [4]}, ["t0"]), X)
    with pytest.raises(BadInput, match="none in common"):
        first_divergence(chain(), model_of([helper.make_node("Neg", ["x"], ["y"])], {"x": [4]}, ["y"]), X)
    with pytest.raises(BadInput, match="frame 0"):
        first_divergence(chain(), chain(), [{"x": np.zeros(5, np.float32)}])
    with pytest.raises(BadInput, match="frames"):
        first_divergence(chain(), chain(), [])
    with pytest.raises(BadInput, match="strategy"):
        Options(strategy="guess")
