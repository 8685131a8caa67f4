"""A graph in two parts computes what it did whole."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from helpers import engine, graph
from helpers.errors import BadInput
from tests.builders.graphs import save, value


def save_two_natures(path):
    """kept = relu(2 x + history · w), top = max(kept): what is made of x alone comes first."""
    weights = {"two": np.float32(2), "w": np.float32([[0, 2], [-1, 0]]), "axes": np.int64([1])}
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["seen"], "/eyes/Mul"),
        helper.make_node("Identity", ["seen"], ["features"], "/eyes/Identity"),
        helper.make_node("MatMul", ["history", "w"], ["moved"], "/mind/MatMul"),
        helper.make_node("Add", ["features", "moved"], ["added"], "/mind/Add"),
        helper.make_node("Relu", ["added"], ["kept"], "/mind/Relu"),
        helper.make_node("ReduceMax", ["kept", "axes"], ["top"], "/mind/ReduceMax", keepdims=1),
    ]
    inputs, outputs = [value("x", [3, 2]), value("history", [3, 2])], [value("kept", [3, 2]), value("top", [3, 1])]
    return save(path, nodes, inputs, outputs, [numpy_helper.from_array(a, name) for name, a in weights.items()])


@pytest.fixture
def whole(tmp_path):
    return save_two_natures(tmp_path / "whole.onnx")


def test_both_parts_together_are_the_whole(tmp_path, whole):
    eyes, mind = tmp_path / "eyes.onnx", tmp_path / "mind.onnx"
    assert graph.split(whole, ["/eyes/*"], eyes, mind) == ["features"]
    x, history = np.random.default_rng(0).standard_normal((2, 3, 2)).astype(np.float32)
    with engine.load(whole) as one, engine.load(mind, before=engine.load(eyes)) as two:
        assert one.inputs == two.inputs and one.outputs == two.outputs
        expected, found = (each.run({"x": x, "history": history}) for each in (one, two))
        assert all((found[name] == array).all() for name, array in expected.items())
        with pytest.raises(BadInput, match="profile each of them"):
            two.profile({"x": x, "history": history}, 1)


@pytest.mark.parametrize(
    "patterns, named",
    [(["/ears/*"], "no node"), (["*"], "all nodes"), (["/eyes/*", "/mind/[MA]*", "/mind/Relu"], "make kept")],
)
def test_what_cannot_be_cut_is_refused_and_nothing_written(tmp_path, whole, patterns, named):
    with pytest.raises(BadInput, match=named):
        graph.split(whole, patterns, tmp_path / "eyes.onnx", tmp_path / "mind.onnx")
    with pytest.raises(BadInput):
        graph.split(whole, ["/eyes/*"], tmp_path / "eyes.onnx", whole)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.onnx"]


@pytest.mark.parametrize("what", ["whole", "mind", "text"])
def test_an_engine_that_does_not_come_before(tmp_path, whole, what):
    graph.split(whole, ["/eyes/*"], tmp_path / "eyes.onnx", tmp_path / "mind.onnx")
    before = "eyes.onnx" if what == "text" else engine.load(tmp_path / f"{what}.onnx")
    with pytest.raises(BadInput, match="option before"):
        engine.load(tmp_path / "mind.onnx", before=before)


def test_three_run_as_one_and_outputs_that_nobody_takes_stay(tmp_path, whole):
    parts = {
        "eyes": (["x"], ["features"]),
        "mind": (["features", "history"], ["moved", "added"]),
        "mouth": (["added"], ["kept"]),
    }
    eyes, mind, mouth = (graph.subgraph(whole, tmp_path / f"{name}.onnx", *ends) for name, ends in parts.items())
    x, history = np.random.default_rng(0).standard_normal((2, 3, 2)).astype(np.float32)
    with engine.load(whole) as one, engine.load(mouth, before=engine.load(mind, before=engine.load(eyes))) as three:
        assert list(three.inputs) == ["x", "history"] and list(three.outputs) == ["moved", "kept"]
        expected, found = (each.run({"x": x, "history": history}) for each in (one, three))
        assert (found["kept"] == expected["kept"]).all()
        np.testing.assert_allclose(found["moved"], history @ np.float32([[0, 2], [-1, 0]]), rtol=1e-6)


def test_an_output_of_both_is_refused(tmp_path, whole):
    first = graph.subgraph(whole, tmp_path / "first.onnx", ["x", "history"], ["added", "kept"])
    second = graph.subgraph(whole, tmp_path / "second.onnx", ["added"], ["kept"])
    with pytest.raises(BadInput, match=r"kept in both(.|\n)*outputs of one of the two"):
        engine.load(second, before=engine.load(first))
