"""The stage that names the first bad tensor of an engine: planted faults, faults that hide from marks, and the marks
themselves in the trained mini BEVFormer as it is rewritten for TensorRT 8.6.
"""

import dataclasses
import itertools
import json
import sys
import types

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import __main__ as measure_gpu
from benchmarks import divergence, engines, frames, report
from benchmarks.session import Session
from helpers import export, graph
from helpers.dataset import open_dataset, stream
from helpers.engine.tensorrt import graph as tensorrt_graph
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.models import create, load_checkpoint
from helpers.precision import EngineSide, OnnxSide, first_divergence
from helpers.precision import faults as precision_faults
from helpers.precision.errors import measure, measure_rms
from helpers.precision.marks import PATIENCE
from helpers.systems.bevformer.config import CONFIGS
from tests.fakes import tensorrt as fake_tensorrt

FAULT = "/pts_bbox_head/transformer/encoder/layers.0/attentions.0/Transpose_1"


def quantized(model):
    """A copy of `model` with Q/DQ on both inputs of every convolution."""
    copy, known = onnx.ModelProto(), {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    copy.CopyFrom(model)
    nodes, done = [], set()
    for node in model.graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        for i, name in enumerate(node.input[:2] if node.op_type == "Conv" else ()):
            copied.input[i] = f"{name}/dq"
            if name in done:
                continue
            done.add(name)
            scale = np.float32(np.abs(known[name]).max() / 127 if name in known else 0.03)
            copy.graph.initializer.append(numpy_helper.from_array(scale, f"{name}/scale"))
            copy.graph.initializer.append(numpy_helper.from_array(np.int8(0), f"{name}/zero"))
            for kind, source, made in (("Quantize", name, f"{name}/q"), ("Dequantize", f"{name}/q", f"{name}/dq")):
                inputs = [source, f"{name}/scale", f"{name}/zero"]
                nodes.append(helper.make_node(f"{kind}Linear", inputs, [made], f"{made}/node"))
        nodes.append(copied)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


@pytest.fixture(scope="module")
def work(tmp_path_factory, minidrive):
    """A work folder with the trained mini for small pictures, its graph with Q/DQ, and two frames of MiniDrive."""
    work = tmp_path_factory.mktemp("divergence") / "work"
    config = dataclasses.replace(CONFIGS["mini"], image_size=(64, 96), image_scale=0.06)
    model = load_checkpoint(create("bevformer", config), ROOT / "checkpoints" / "bevformer_mini.safetensors")
    path = export.export(model, work / "models" / "mini.onnx")
    graph.save(quantized(graph.load(path)), work / "models" / "mini_qdq.onnx")
    steps = itertools.islice(stream(open_dataset(minidrive, "v1.0-mini", "mini_val"), config), 2)
    frames.write(work / "frames" / "mini", steps)
    return work


def options(work, *more):
    return measure_gpu.parse(["divergence", f"--work={work}", "--runtime=onnxruntime", *more])


def test_a_planted_fault_is_found_and_recorded(work, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(divergence, "FRAMES", 1)
    model = graph.load(work / "models" / "mini.onnx")
    wrong = graph.save(precision_faults.swap_axis(model, FAULT), tmp_path / "wrong.onnx")
    session = Session(work)
    shape = engines.Shape(session, options(work), "mini")
    case = dataclasses.replace(divergence.CASES["fp16_all"], tolerance=1e-2, inner=1e-2, at_once=8)
    arguments = shape, "fault", case, work / "models" / "mini.onnx", wrong, {"threads": 1}
    found = session.piece("divergence/fault", lambda: divergence.search(*arguments))
    assert found["found"] and (found["node"], found["op"], found["kind"]) == (FAULT, "Transpose", "layout"), found
    assert found["tensor"] == f"{FAULT}_output_0" and found["local"] == found["error"] > 0.1
    assert all(item["error"] < 1e-4 for item in found["inputs"][:-1])
    assert found["probes"] == len(found["log"]) <= 6 and not found["hides"] and not found["notes"]
    printed = capsys.readouterr().out
    lines = (work / "divergence" / "fault.log").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found["log"] and printed.count("  bad: ") >= 2
    assert all(f"  {probe['verdict']}: " in printed and probe["seconds"] > 0 for probe in found["log"])

    ((name, metrics, _),) = report.divergence({"divergence/fault": session.pieces()["divergence/fault"]})
    assert name == "divergence-onnxruntime" and metrics["fault/tensor"] == found["tensor"]
    assert metrics["fault/found"] == "True" and metrics["fault/probes"] == found["probes"]


def test_the_stage_runs_where_tensorrt_is_not(work, monkeypatch, capsys):
    assert divergence.graph(work, divergence.CASES["qdq"]).name == "mini_qdq.onnx"
    assert measure_gpu.main(["divergence", f"--work={work}", "--runtime=onnxruntime", "--only", "fp32"]) == 0
    found = Session(work).result("divergence/fp32")
    assert not found["found"] and found["probes"] == 1 and 0 < found["worst_error"] < 1e-4 and found["frames"] == 2
    assert Session(work).result("divergence/fp16_all") is None
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert (
        measure_gpu.main(["divergence", f"--work={work}"]) == 2 and "--runtime=onnxruntime" in capsys.readouterr().err
    )
    with pytest.raises(BadInput, match="prepare"):
        divergence.graph(work / "nothing", divergence.CASES["qdq"])


def test_settings_are_those_of_the_engines_but_for_the_timing_cache(work, tmp_path):
    library = str(tmp_path / "plugins.so")
    chosen = measure_gpu.parse(
        ["divergence", f"--work={work}", f"--plugin={library}", "--tacticSources=none", "--builderOptimizationLevel=2"]
    )
    shape = engines.Shape(Session(work), chosen, "mini")
    made = {name: divergence.build_options(shape, case) for name, case in divergence.CASES.items()}
    assert made["fp32"]["precision"] == "fp32" and not made["fp32"]["tf32"]
    assert made["fp16_all"]["precision"] == "fp16" and "layer_precisions" not in made["fp16_all"]
    assert made["qdq"]["precision"] == "best" and made["qdq"]["layer_precisions"] == engines.PROJECTION
    for settings in made.values():
        assert settings["plugins"] == [library] and settings["tactic_sources"] == []
        assert settings["optimization_level"] == 2 and settings["workspace"] == 8192
        assert settings["timing_cache"] == str(work / "divergence" / "timing.cache")
    chosen.plugin = None
    native = divergence.build_options(shape, divergence.CASES["qdq"])
    assert native["layer_precisions"] == engines.PROJECTION | engines.SAMPLING and "plugins" not in native


# ------------------------------------------------------------------------------------------------------------- marks


@pytest.fixture
def trt(monkeypatch):
    with fake_tensorrt.installed(monkeypatch, "8.6.0") as module:
        yield module


@pytest.mark.parametrize("name", ["mini", "mini_qdq"])
@pytest.mark.parametrize("plugins", [False, True])
def test_every_tensor_that_is_offered_can_be_marked_for_8_6(work, name, plugins):
    side = EngineSide(work / "models" / f"{name}.onnx")
    makers = {out: node for node in side.model.graph.node for out in node.output}
    assert len(side.names) > 400 and not {"DequantizeLinear", "QuantizeLinear"} & {
        makers[n].op_type for n in side.names
    }
    written = tensorrt_graph.for_version(onnx.load(side.path), "8.6.0", plugins, outputs=side.names).graph
    assert {value.name for value in written.output} == set(side.names)
    for tensor in side.names[::250]:
        alone = tensorrt_graph.for_version(onnx.load(side.path), "8.6.0", plugins, outputs=[tensor]).graph
        assert [value.name for value in alone.output if value.name not in side.outputs] == [tensor]


def test_marked_tensors_are_those_of_the_graph(work, trt, tmp_path):
    """The graph as it is rewritten for 8.6, with the custom operators inlined, computes what was marked."""
    path = work / "models" / "mini.onnx"
    side, reference = EngineSide(path, "tensorrt", tmp_path), OnnxSide(path)
    feed = frames.Frames(work / "frames" / "mini")[0] | {"prev_bev": np.zeros(reference.inputs["prev_bev"], "f4")}
    ours, theirs = side.probe(side.names)(feed), reference.probe(side.names)(feed)
    assert list(ours) == side.names
    assert max(measure(ours[tensor], theirs[tensor], 0, 0).relative for tensor in side.names) < 1e-3


def chain(length=10):
    """x -> t0 -> t1 -> ...: each adds 1."""
    nodes = [helper.make_node("Add", [f"t{i - 1}" if i else "x", "one"], [f"t{i}"], f"/{i}") for i in range(length)]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])  # noqa: E731
    one = numpy_helper.from_array(np.float32([1]), "one")
    made = helper.make_graph(nodes, "chain", [value("x")], [value(f"t{length - 1}")], [one])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_engines_of_tensorrt(work, trt, tmp_path):
    """The settings arrive at every build, marks are outputs, and no engine is built twice."""
    wrong = chain()
    wrong.graph.node[5].op_type = "Sub"
    right, wrong = (graph.save(model, tmp_path / f"{i}.onnx") for i, model in enumerate((chain(), wrong)))
    shape = engines.Shape(Session(work), measure_gpu.parse(["divergence", f"--work={work}"]), "mini")
    case = dataclasses.replace(divergence.CASES["fp32"], at_once=1)
    settings = divergence.build_options(shape, case)
    shape.frames = [{"x": np.float32([1, 2, 3, 4])}]
    found = divergence.search(shape, "tensorrt", case, right, wrong, settings)
    assert found["node"] == "/5" and [layer["name"] for layer in found["layers"]] == ["/5"]
    assert len(trt._built) == found["probes"] <= 6
    for (network, config), probe in zip(trt._built, found["log"], strict=True):
        assert {value.name for value in network._model.graph.output} == {*probe["marked"], *probe["outputs"]}
        assert not config._names() and config._cache is not None
    assert (work / "divergence" / "timing.cache").is_file()


