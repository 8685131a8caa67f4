"""What a graph is said to hold and to depend on, with names that bodies capture."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.graph import part, walk
from tests.builders.functions import halving
from tests.builders.graphs import captures, value


@pytest.fixture
def branches():
    return captures()


def test_a_node_reads_what_its_bodies_capture_and_not_what_they_make(branches):
    read = walk.node_inputs(branches.graph.node[2])
    assert read[0] == "flag" and sorted(read) == ["doubled", "flag", "one", "three", "x"]


def test_names_are_captured_through_two_bodies():
    inner = onnx.parser.parse_graph("inner () => (float[2] a) { a = Neg(far) }")
    other = onnx.parser.parse_graph("other () => (float[2] b) { b = Neg(near) }")
    middle = helper.make_graph(
        [
            helper.make_node("Abs", ["wide"], ["near"]),
            helper.make_node("If", ["flag"], ["c"], then_branch=inner, else_branch=other),
        ],
        "middle",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])],
    )
    node = helper.make_node("If", ["outer"], ["d"], then_branch=middle, else_branch=middle)
    assert walk.node_inputs(node)[0] == "outer" and set(walk.node_inputs(node)) == {"outer", "wide", "flag", "far"}


def test_nodes_attributes_and_tensors_at_every_depth(branches):
    assert sorted(node.op_type for node in walk.all_nodes(branches)) == sorted(
        ["Add", "Neg", "If", "Relu", "Add", "Constant", "Mul", "Mul"]
    )
    assert {attribute.name for attribute in walk.all_attributes(branches)} == {
        "then_branch",
        "else_branch",
        "value_float",
    }
    assert [node.op_type for node in walk.all_nodes(halving())][-2:] == ["MatMul", "Relu"], "those of functions too"
    body = branches.graph.node[2].attribute[0].g
    body.initializer.append(numpy_helper.from_array(np.float32([5]), "five"))
    assert sorted(tensor.name for tensor in walk.all_tensors(branches)) == ["five", "one", "three"]


def test_constants_are_initializers_and_constant_nodes():
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["": 18]>
        g (float[1] x) => (float[1] y) <float[1] w = {4}> {
          a = Constant <value_float = 0.5> ()
          b = Constant <value_ints = [1, 2]> ()
          c = Constant <value = float[2] {7, 8}> ()
          y = Mul(x, w)
        }"""
    )
    found = walk.constants(model)
    assert {name: array.tolist() for name, array in found.items()} == {"w": [4], "a": 0.5, "b": [1, 2], "c": [7, 8]}
    assert found["a"].dtype == np.float32 and found["b"].dtype == np.int64


def test_inputs_leave_out_constants_that_older_files_list(branches):
    branches.graph.input.append(helper.make_tensor_value_info("one", TensorProto.FLOAT, [1]))
    assert [value.name for value in walk.inputs(branches)] == ["x", "flag"]


def test_producers_and_users_count_captured_names(branches):
    assert walk.producers(branches) == {"doubled": 0, "unused": 1, "chosen": 2, "out": 3}
    assert walk.users(branches)["doubled"] == [2] and walk.users(branches)["x"] == [0, 1, 2]


def test_ancestors_pass_through_captured_names(branches):
    above = walk.ancestors(branches, ["doubled", "unused", "out"])
    assert above == {"doubled": {"doubled"}, "unused": {"unused"}, "out": {"doubled", "out"}}


def test_a_block_starts_at_the_nearest_known_tensors(branches):
    block = part.Block(branches, "out", ["doubled", "out"])
    assert [node.op_type for node in block.nodes] == ["If", "Relu"]
    assert set(block.inputs) == {"doubled", "x", "flag"} and block.tensors == ["chosen", "out"]
    assert set(block.constants) == {"one", "three"}


def test_types_are_found_wherever_they_stand(branches):
    assert not walk.has_half(branches) and not walk.uses_fp8(branches) and not walk.is_quantized(branches)
    body = branches.graph.node[2].attribute[0].g
    body.node.append(helper.make_node("Cast", ["kept"], ["half"], to=TensorProto.FLOAT16))
    assert walk.has_half(branches) and not walk.uses_fp8(branches)
    body.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT8E4M3FN, [1], [1.0]))
    assert walk.uses_fp8(branches)
    body.node.append(helper.make_node("DequantizeLinear", ["q", "s"], ["f"]))
    assert walk.is_quantized(branches)


def test_opset_is_that_of_onnx_by_either_name():
    model = helper.make_model(helper.make_graph([], "g", [], []), opset_imports=[helper.make_opsetid("ai.onnx", 17)])
    assert walk.opset(model) == 17
    del model.opset_import[:]
    assert walk.opset(model) == 0


def test_free_dimensions_have_no_size():
    assert walk.shape_of(value("x", ["N", 3, None, -1, 0])) == (None, 3, None, None, None)
