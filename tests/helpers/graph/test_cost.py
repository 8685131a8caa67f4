"""Cost by block, against counts by hand."""

import os
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from helpers import graph, processes
from helpers.errors import BadInput
from helpers.graph import edit, flops
from helpers.graph.cost import layers
from helpers.graph.functions import definitions
from tests.builders.functions import D, M, N, P, Q
from tests.builders.graphs import free_batch, looping, model, value


def test_cost_by_block_by_hand(plain):
    rows = {row["block"]: row for row in graph.cost_by_block(plain, depth=1)}
    assert rows["backbone"] == {"block": "backbone", "nodes": 2, "parameters": 108, "flops": 2 * 4 * 36 * 27}
    assert rows["head"] == {"block": "head", "nodes": 3, "parameters": 1440 + 60, "flops": 2 * 144 * 10 + 2 * 10 * 6}
    assert [row["block"] for row in graph.cost_by_block(plain, depth=2)] == [
        "backbone/conv1",
        "backbone/relu",
        "head",
        "head/mix",
        "head/fc",
    ]


def test_cost_counts_weights_behind_dequantize():
    weights = {"w": np.ones((3, 2), np.int8), "s": np.float32(0.1), "z": np.int8(0)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"], name="w_DequantizeLinear"),
        helper.make_node("MatMul", ["x", "wf"], ["y"], name="/head/MatMul"),
    ]
    assert graph.cost_by_block(model(nodes, {"x": [1, 3]}, {"y": [1, 2]}, weights)) == [
        {"block": "head", "nodes": 2, "parameters": 6, "flops": 12}
    ]


def test_cost_of_plugins(postprocessed):
    (row,) = graph.cost_by_block(postprocessed[1])
    assert row == {"block": "(top)", "nodes": 4, "parameters": 2, "flops": 10 * N * Q * M * P * D}


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
def test_cost_of_a_free_batch_is_unknown_and_says_why(op):
    """Not that of a batch of one, and the parameters are counted all the same."""
    nodes = [helper.make_node(op, ["x", "w"], ["y"], name=f"/head/{op}")]
    (row,) = graph.cost_by_block(model(nodes, {"x": ["N", 3]}, {"y": ["N", 2]}, {"w": np.ones((3, 2), np.float32)}))
    assert row["flops"] is None and row["parameters"] == 6
    assert f"/head/{op}" in row["why"] and "[N, 3]" in row["why"]


def test_a_part_of_unknown_cost_does_not_spoil_the_others():
    """Whatever writes the free batch: the block that needs its size is unknown, all parameters are counted."""
    for batch in ("N", -1, 0):
        rows = {row["block"]: row for row in graph.cost_by_block(free_batch(batch))}
        assert rows["stem"]["flops"] is rows["head"]["flops"] is None
        assert (rows["stem"]["parameters"], rows["head"]["parameters"]) == (6, 160)
    rows = {row["block"]: row for row in graph.cost_by_block(free_batch(3))}
    assert rows["stem"] == {"block": "stem", "nodes": 1, "parameters": 6, "flops": 2 * 3 * 2 * 16 * 3}
    assert rows["head"] == {"block": "head", "nodes": 2, "parameters": 160, "flops": 2 * 3 * 5 * 32}


def test_weights_in_constant_nodes_are_parameters():
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [1.0] * 6)
    nodes = [
        helper.make_node("Constant", [], ["w"], "/head/Constant", value=weight),
        helper.make_node("Constant", [], ["scale"], "/head/Constant_1", value_float=2.0),
        helper.make_node("Constant", [], ["axes"], "/head/Constant_2", value_ints=[1, 2]),
        helper.make_node("MatMul", ["x", "w"], ["m"], "/head/MatMul"),
        helper.make_node("Mul", ["m", "scale"], ["y"], "/head/Mul"),
    ]
    (row,) = graph.cost_by_block(model(nodes, {"x": [1, 3]}, {"y": None}))
    assert row == {"block": "head", "nodes": 5, "parameters": 7, "flops": 12}


