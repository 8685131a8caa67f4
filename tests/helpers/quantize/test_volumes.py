"""Volumes are resized in floating point; pictures, and whatever else reads the same tensors, stay quantized."""

import numpy as np
import onnx
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator

from helpers.quantize import volumes

TEXT = """
<ir_version: 9, opset_import: ["": 19]>
resized (float[1,2{dims}] x) => (float y, float z)
<float scale = {{0.05}}, int8 zero = {{0}}, int64[{rank}] sizes = {{1,2{larger}}}> {{
  xq = QuantizeLinear(x, scale, zero)
  xd = DequantizeLinear(xq, scale, zero)
  r = Resize<mode="linear">(xd, , , sizes)
  rq = QuantizeLinear(r, scale, zero)
  rd = DequantizeLinear(rq, scale, zero)
  y = Neg(rd)
  z = Relu({other})
}}
"""


def made(rank, other="xd"):
    dims, larger = ",2" * (rank - 2), ",4" * (rank - 2)
    return parser.parse_model(TEXT.format(rank=rank, dims=dims, larger=larger, other=other))


def inputs_of(model):
    return {node.op_type: node.input[0] for node in model.graph.node if node.op_type in ("Resize", "Neg", "Relu")}


def test_a_resized_volume_and_what_reads_it_are_in_floating_point():
    model = made(5)
    volumes.leave_resizing(model)
    assert inputs_of(model) == {"Resize": "x", "Neg": "r", "Relu": "xd"}
    assert [node.op_type for node in model.graph.node].count("DequantizeLinear") == 1  # the one that Relu reads
    onnx.checker.check_model(model)
    x = np.random.default_rng(0).normal(size=(1, 2, 2, 2, 2)).astype(np.float32)
    plain = made(5)
    for node in plain.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = {"rd": "r"}.get(name, "x" if (name, node.op_type) == ("xd", "Resize") else name)
    for found, expected in zip(*(ReferenceEvaluator(each).run(None, {"x": x}) for each in (model, plain)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_nothing_is_left_of_quantizers_that_only_the_volume_read():
    model = made(5, other="x")
    volumes.leave_resizing(model)
    assert [node.op_type for node in model.graph.node] == ["Resize", "Neg", "Relu"]


@pytest.mark.parametrize("rank", [3, 4])
def test_a_resized_picture_stays_quantized(rank):
    model = made(rank)
    before = model.SerializeToString()
    volumes.leave_resizing(model)
    assert model.SerializeToString() == before


def test_a_dequantized_constant_and_an_output_are_left_alone():
    """A volume that is held in INT8 has no floating-point form; a graph's output keeps its values."""
    model = made(5)
    del model.graph.node[0]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 2, 2, 2, 2), np.int8), "xq"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("rd", onnx.TensorProto.FLOAT, None))
    volumes.leave_resizing(model)
    assert inputs_of(model) == {"Resize": "xd", "Neg": "r", "Relu": "xd"}
    assert "rd" in {node.output[0] for node in model.graph.node}
