"""Tables of graphs made by hand, against counts by hand."""

from onnx import helper

from helpers import graph
from tests.builders.graphs import free_batch, model, sequences


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


def test_custom_ops_of_unknown_shape_are_told_so():
    node = helper.make_node("Own", ["x"], ["y"], "own", domain="demo")
    (row,) = graph.custom_ops(model([node], {"x": ["N", 3]}, {"y": None}, opsets=[("demo", 1)]))
    assert (row["inputs"], row["outputs"], row["defined"]) == (["x[N, 3]"], ["y[?]"], False)


def test_free_dimensions_keep_their_names():
    rows = {row["tensor"]: row["shape"] for row in graph.shapes(free_batch())}
    assert rows["x"] == ["N", 3, 4, 4] and rows["c"] == ["N", 2, 4, 4] and rows["y"] == ["N", 5]
    assert rows["w"] == [2, 3, 1, 1]


def test_a_sequence_is_told_as_one():
    rows = {row["tensor"]: row for row in graph.shapes(sequences())}
    assert (rows["halves"]["dtype"], rows["halves"]["shape"], rows["halves"]["role"]) == ("sequence", None, "tensor")
    assert (rows["y"]["dtype"], rows["y"]["shape"]) == ("float32", [1, 2])
