"""Engines with marked outputs: faults that marking does not move, and faults that hide from it."""

import types

import numpy as np
import onnx
import pytest
from onnx import helper

from helpers import graph
from helpers.engine.tensorrt.graph import for_version
from helpers.errors import BadInput
from helpers.precision import EngineRunner, OnnxRunner, Options, first_divergence
from helpers.precision.errors import measure
from helpers.precision.marked import PATIENCE
from tests.builders.bevformer import drive
from tests.builders.graphs import chain, model_of, quantized
from tests.fakes import tensorrt as fake_tensorrt
from tests.fakes.runners import FakeEngine


@pytest.fixture(scope="module")
def paths(small_mini, tmp_path_factory):
    """The mini BEVFormer's graph, and the same with Q/DQ."""
    _, path = small_mini
    return {"mini": path, "qdq": graph.save(quantized(graph.load(path)), tmp_path_factory.mktemp("qdq") / "qdq.onnx")}


@pytest.mark.parametrize("name", ["mini", "qdq"])
@pytest.mark.parametrize("plugins", [False, True])
def test_every_tensor_that_is_offered_can_be_marked_for_8_6(paths, name, plugins):
    runner = EngineRunner(paths[name])
    makers = {out: node for node in runner.model.graph.node for out in node.output}
    made_by = {makers[tensor].op_type for tensor in runner.names}
    assert len(runner.names) > 250 and not {"DequantizeLinear", "QuantizeLinear"} & made_by
    written = for_version(onnx.load(runner.path), "8.6.0", plugins, outputs=runner.names).graph
    assert {value.name for value in written.output} == set(runner.names)
    for tensor in runner.names[::250]:
        alone = for_version(onnx.load(runner.path), "8.6.0", plugins, outputs=[tensor]).graph
        assert [value.name for value in alone.output if value.name not in runner.outputs] == [tensor]


def test_marked_tensors_are_those_of_the_graph(small_mini, tmp_path, monkeypatch):
    """The graph as it is rewritten for 8.6, with the custom operators inlined, computes what was marked."""
    model, path = small_mini
    runner, reference = EngineRunner(path, "tensorrt", tmp_path), OnnxRunner(path)
    feed = next(drive(model.config, 1)) | {"prev_bev": np.zeros(reference.inputs["prev_bev"], "f4")}
    with fake_tensorrt.installed(monkeypatch, "8.6.0"):
        ours = runner.probe(runner.names)(feed)
    theirs = reference.probe(runner.names)(feed)
    assert list(ours) == runner.names
    assert max(measure(ours[tensor], theirs[tensor], 0, 0).relative for tensor in runner.names) < 1e-3


def searched(engine, **more):
    frames, options = [{"x": np.float32([1, 2, 3, 4])}], Options(**more)
    return first_divergence(chain(length=10), engine, frames, tolerance=1e-2, options=options)


def test_what_is_not_a_number_in_both_engines_is_its_own_answer(tmp_path):
    nodes = [helper.make_node("Sqrt", ["x"], ["r"]), helper.make_node("Neg", ["r"], ["y"])]
    path = graph.save(model_of(nodes, {"x": [4]}, ["y"]), tmp_path / "root.onnx")
    runner = EngineRunner(path, "onnxruntime", tmp_path / "engines")
    found = first_divergence(path, runner, [{"x": np.float32([1, -1, 4, 9])}])
    assert (found.tensor, found.kind, found.share, found.probes) == ("y", "nan", 0.25, 1)
    assert [probe.verdict for probe in found.log] == ["nan"]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_fault_that_marking_does_not_move_is_found_in_few_engines(at_once):
    for fault in range(10):
        engine, seen = FakeEngine(fault, at_once=at_once), []
        found = searched(engine, watch=seen.append)
        assert found.tensor == f"t{fault}" and found.node.startswith(f"/t{fault}/") and not found.notes
        assert found.local == pytest.approx(0.5) and seen == found.log
        assert len(engine.built) <= found.probes <= (6, 5, 4)[at_once - 1]  # describing builds nothing more


def test_a_fault_inside_a_fusion_is_bounded_and_the_tensors_that_hide_it_are_told():
    """t4 and t5 are fused, and wrong only then: marking either makes the outputs right."""
    found = searched(FakeEngine(4, lambda marked: marked & {"t4", "t5"}))
    assert found.tensor == "t6" and set(found.hides) == {"t4", "t5"}
    assert found.between == ["/t4/Add", "/t5/Add", "/t6/Add"] and [item.name for item in found.inputs] == ["t3", "t6"]
    assert "goes away when one of these is marked" in str(found) and found.local == pytest.approx(0.5)


def test_a_tensor_that_the_builder_refuses_is_passed_over():
    found = searched(FakeEngine(5, refused=["t4", "t7"]))
    assert found.tensor == "t5" and found.between == ["/t4/Add", "/t5/Add"] and "t4" in found.refused
    assert "no engine could be built with one of these marked" in str(found)
    with pytest.raises(BadInput, match="no implementation"):
        engine = FakeEngine()
        engine.probe = types.MethodType(lambda self, names: FakeEngine(refused=["t1"]).probe(["t1"]), engine)
        searched(engine)


def test_a_fault_that_any_marking_hides_is_not_pinned_on_a_node():
    found = searched(FakeEngine(5, lambda marked: marked))
    assert found.tensor == "t9" and len(found.hides) == PATIENCE and found.probes == 1 + PATIENCE
    assert len(found.between) == 10 and [item.name for item in found.inputs] == ["x", "t9"]
    assert "the search ended" in str(found) and [probe.verdict for probe in found.log[1:]] == ["hides"] * PATIENCE


def test_a_fault_that_goes_away_with_the_inputs_marked_too_is_told():
    found = searched(FakeEngine(5, lambda marked: {"t4", "t5"} <= marked))
    assert found.tensor == "t5" and found.local is None and not found.hides
    assert "with its inputs marked too (t4) the fault of t5 was not seen" in str(found)
    result = found.inputs[-1]
    assert result.name == "t5" and result.error == pytest.approx(0.5)  # of the engine that showed it


def test_what_a_noise_reference_is_off_by_is_allowed():
    class Noisy(FakeEngine):
        def probe(self, names):
            run = self.right.probe(names)
            return lambda feeds: {name: array * 1.4 for name, array in run(feeds).items()}

    assert searched(FakeEngine()).found and not searched(FakeEngine(), noise_reference=Noisy()).found
    with pytest.raises(BadInput, match="metric"):
        Options(metric="mean")