class FakeEngine:
    """The chain, wrong from tensor `fault` on unless marks take that away; counts what is built anew."""

    strategy, rebuilt, model = "bisect", True, None

    def __init__(self, fault=5, healed=lambda marks: False, refused=(), at_once=1):
        self.right, self.fault, self.healed, self.refused, self.at_once = (
            OnnxSide(chain()),
            fault,
            healed,
            refused,
            at_once,
        )
        self.inputs, self.names, self.built = self.right.inputs, self.right.names, []

    def probe(self, names):
        marks = set(names) - {"t9"}
        if marks & set(self.refused):
            raise BadInput("the network", "no implementation", "one", "mark another")
        if marks not in self.built:
            self.built.append(marks)
        factor = 1 if self.healed(marks) else 1.5
        run = self.right.probe(names)
        return lambda feeds: {n: a * (factor if int(n[1:]) >= self.fault else 1) for n, a in run(feeds).items()}


def searched(engine, **more):
    return first_divergence(chain(), engine, [{"x": np.float32([1, 2, 3, 4])}], tolerance=1e-2, **more)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_fault_that_marks_do_not_move_is_found_in_few_engines(at_once):
    for fault in range(10):
        engine, seen = FakeEngine(fault, at_once=at_once), []
        found = searched(engine, watch=seen.append)
        assert found.tensor == f"t{fault}" and found.node == f"/{fault}" and not found.notes
        assert found.local == pytest.approx(0.5) and seen == found.log
        assert len(engine.built) <= found.probes <= (6, 5, 4)[at_once - 1]  # describing builds nothing more


