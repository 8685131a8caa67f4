"""The two forms of the plugins in half precision: their engines, graphs and ratios."""

import pytest
from onnx import save

from benchmarks import comparison, engines, measured, rows
from benchmarks.systems import SYSTEMS
from helpers import graph
from tests.builders.functions import with_plugins

HALVES = ("fp16", "qdq", "best")


def test_engines_with_half_precision_come_in_both_forms():
    class Options:
        runtime, plugin, system = "tensorrt", "library.so", SYSTEMS["bevformer"]

    names = rows.names(Options, "published")
    assert {name for name in names if name.endswith(measured.SINGLE)} == {f"{name}_half_plugin" for name in HALVES}
    left_out = (rows.CONTROL, "smallest")  # of the mini alone; of a system for which it was searched
    assert len(names) == len(set(names)) == 2 * (len(rows.ENGINES) - len(left_out)) + len(HALVES)
    assert {measured.bare(name) for name in names} == rows.ENGINES.keys() - set(left_out)
    Options.plugin = None
    assert rows.names(Options, "mini") == [name for name in rows.ENGINES if name != "smallest"]


def test_plugins_on_single_halves_are_the_same_graph_with_other_names(tmp_path):
    save(with_plugins(graph.DOMAIN), tmp_path / "bare.onnx")
    path = graph.postprocess(tmp_path / "bare.onnx", tmp_path / "mini.onnx")
    before = path.read_bytes()
    made, given = graph.load(engines.on_single(path)), graph.load(path)
    for kept, name in (("node", "op_type"), ("functions", "name")):
        pairs = [
            [getattr(one, name) for one in (model.graph.node if kept == "node" else model.functions)]
            for model in (given, made)
        ]
        assert [found.removesuffix("TRT2") + "TRT" * found.endswith("TRT2") for found in pairs[0]] == pairs[1]
        assert pairs[0] != pairs[1]
    names = {file.name for file in tmp_path.iterdir()}
    assert path.read_bytes() == before and names == {"bare.onnx", "mini.onnx", "mini_half.onnx"}
    assert engines.graph(tmp_path, "mini", "fp16_half_plugin") == engines.graph(tmp_path, "mini", "fp16")


def test_both_forms_are_compared_with_the_one_form_of_single_precision():
    ms = {"fp32_plugin": 12.0, "tf32_plugin": 6.0, "qdq_plugin": 3.0, "qdq_half_plugin": 4.0}
    gpu = {name: {"p50": value, "p99": value, "n": 1} for name, value in ms.items()}
    pieces = {"tensorrt/published/time": {"result": {"gpu": gpu}}}
    lines = comparison.ratios(pieces, SYSTEMS["bevformer"])
    assert "TensorRT TF32 / qdq (plugin): 2.00" in lines
    assert "TensorRT TF32 / qdq (plugin on single halves): 1.50" in lines
    metrics = measured.metrics_of(pieces, "tensorrt", "published", "qdq_half_plugin")
    assert metrics["speedup_over_fp32_plugin"] == pytest.approx(3)
    (row,) = [row for row in comparison.table(pieces, "published", SYSTEMS["bevformer"]) if "qdq_half" in row["engine"]]
    assert row["ms, published"] == 6.02
