"""Tables of graphs made by hand, against counts by hand."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from helpers import graph
from tests.builders.functions import FLOAT, D, M, N, P, Q, made


def test_op_table_counts_and_tells_functions_from_plugins(plain):
    rows = {row["op"]: row for row in graph.op_table(plain)}
    assert rows["Conv"] == {"op": "Conv", "domain": "", "count": 1, "kind": "onnx"}
    assert rows["Halve"] == {"op": "Halve", "domain": "demo", "count": 1, "kind": "function"}
    assert {row["kind"] for row in graph.op_table(graph.drop_functions(plain)) if row["op"] == "Halve"} == {"plugin"}
    assert len(plain.functions) == 1, "drop_functions must leave its argument alone"


def test_custom_ops_report(plain):
    (row,) = graph.custom_ops(plain)
    assert (row["node"], row["op"], row["defined"]) == ("/head/mix/Halve", "Halve", True)
    assert row["inputs"] == ["f[1, 144]", "mix[144, 10]"] and row["outputs"] == ["h[1, 10]"]


def test_shapes_reach_behind_functions(plain):
    rows = {row["tensor"]: row for row in graph.shapes(plain)}
    assert rows["c"]["shape"] == [1, 4, 6, 6] and rows["c"]["producer"] == "/backbone/conv1/Conv"
    assert rows["h"]["shape"] == [1, 10] and rows["h"]["dtype"] == "float32"
    assert (rows["image"]["role"], rows["shape"]["role"], rows["out"]["role"]) == ("input", "initializer", "output")


def test_shapes_that_only_a_run_can_tell():
    """Range of a computed number: no static inference gives its length."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Cos", ["total"], ["one"]),
        helper.make_node("Range", ["zero", "one", "step"], ["range"]),
        helper.make_node("Neg", ["range"], ["out"]),
    ]
    weights = [("zero", np.float32(0).reshape(())), ("step", np.float32(0.25).reshape(()))]
    model = made(nodes, [("x", FLOAT, [3])], [("out", FLOAT, None)], weights)
    assert {row["tensor"]: row["shape"] for row in graph.shapes(model)}["range"] == [4]


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
    weights = [("w", np.ones((3, 2), np.int8)), ("s", np.float32(0.1).reshape(())), ("z", np.int8(0).reshape(()))]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"], name="w_DequantizeLinear"),
        helper.make_node("MatMul", ["x", "wf"], ["y"], name="/head/MatMul"),
    ]
    model = made(nodes, [("x", FLOAT, [1, 3])], [("y", FLOAT, [1, 2])], weights)
    assert graph.cost_by_block(model) == [{"block": "head", "nodes": 2, "parameters": 6, "flops": 12}]


def test_cost_of_plugins(postprocessed):
    (row,) = graph.cost_by_block(postprocessed[1])
    assert row == {"block": "(top)", "nodes": 4, "parameters": 2, "flops": 10 * N * Q * M * P * D}


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
def test_cost_of_a_free_batch_is_unknown_and_says_why(op):
    """Not that of a batch of one, and the parameters are counted all the same."""
    nodes = [helper.make_node(op, ["x", "w"], ["y"], name=f"/head/{op}")]
    model = made(nodes, [("x", FLOAT, ["N", 3])], [("y", FLOAT, ["N", 2])], [("w", np.ones((3, 2), np.float32))])
    (row,) = graph.cost_by_block(model)
    assert row["flops"] is None and row["parameters"] == 6
    assert f"/head/{op}" in row["why"] and "[N, 3]" in row["why"]


def test_a_graph_that_does_not_run_on_zeros_has_tables():
    nodes = [
        helper.make_node("Div", ["eights", "i"], ["s"]),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
        helper.make_node("Neg", ["x"], ["z"]),
    ]
    inputs, outputs = (
        [("x", FLOAT, [2, 4]), ("i", TensorProto.INT64, [2])],
        [("y", FLOAT, ["a", "b"]), ("z", FLOAT, None)],
    )
    rows = {row["tensor"]: row for row in graph.shapes(made(nodes, inputs, outputs, [("eights", np.array([8, 8]))]))}
    assert rows["z"]["shape"] == [2, 4] and None not in (rows["s"]["shape"], rows["y"]["dtype"])


def test_a_sequence_is_told_as_one():
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["parts"]),
        helper.make_node("ConcatFromSequence", ["parts"], ["y"], axis=0),
    ]
    rows = {row["tensor"]: row for row in graph.shapes(made(nodes, [("x", FLOAT, [3, 2])], [("y", FLOAT, None)]))}
    assert rows["parts"]["dtype"] == "sequence" and rows["y"]["shape"] == [3, 2]