BRANCHES = """
<ir_version: 9, opset_import: ["": 18]>
g (float[1, 3] x, bool flag, float[3, 2] v) => (float[1, 2] y) {{
  y = If <then_branch = p () => (float[1, 2] a) {{ a = MatMul(x, v) }},
          else_branch = q () => (float[1, 2] b) {{ {other} }}> (flag)
}}
"""


def test_an_if_costs_what_its_branches_agree_on():
    equal = parser.parse_model(BRANCHES.format(other="c = MatMul(x, v) b = Neg(c)"))
    body = equal.graph.node[0].attribute[1].g
    body.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [5], [1.0] * 5))
    (row,) = graph.cost_by_block(equal)
    assert row == {"block": "(top)", "nodes": 1, "parameters": 5, "flops": 12}
    unequal = parser.parse_model(BRANCHES.format(other="c = Concat <axis = 1> (x, x) b = Relu(c)"))
    (row,) = graph.cost_by_block(unequal)
    assert row["flops"] is None and "12 and 0" in row["why"]


def test_how_often_a_loop_runs_is_not_known():
    (row,) = graph.cost_by_block(looping())
    assert row["flops"] is None and row["parameters"] == 4 and "Loop y" in row["why"] and "how often" in row["why"]
    whole = looping()
    body = whole.graph.node[1].attribute[0].g
    body.node[1].op_type = "Add"
    (row,) = graph.cost_by_block(whole)
    assert row["flops"] == 0, "additions cost nothing, however often"


def test_a_plugin_of_unknown_shape_has_an_unknown_cost():
    node = helper.make_node("RotateTRT2", ["x", "a", "c"], ["y"], "/turn/Rotate", domain="trt.plugins")
    ends = {"x": [3, "H", "W"], "a": [1], "c": [2]}
    (row,) = graph.cost_by_block(model([node], ends, {"y": None}, opsets=[("trt.plugins", 1)]))
    assert row["flops"] is None and "[3, H, W]" in row["why"]
    (row,) = graph.cost_by_block(model([node], ends | {"x": [3, 4, 5]}, {"y": None}, opsets=[("trt.plugins", 1)]))
    assert row["flops"] == 8 * 60


def test_sampling_and_transposes():
    nodes = [
        helper.make_node("GridSample", ["x", "grid"], ["s"], "/a/GridSample"),
        helper.make_node("GridSample", ["x", "grid"], ["n"], "/b/GridSample", mode="nearest"),
        helper.make_node("ConvTranspose", ["s", "w"], ["t"], "/c/ConvTranspose"),
        helper.make_node("Gemm", ["u", "v"], ["g"], "/d/Gemm", transA=1),
    ]
    inputs = [value("x", [1, 2, 4, 4]), value("grid", [1, 3, 3, 2]), value("u", [7, 5]), value("v", [7, 6])]
    whole = model(nodes, inputs, dict.fromkeys("ntg"), {"w": np.ones((2, 3, 2, 2), np.float32)})
    assert {row["block"]: row["flops"] for row in graph.cost_by_block(whole)} == {
        "a": 8 * 2 * 9, "b": 0, "c": 2 * 2 * 9 * 3 * 4, "d": 2 * 5 * 6 * 7,
    }  # fmt: skip


