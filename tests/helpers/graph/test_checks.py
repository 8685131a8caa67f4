"""What a protobuf message can hold and no graph can mean is refused wherever a model enters."""

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from helpers import graph
from helpers.__main__ import main
from helpers.errors import BadInput
from helpers.graph.checks import check_structure, check_weights
from tests.builders.functions import halving
from tests.builders.graphs import captures
from tests.builders.waiting import HANG

NAN = numpy_helper.from_array(np.array([1, np.nan], np.float32), "w")


def no_output(model):
    del model.graph.node[0].output[:]


def unnamed_output(model):
    model.graph.node[0].output[0] = ""


def no_value(model):
    model.graph.node[0].attribute.add().name = "axis"


def no_branch(model):
    node = next(node for node in model.graph.node if node.op_type == "If")
    node.attribute[0].ClearField("g")


def unknown_type(model):
    model.graph.input[0].type.tensor_type.elem_type = 255


def unknown_type_in_a_sequence(model):
    model.graph.value_info.add().type.sequence_type.elem_type.tensor_type.elem_type = -1


def unknown_type_of_a_weight(model):
    model.graph.initializer[0].data_type = 999


def negative(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -7


def beyond(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2**62


def beyond_beside_nothing(model):
    model.graph.value_info.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, [0, 2**50]))


def negative_in_a_branch(model):
    inner = next(node for node in model.graph.node if node.op_type == "If").attribute[1].g
    inner.output[0].type.tensor_type.shape.dim[0].dim_value = -2


def negative_weight(model):
    model.graph.initializer[0].dims[0] = -1


def garbled_operator(model):
    data = model.SerializeToString()
    model.ParseFromString(data.replace(b"Add", b"A\xff\xff"))


def read_and_never_made(model):
    model.graph.node[0].input[0] = "absent"


def read_in_a_branch_and_never_made(model):
    next(node for node in model.graph.node if node.op_type == "If").attribute[0].g.node[0].input[0] = "absent"


def given_and_never_made(model):
    model.graph.output[0].name = "absent"


def read_in_a_function_and_never_made(model):
    model.functions.extend(halving().functions)
    model.functions[-1].node[0].input[0] = "absent"
    model.opset_import.append(helper.make_opsetid("demo", 1))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (garbled_operator, ""),
        (read_and_never_made, "the graph"),
        (read_in_a_branch_and_never_made, "the graph"),
        (given_and_never_made, "the graph"),
        (read_in_a_function_and_never_made, "function"),
        (no_output, "node"),
        (unnamed_output, "node"),
        (no_value, "attribute axis"),
        (no_branch, "attribute then_branch"),
        (unknown_type, "x"),
        (unknown_type_in_a_sequence, ""),
        (unknown_type_of_a_weight, "tensor one"),
        (negative, "x"),
        (beyond, "x"),
        (beyond_beside_nothing, "v"),
        (negative_in_a_branch, ""),
        (negative_weight, "tensor one"),
    ],
)
def test_structure_that_means_nothing_is_refused_by_every_command(tmp_path, capsys, change, named):
    path, model = tmp_path / "model.onnx", captures()
    check_structure(model, path)
    change(model)
    with pytest.raises(BadInput, match=rf"model\.onnx(: {named}|\n)" if named else r"model\.onnx"):
        check_structure(model, path)
    onnx.save(model, path)
    for command in (["graph"], ["graph", "--postprocess"], ["engine", "build", "--onnx"], ["divergence", str(path)]):
        assert main([*command, str(path)]) == 2
        assert "model.onnx" in capsys.readouterr().err


def nested_calls(calls, depth, end):
    """A model whose functions F0 to F`depth` each call the next one so often; the last calls `end`."""
    head = '<ir_version: 9, opset_import: ["": 18, "d": 1]> g (float[2] x) => (y) { y = d.F0 (x) }'
    parts = []
    for index in range(depth + 1):
        called = f"d.F{index + 1}" if index < depth else end
        body = " ".join(f"v{k + 1} = {called} (v{k})" for k in range(calls))
        parts.append(f'<domain: "d", opset_import: ["": 18, "d": 1]> F{index} (v0) => (v{calls}) {{ {body} }}')
    return parser.parse_model(head + " ".join(parts))


