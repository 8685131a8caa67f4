"""Why a tensor differs: every hint on a few nodes."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from helpers.precision import Options, faults, first_divergence
from tests.builders.graphs import chain, model_of
from tests.fakes.runners import Recorder

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_wrong_constant():
    for strategy in ("walk", "bisect"):
        found = first_divergence(chain(), chain(1.5), X, options=Options(strategy=strategy))
        assert (found.tensor, found.op, found.kind) == ("t2", "Mul", "constant")
        assert "input 1 of /t2/Mul, scale, differs by 0.5" in found.hint
        assert found.error == pytest.approx(0.5) and found.share == 1.0


def test_trial_of_other_axes():
    """The reference shows its output only: of two Transposes the one is named whose other axes make it agree."""

    def twice(perm):
        nodes = [
            helper.make_node("Transpose", ["x"], ["a"], perm=[1, 0]),
            helper.make_node("MatMul", ["a", "w"], ["b"]),
            helper.make_node("Transpose", ["b"], ["c"], perm=perm),
            helper.make_node("MatMul", ["c", "w"], ["y"]),
        ]
        return model_of(nodes, {"x": [3, 3]}, ["y"], {"w": np.arange(9, dtype=np.float32).reshape(3, 3) ** 2})

    reference = Recorder(twice([1, 0]), {})
    reference.model, reference.names = None, ["y"]
    frames = [{"x": np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)}]
    found = first_divergence(reference, twice([0, 1]), frames)
    assert (found.tensor, found.node, found.kind) == ("y", "/c/Transpose", "layout")
    assert "perm is [0, 1]; with perm = [1, 0] the runners agree" in found.hint


def test_accumulation_in_half():
    rng = np.random.default_rng(0)
    weight = rng.uniform(size=(4096, 8)).astype(np.float32)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [4, 4096]}, ["y"], {"w": weight})
    frames = [{"x": rng.uniform(size=(4, 4096)).astype(np.float32)}]
    found = first_divergence(model, faults.half(model, "*"), frames, tolerance=1e-5)
    assert (found.kind, found.node) == ("accumulate", "/y/MatMul") and "sum of 4096 terms" in found.hint
    found = first_divergence(chain(1 / 3), faults.half(chain(1 / 3), "/t2/*"), X, tolerance=1e-5)
    assert (found.kind, found.node) == ("half", "/t2/Mul") and "11 bits" in found.hint


def test_overflow_in_half_shows_on_the_cpu():
    """ONNX Runtime would drop the Casts between the two nodes, and the overflow with them."""
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"]), helper.make_node("Sqrt", ["y"], ["z"])]
    model = model_of(nodes, {"x": [4]}, ["z"])
    frames = [{"x": np.float32([1, 2, 3, 1000])}]
    found = first_divergence(model, faults.half(model, "*"), frames, tolerance=1e-2)
    assert (found.kind, found.tensor, found.error) == ("overflow", "y", np.inf)
    assert "1 values are not finite (the reference reaches 1e+06)" in found.hint
    assert found.inputs[-1].candidate.nonfinite == 1 and found.inputs[-1].reference.nonfinite == 0


def test_wrong_layout_by_its_values():
    """Without a graph of the candidate's own, the permutation is read off the values."""
    model = model_of([helper.make_node("Exp", ["x"], ["y"])], {"x": [3, 3]}, ["y"])
    engine = Recorder(model, {})
    engine.probe = lambda names: lambda feeds: {"y": np.exp(feeds["x"]).T.copy()}
    found = first_divergence(model, engine, [{"x": np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)}])
    assert found.kind == "layout" and "axes [1, 0]" in found.hint
    noisy = np.random.default_rng(1).normal(1, 0.01, size=(3, 3))
    engine.probe = lambda names: lambda feeds: {"y": np.exp(feeds["x"]) * noisy}
    assert first_divergence(model, engine, [{"x": np.eye(3, dtype=np.float32)}]).kind != "layout"
    rng = np.random.default_rng(0)
    dense = rng.uniform(size=20000).astype(np.float32)
    shaken = dense + rng.normal(size=20000) * 0.04 * dense * (1 - dense)
    wide = model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": [20000]}, ["y"])
    engine = Recorder(wide, {})
    engine.probe = lambda names: lambda feeds: {"y": shaken}
    assert first_divergence(wide, engine, [{"x": dense}], tolerance=0.03).kind == "half"  # sorted, both look the same


def sampled(mode):
    nodes = [
        helper.make_node("Mul", ["grid", "one"], ["moved"]),
        helper.make_node("GridSample", ["image", "moved"], ["y"], mode=mode, align_corners=0),
    ]
    model = model_of(nodes, {"image": [1, 1, 32, 32], "grid": [1, 32, 32, 2]}, ["y"], {"one": np.float32(1)})
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32(1.0001), "one"))
    return model, other


def test_ties_of_nearest_sampling_are_told_from_faults():
    rng = np.random.default_rng(0)
    frames = [
        {
            "image": rng.normal(size=(1, 1, 32, 32)).astype(np.float32),
            "grid": rng.uniform(-1, 1, size=(1, 32, 32, 2)).astype(np.float32),
        }
    ]
    found = first_divergence(*sampled("nearest"), frames)
    assert (found.op, found.kind) == ("GridSample", "decision") and 0 < found.share < 0.01 and found.error > 0.1
    assert f"{found.share:.2%} of the elements" in found.hint
    assert not first_divergence(*sampled("bilinear"), frames, tolerance=1e-2).found
    other = sampled("nearest")[0]
    found = first_divergence(sampled("bilinear")[0], other, frames)
    assert found.kind == "mode" and "mode is nearest, the reference has bilinear" in found.hint


def test_carried_error():
    """x - 1 near 1: the error of t0 is within its tolerance, and the subtraction makes it large."""

    def near_one(scale):
        nodes = [helper.make_node("Mul", ["x", "scale"], ["a"]), helper.make_node("Sub", ["a", "one"], ["b"])]
        return model_of(nodes, {"x": [4]}, ["b"], {"scale": np.float32(scale), "one": np.float32(1)})

    frames = [{"x": np.float32([1.01, 1.02, 1.0, 0.99])}]
    found = first_divergence(near_one(1), near_one(1.0005), frames)
    assert (found.tensor, found.kind) == ("b", "carried") and "a is already off by 0.0005" in found.hint


def test_an_input_that_is_equal_carries_nothing_even_where_no_error_is_allowed():
    nodes = [helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Sigmoid", ["a"], ["b"])]
    right, wrong = (model_of(nodes, {"x": [4]}, ["b"], {}) for _ in range(2))
    wrong.graph.node[1].op_type = "Tanh"
    found = first_divergence(right, wrong, [{"x": np.float32([1, 2, 3, 4])}], tolerance=0)
    assert found.tensor == "b" and found.kind != "carried"
