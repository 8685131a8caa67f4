"""The stage that names the first bad tensor of an engine."""

import dataclasses
import itertools
import json
import sys

import numpy as np
import pytest

from benchmarks import __main__ as measure_gpu
from benchmarks import divergence, engines, frames, report
from benchmarks.session import Session, of_file
from helpers import graph
from helpers.dataset import open_dataset, stream
from helpers.errors import BadInput
from helpers.precision import faults
from tests.builders.graphs import chain, quantized
from tests.fakes import tensorrt as fake_tensorrt

FAULT = "/pts_bbox_head/transformer/encoder/layers.0/attentions.0/Transpose_1"


@pytest.fixture(scope="module")
def work(tmp_path_factory, minidrive, small_mini):
    """A work folder with the mini for small pictures, its graph with Q/DQ, and two frames of MiniDrive."""
    work = tmp_path_factory.mktemp("divergence") / "work"
    model, path = small_mini
    graph.save(graph.load(path), work / "models" / "mini.onnx")
    graph.save(quantized(graph.load(path)), work / "models" / "mini_qdq.onnx")
    steps = itertools.islice(stream(open_dataset(minidrive, "v1.0-mini", "mini_val"), model.config), 2)
    frames.write(work / "frames" / "mini", steps)
    return work


@pytest.fixture
def trt(monkeypatch):
    with fake_tensorrt.installed(monkeypatch, "8.6.0") as module:
        yield module


def options(work, *more):
    return measure_gpu.parse(["divergence", f"--work={work}", "--runtime=onnxruntime", *more])


def test_an_injected_fault_is_found_and_recorded(work, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(divergence, "FRAMES", 1)
    model = graph.load(work / "models" / "mini.onnx")
    wrong = graph.save(faults.swap_axis(model, FAULT), tmp_path / "wrong.onnx")
    session = Session(work)
    shape = engines.Shape(session, options(work), "mini")
    case = dataclasses.replace(divergence.CASES["fp16_all"], tolerance=1e-2, inner=1e-2, at_once=8)
    arguments = shape, "fault", case, work / "models" / "mini.onnx", wrong, {"threads": 1}
    depends = {"graph": of_file(wrong)}
    found = session.piece("divergence/fault", lambda: divergence.search(*arguments), depends=depends)
    assert found["found"] and (found["node"], found["op"], found["kind"]) == (FAULT, "Transpose", "layout"), found
    assert found["tensor"] == f"{FAULT}_output_0" and found["local"] == found["error"] > 0.1
    assert all(item["error"] < 1e-4 for item in found["inputs"][:-1])
    assert found["probes"] == len(found["log"]) <= 6 and not found["hides"] and not found["notes"]
    printed = capsys.readouterr().out
    lines = (work / "divergence" / "fault.log").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found["log"] and printed.count("  bad: ") >= 2
    assert all(f"  {probe['verdict']}: " in printed and probe["seconds"] > 0 for probe in found["log"])

    ((name, metrics, entry),) = report.divergence({"divergence/fault": session.pieces()["divergence/fault"]})
    assert name == "divergence-onnxruntime" and metrics["fault/tensor"] == found["tensor"]
    assert set(entry["artifacts"]) == {"wrong.onnx"}
    assert metrics["fault/found"] == "True" and metrics["fault/probes"] == found["probes"]


def test_the_stage_runs_where_tensorrt_is_not(work, monkeypatch, capsys):
    assert divergence.graph(work, divergence.CASES["qdq"], "the fix").name == "mini_qdq.onnx"
    assert measure_gpu.main(["divergence", f"--work={work}", "--runtime=onnxruntime", "--only", "fp32"]) == 0
    found = Session(work).result("divergence/fp32")
    assert not found["found"] and found["probes"] == 1 and 0 < found["worst_error"] < 1e-4 and found["frames"] == 2
    assert Session(work).result("divergence/fp16_all") is None
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert (
        measure_gpu.main(["divergence", f"--work={work}"]) == 2 and "--runtime=onnxruntime" in capsys.readouterr().err
    )
    with pytest.raises(BadInput, match="prepare"):
        divergence.graph(work / "nothing", divergence.CASES["qdq"], "the fix")


def test_settings_are_those_of_the_engines_but_for_the_timing_cache(work, tmp_path):
    library = str(tmp_path / "plugins.so")
    (tmp_path / "plugins.so").touch()
    chosen = measure_gpu.parse(
        [
            "divergence",
            f"--work={work}",
            f"--plugin={library}",
            "--tacticSources=none",
            "--builderOptimizationLevel=2",
            "--projection=published",
        ]
    )
    shape = engines.Shape(Session(work), chosen, "mini")
    made = {name: divergence.build_options(shape, case) for name, case in divergence.CASES.items()}
    assert made["fp32"]["precision"] == "fp32" and not made["fp32"]["tf32"]
    assert made["fp16_all"]["precision"] == "fp16" and "layer_precisions" not in made["fp16_all"]
    assert made["qdq"]["precision"] == "best" and made["qdq"]["layer_precisions"] == dict.fromkeys(
        shape.config.fp32, "fp32"
    )
    for settings in made.values():
        assert settings["plugins"] == [library] and settings["tactic_sources"] == []
        assert settings["optimization_level"] == 2 and settings["workspace"] == 8192
        assert settings["timing_cache"] == str(work / "divergence" / "timing.cache")
    chosen.plugin = None
    native = divergence.build_options(shape, divergence.CASES["qdq"])
    assert (
        set(native["layer_precisions"]) == {*shape.config.fp32, *shape.config.fp32_without_plugins}
        and "plugins" not in native
    )


def test_engines_of_tensorrt(work, trt, tmp_path):
    """The settings arrive at every build, marked tensors are outputs, and no engine is built twice."""
    wrong = chain(length=10)
    wrong.graph.node[5].op_type = "Sub"
    right, wrong = (graph.save(model, tmp_path / f"{i}.onnx") for i, model in enumerate((chain(length=10), wrong)))
    shape = engines.Shape(Session(work), measure_gpu.parse(["divergence", f"--work={work}"]), "mini")
    case = dataclasses.replace(divergence.CASES["fp32"], at_once=1)
    settings = divergence.build_options(shape, case)
    shape.frames = [{"x": np.float32([1, 2, 3, 4])}]
    found = divergence.search(shape, "tensorrt", case, right, wrong, settings)
    assert found["node"] == "/t5/Add" and [layer["name"] for layer in found["layers"]] == ["/t5/Add"]
    assert len(trt._built) == found["probes"] <= 6
    for (network, config), probe in zip(trt._built, found["log"], strict=True):
        assert {value.name for value in network._model.graph.output} == {*probe["marked"], *probe["outputs"]}
        assert not config._names() and config._cache is not None
    assert (work / "divergence" / "timing.cache").is_file()
