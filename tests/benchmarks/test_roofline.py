"""The layers of an engine held against the least time of the nodes that they hold."""

import json

import pytest

from benchmarks import report, roofline

CEILINGS = {"copy_gb_s": 1000.0, "fp32_tflop_s": 1.0, "tf32_tflop_s": 2.0, "fp16_tflop_s": 4.0}
NODES = ["/conv", "/relu", "/head/Mul", "/head/MatMul", "/head/Add", "/head/Resize", "/plugin", "/last"]
COSTS = [  # least milliseconds in half precision: 1, 2, 2, 1
    {"node": "/conv", "op": "Conv", "flops": 4e9, "elements": 1},
    {"node": "/head/MatMul", "op": "MatMul", "flops": 8e9, "elements": 1},
    {"node": "/head/Resize", "op": "Resize", "flops": 0, "elements": 1e9},
    {"node": "/plugin", "op": "RotateTRT2", "flops": 0, "elements": 5e8},
]
PROFILE = [
    {"layer": "/conv + /relu", "ms": 1.5},
    {"layer": "{ForeignNode[/head/Mul_constant_1 + (Unnamed Layer* 7) [Shuffle].../head/Add]}", "ms": 9.0},
    {"layer": "{ForeignNode[head.weight.../last]}", "ms": 2.4},
    {"layer": "Reformatting CopyNode for Input Tensor 0 to /plugin", "ms": 0.7},
    {"layer": "/plugin", "ms": 1.25},
]


def test_every_node_is_held_by_its_layer_or_the_shortest_block_around_it():
    rows, lost = roofline.by_layer(PROFILE, {"layers": COSTS, "nodes": NODES}, CEILINGS, "fp16")
    found = {row["layer"][:20]: (row["ms"], round(row["least_ms"], 9), row["nodes"]) for row in rows}
    assert lost == 0 and list(found.values()) == [(9.0, 2, 1), (0.7, 0, 0), (1.5, 1, 1), (2.4, 2, 1), (1.25, 1, 1)]
    rows, lost = roofline.by_layer(PROFILE[:2], {"layers": COSTS, "nodes": NODES}, CEILINGS, "tf32")
    assert lost == pytest.approx(4 + 2) and [row["nodes"] for row in rows] == [1, 1]


def test_the_record_of_a_profile_names_the_layers_that_are_farthest(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps({"profile": PROFILE, "layers": []}))
    result = {"file": "one.json", "layers": 5, "ms": 14.85, "top": [], "ms_by_type": {}, "ms_by_precision": {}}
    pieces = {
        f"tensorrt/published/profile/{name}": {"result": result} for name in ("fp16_plugin", "qdq_plugin", "qdq_tf32")
    }
    pieces |= {"prepare/published/cost": {"result": {"layers": COSTS, "nodes": NODES}}}
    pieces |= {"pytorch/ceilings": {"result": CEILINGS}}
    found = {name: metrics for name, metrics, _ in report.profiles(pieces, "toy", tmp_path)}
    half = found["toy-published-tensorrt-fp16_plugin-profile"]
    assert half["far_01_layer"] == PROFILE[1]["layer"] and half["far_01_ms"] == 9 and half["far_01_least_ms"] == 2
    assert half["least_ms"] == 6 and half["least_unplaced_ms"] == 0 and half["without_cost_ms"] == 0.7
    for name in ("qdq_plugin", "qdq_tf32"):
        assert not [key for key in found[f"toy-published-tensorrt-{name}-profile"] if "least" in key]
    del pieces["prepare/published/cost"]["result"]["nodes"]  # of a piece that was made before
    assert "least_ms" not in next(metrics for _, metrics, _ in report.profiles(pieces, "toy", tmp_path))


def test_a_profile_is_summed_by_the_first_module_that_a_layer_names():
    layers = {
        "/neck/conv/Conv + /neck/Relu": 1.0, "Reformatting CopyNode for Input Tensor 0 to /neck/fpn.0/Conv": 0.5,
        "neck.0.weight + neck.0.weight_QuantizeLinear + /neck.0/Conv + /head/Relu": 0.25,
        "PWN(/Add_3 + /head.2/Relu)": 4.0,
        "{ForeignNode[/Unsqueeze.../Reshape_6]}": 8.0, "/Conv": 16.0, "{ForeignNode[/Cast.../head/Mul]}": 32.0,
    }  # fmt: skip
    rows = [{"layer": layer, "ms": ms} for layer, ms in layers.items()]
    assert report.by_part(rows) == {"part/head_ms": 36.0, "part/none_ms": 24.0, "part/neck_ms": 1.75}