def test_layers_by_hand():
    """What a Relu does can be done on the way; a Resize reads and writes, and multiplies nothing that counts."""
    constants = {"w": np.ones((4, 3, 3, 3), np.float32), "scale": np.float32([1, 1, 2, 2])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "/conv"),
        helper.make_node("Relu", ["c"], ["r"], "/relu"),
        helper.make_node("Resize", ["r", "", "scale"], ["y"], "/resize"),
    ]
    assert layers(model(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 12, 12]}, constants)) == [
        {"node": "/conv", "op": "Conv", "flops": 2 * 144 * 27, "elements": 192 + 108 + 144},
        {"node": "/resize", "op": "Resize", "flops": 0, "elements": 144 + 4 + 576},
    ]
    with pytest.raises(BadInput, match=r"layer /conv[\s\S]*known shapes"):
        layers(model(nodes[:1], {"x": ["N", 3, 8, 8]}, {"c": ["N", 4, 6, 6]}, {"w": constants["w"]}))


REPEATED = """<ir_version: 9, opset_import: ["": 18, "d": 1]>
    g (float[2, 3] x, float[3, 3] w, float[3, 5] v) => (float[2, 5] y) {
        a = d.Twice <on = 1> (x, w)
        b = d.Twice <on = 1> (a, w)
        c = d.Twice <on = 0> (b, w)
        y = d.Twice <on = 0> (c, v)
    }
    <domain: "d", opset_import: ["": 18, "d": 1]> Twice <on> (x, w) => (y) { y = d.Once (x, w) }
    <domain: "d", opset_import: ["": 18]> Once (x, w) => (y) { y = MatMul (x, w) }
    <domain: "d", opset_import: ["": 18]> Never (x, w) => (y) { y = MatMul (x, w) }"""


def test_a_function_is_looked_at_once_for_each_shape_and_attribute(monkeypatch):
    made, alone = [], flops._alone
    monkeypatch.setattr(flops, "_alone", lambda *arguments: made.append(alone(*arguments)) or made[-1])
    (row,) = graph.cost_by_block(parser.parse_model(REPEATED))
    assert row["flops"] == 3 * 2 * 2 * 3 * 3 + 2 * 2 * 3 * 5 and len(made) == 3


def test_the_functions_that_nodes_need_are_found_at_every_depth():
    model = parser.parse_model(REPEATED)
    assert [function.name for function in edit.used(definitions(model), model.graph.node)] == ["Twice", "Once"]


def test_functions_are_inferred_together_and_one_that_ends_the_process_alone(monkeypatch):
    asked, run_forked, infer = [], processes.run_forked, onnx.shape_inference.infer_shapes
    monkeypatch.setattr(processes, "run_forked", lambda *arguments: asked.append(arguments) or run_forked(*arguments))
    (row,) = graph.cost_by_block(parser.parse_model(REPEATED))
    assert len(asked) == 3 and row["flops"] == 3 * 36 + 60  # the graph, its types, and all the functions

    def fatal(model, **options):
        if model.graph.name == "one" and model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 5:
            os.abort()
        return infer(model, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fatal)
    with pytest.raises(BadInput, match="ends with SIGABRT"):
        graph.cost_by_block(parser.parse_model(REPEATED))


def thousands():
    calls = " ".join(f"v{k + 1} = d.F{k} (v{k})" for k in range(3000))
    parts = "".join(f'<domain: "d", opset_import: ["": 18]> F{k} (x) => (y) {{ y = Relu (x) }}' for k in range(3000))
    head = '<ir_version: 9, opset_import: ["": 18, "d": 1]> g (float[2] v0) => (float[2] v3000)'
    return parser.parse_model(f"{head} {{ {calls} }} {parts}")


def test_a_graph_of_thousands_of_functions_is_read_in_time(monkeypatch):
    model, asked, run_forked = thousands(), [], processes.run_forked
    started = time.process_time()
    assert len(graph.op_table(model)) == 3000 and len(graph.custom_ops(model)) == 3000
    assert time.process_time() - started < 4
    monkeypatch.setattr(processes, "run_forked", lambda *arguments: asked.append(arguments) or run_forked(*arguments))
    (row,) = graph.cost_by_block(model)
    assert row == {"block": "(top)", "nodes": 3000, "parameters": 0, "flops": 0} and len(asked) == 3
    assert time.process_time() - started < 12