def test_functions_that_do_not_end_or_grow_without_measure_are_refused():
    check_structure(nested_calls(2, 19, "Relu"), "m")  # 2^20 nodes
    check_structure(nested_calls(1, 99, "Relu"), "m")
    for model, found in (
        (nested_calls(2, 20, "Relu"), "more nodes"),
        (nested_calls(2, 90, "Relu"), "more nodes"),
        (nested_calls(1, 100, "Relu"), "101 calls"),
        (nested_calls(1, 1, "d.F0"), "a ring of calls: F[01] > F[01] > F[01]"),
        (nested_calls(1, 0, "d.F0"), "a ring of calls"),
    ):
        with pytest.raises(BadInput, match=f"^m: functions\n.*{found}"):
            check_structure(model, "m")


def test_nodes_of_bodies_count_too(monkeypatch):
    monkeypatch.setattr("helpers.graph.checks.MOST_NODES", 8)
    check_structure(captures(), "m")
    monkeypatch.setattr("helpers.graph.checks.MOST_NODES", 7)
    with pytest.raises(BadInput, match="more nodes"):
        check_structure(captures(), "m")


def test_a_free_size_may_be_written_as_minus_one_or_zero():
    model = captures()
    for size in (-1, 0):
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
        check_structure(model, "model.onnx")


def default_of_a_function(model):
    attribute = model.functions[0].attribute_proto.add()
    attribute.CopyFrom(helper.make_attribute("w", NAN))


def training(model):
    model.training_info.add().initialization.initializer.append(NAN)


@pytest.mark.parametrize("place", [default_of_a_function, training])
def test_weights_that_are_not_numbers_are_found_wherever_they_are(place):
    model = halving()
    check_weights(model, "model.onnx")
    place(model)
    with pytest.raises(BadInput, match=r"model\.onnx: tensor w\n  found: +NaN"):
        check_weights(model, "model.onnx")


def test_reading_for_a_table_checks_the_weights_too(tmp_path):
    path, model = tmp_path / "model.onnx", captures()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([np.inf, 1]), "one"))
    onnx.save(model, path)
    for read in (graph.parse, graph.op_table, graph.shapes, graph.cost_by_block, graph.postprocess):
        with pytest.raises(BadInput, match=r"tensor one\n  found: +infinity"):
            read(path)


def test_a_function_that_does_not_fit_its_node_has_unknown_cost(tmp_path):
    model = halving()
    model.graph.node[3].input.append("mix")
    rows = graph.cost_by_block(model)
    assert [row["flops"] for row in rows].count(None) == 1
    assert "formal parameters" in next(row["why"] for row in rows if row["flops"] is None)


def test_an_operator_without_its_inputs_has_unknown_cost():
    text = '<ir_version: 9, opset_import: ["": 18]> g (float[2, 2] x, float s) => (float[2, 2] y) {'
    (row,) = graph.cost_by_block(parser.parse_model(text + " y = MatMul (s, x) }"))
    assert row["flops"] is None and "[]" in row["why"]


def test_a_vector_of_a_million_values_is_not_taken_apart():
    text = '<ir_version: 9, opset_import: ["": 18]> g (float[900000000] x) => (y) { y = Relu (x) }'
    assert graph.tensor_types(parser.parse_model(text))["y"] == (TensorProto.FLOAT, [900000000])


def test_a_loop_without_an_end_does_not_stop_a_table(monkeypatch):
    monkeypatch.setattr("helpers.graph.types.MOST_SECONDS", 0.2)
    text = """<ir_version: 9, opset_import: ["": 18]>
    g (float[2] x) => (y) <int64 n = {9000000000000000000}, bool c = {1}> {
        y = Loop <body = b (int64 i, bool d, s) => (e, t) { e = Identity (d)  t = Add (s, x) }> (n, c, x)
    }"""
    started = time.monotonic()
    assert graph.tensor_types(parser.parse_model(text))["y"][1] in (None, [2])
    assert time.monotonic() - started < HANG


@pytest.mark.parametrize("shape", ["1, 2, 1", "2", "1, 2, 1, 1, 1"])
def test_a_kernel_of_another_rank_than_its_image_does_not_end_the_process(shape):
    text = f"""<ir_version: 9, opset_import: ["": 18]>
    g (float[1, 2, 4, 4] x) => (y) <float[{shape}] w = {{1, 2}}> {{ y = Conv (x, w) }}"""
    assert graph.tensor_types(parser.parse_model(text)).get("y", (0, None))[1] is None


def test_a_kernel_that_fits_is_taken_from_its_weight():
    text = """<ir_version: 9, opset_import: ["": 18]>
    g (float[1, 1, 4, 4] x) => (y) <int8[1, 1, 3, 2] q = {1, 2, 3, 4, 5, 6}, float s = {1}> {
        w = DequantizeLinear (q, s)
        y = Conv (x, w)
    }"""
    assert graph.tensor_types(parser.parse_model(text))["y"][1] == [1, 1, 2, 3]