def test_a_fault_inside_a_fusion_is_bounded_and_the_marks_that_hide_it_are_told():
    """t4 and t5 are fused, and wrong only then: either mark makes the outputs right."""
    found = searched(FakeEngine(4, lambda marks: marks & {"t4", "t5"}))
    assert found.tensor == "t6" and set(found.hides) == {"t4", "t5"}
    assert found.between == ["/4", "/5", "/6"] and [item.name for item in found.inputs] == ["t3", "t6"]
    assert "goes away when one of these is marked" in str(found) and found.local == pytest.approx(0.5)


def test_a_mark_that_the_builder_refuses_is_passed_over():
    found = searched(FakeEngine(5, refused=["t4", "t7"]))
    assert found.tensor == "t5" and found.between == ["/4", "/5"] and "t4" in found.refused
    assert "no engine could be built with one of these marked" in str(found)
    with pytest.raises(BadInput, match="no implementation"):
        engine = FakeEngine()
        engine.probe = types.MethodType(lambda self, names: FakeEngine(refused=["t1"]).probe(["t1"]), engine)
        searched(engine)


def test_a_fault_that_every_mark_hides_is_not_pinned_on_a_node():
    found = searched(FakeEngine(5, lambda marks: marks))
    assert found.tensor == "t9" and len(found.hides) == PATIENCE and found.probes == 1 + PATIENCE
    assert len(found.between) == 10 and [item.name for item in found.inputs] == ["x", "t9"]
    assert "the search ended" in str(found) and [probe.verdict for probe in found.log[1:]] == ["hides"] * PATIENCE


def test_a_fault_that_goes_away_with_the_inputs_marked_too_is_told():
    found = searched(FakeEngine(5, lambda marks: {"t4", "t5"} <= marks))
    assert found.tensor == "t5" and found.local is None and not found.hides
    assert "with its inputs marked too (t4) the fault of t5 was not seen" in str(found)
    result = found.inputs[-1]
    assert result.name == "t5" and result.error == pytest.approx(0.5)  # of the engine that showed it


def test_what_a_healthy_peer_is_off_by_is_allowed():
    class Peer(FakeEngine):
        def probe(self, names):
            run = self.right.probe(names)
            return lambda feeds: {name: array * 1.4 for name, array in run(feeds).items()}

    assert searched(FakeEngine()).found and not searched(FakeEngine(), peer=Peer()).found
    with pytest.raises(BadInput, match="metric"):
        searched(FakeEngine(), metric="mean")


def test_rms_is_not_moved_by_one_element():
    a, b = np.ones(10000, np.float32), np.ones(10000, np.float32)
    a[0] = 2
    assert measure(a, b, 0, 0).relative == 1 and measure_rms(a, b, 0, 0).relative == pytest.approx(0.01)
    assert measure_rms(b * 1.5, b, 0, 0).relative == pytest.approx(0.5)
    a[0] = np.nan
    assert measure_rms(a, b, 0, 0).relative == np.inf
