"""What counts as a divergence, and which frames and states both runners are fed."""

import math

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from helpers.errors import BadInput
from helpers.precision import Options, first_divergence
from helpers.sequence import Step
from tests.builders.graphs import chain, model_of
from tests.fakes.runners import Recorder

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


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
def test_frames_that_are_not_numbers_are_refused_by_name(strategy):
    """NaN compares false: whatever the weights, nothing would exceed a tolerance."""
    frames = [*X, {"x": np.float32([1, np.nan, 3, np.nan])}]
    with pytest.raises(BadInput, match=r"frame 1: input x[\s\S]*2 of 4 values that are NaN, infinite"):
        first_divergence(chain(), chain(7), frames, options=Options(strategy=strategy))


def test_frames_of_another_kind_of_type_are_refused():
    whole = model_of([helper.make_node("Neg", ["x"], ["y"])], {"x": [4]}, ["y"])
    whole.graph.input[0].type.tensor_type.elem_type = whole.graph.output[0].type.tensor_type.elem_type = (
        TensorProto.INT64
    )
    with pytest.raises(BadInput, match=r"input x[\s\S]*float32[\s\S]*int64"):
        first_divergence(whole, whole, X)
    assert not first_divergence(whole, whole, [{"x": np.arange(4, dtype=np.int32)}]).found
    assert not first_divergence(chain(), chain(), [{"x": np.arange(4)}]).found


def rooted(scale=1.0, last="Abs"):
    """x -> r = sqrt(x) -> s = r * scale -> y."""
    nodes = [helper.make_node("Sqrt", ["x"], ["r"]), helper.make_node("Mul", ["r", "scale"], ["s"])]
    nodes.append(helper.make_node(last, ["s"], ["y"]))
    return model_of(nodes, {"x": [4]}, ["y"], {"scale": np.float32([scale])})


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
def test_what_is_not_a_number_in_both_is_its_own_answer(strategy):
    frames, options = [*X, {"x": np.float32([1, -1, -1, 4])}], Options(strategy=strategy)
    found = first_divergence(rooted(), rooted(), frames, options=options)
    assert (found.found, found.kind, found.frame, found.share) == (True, "nan", 1, 0.5) and math.isnan(found.error)
    where = ("r", "/r/Sqrt", "Sqrt") if strategy == "walk" else ("y", "/y/Abs", "Abs")  # only outputs were looked at
    assert (found.tensor, found.node, found.op) == where and "50.00% of its elements" in found.hint
    assert str(found).startswith(f"not a number in both runners: {where[0]}")
    whole = first_divergence(rooted(), rooted(7), [{"x": np.full(4, -1, np.float32)}], options=options)
    assert whole.kind == "nan" and whole.share == 1


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
def test_a_divergence_beside_values_that_are_not_numbers_is_found(strategy):
    frames = [{"x": np.float32([1, -1, -1, 4])}]
    found = first_divergence(rooted(), rooted(1.5), frames, options=Options(strategy=strategy))
    assert (found.tensor, found.kind) == ("s", "constant") and found.error == pytest.approx(0.5)
    one_sided = first_divergence(rooted(), rooted(math.inf), [{"x": np.zeros(4, np.float32)}])
    assert one_sided.tensor == "s" and one_sided.error == math.inf  # 0 * inf


def test_a_tolerance_is_a_number():
    for tolerance in (math.nan, math.inf, -1e-3):
        with pytest.raises(BadInput, match="tolerance"):
            first_divergence(chain(), chain(7), X, tolerance=tolerance)
        with pytest.raises(BadInput, match="tolerance of t2"):
            Options(overrides={"t2": tolerance})


def test_a_state_needs_a_shape():
    model = chain()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    del model.graph.value_info[:], model.graph.output[0].type.tensor_type.shape.dim[:]
    with pytest.raises(BadInput, match=r"state x[\s\S]*free"):
        first_divergence(model, model, [{}], {"x": "t5"})


def test_what_can_be_compared():
    with pytest.raises(BadInput, match=r"what to compare[\s\S]*int"):
        first_divergence(chain(), 5, X)
    with pytest.raises(BadInput, match="another module"):
        first_divergence(nn.Identity(), nn.Identity(), X)
    bare = Recorder(chain(), {})
    bare.model = None
    with pytest.raises(BadInput, match="neither has a graph"):
        first_divergence(bare, bare, X)
