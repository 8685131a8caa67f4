"""The form for ONNX Runtime's CPU kernels: integer convolutions, the same values."""

import onnx
import onnxruntime
import pytest
from onnx import parser

from helpers.errors import BadInput
from helpers.quantize import for_cpu
from tests.builders.quantizable import errors


def optimized_ops(path, out):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(out).graph.node]


def test_cpu_form_has_integer_convolutions_and_the_same_values(int8, tmp_path):
    unsigned = for_cpu(int8, tmp_path / "unsigned.onnx")
    assert "QLinearConv" not in optimized_ops(int8, tmp_path / "optimized.onnx")
    assert optimized_ops(unsigned, tmp_path / "optimized.onnx").count("QLinearConv") == 2
    assert all(value < 0.01 for value in errors(unsigned, int8, int8.with_name("calibration.npz")))


def test_a_model_without_activations_in_int8_is_refused(int8, tmp_path):
    with pytest.raises(BadInput, match="no INT8 activations"):
        for_cpu(int8.with_name("small.onnx"), tmp_path / "never.onnx")
    assert not list(tmp_path.iterdir())


FOREIGN = """
<ir_version: 8, opset_import: ["": 17]>
foreign (float[1,8] x) => (float[1,8] y) <float scale = {{0.1}}, {kind} zero = {{0}}> {{
  q = QuantizeLinear(x, scale{quantized})
  d = DequantizeLinear(q, scale{dequantized})
  y = Neg(d)
}}
"""


@pytest.mark.parametrize(
    ("kind", "quantized", "dequantized", "named"),
    [
        ("int8", "", "", "QuantizeLinear q"),
        ("uint8", ", zero", ", zero", "QuantizeLinear q"),
        ("int8", ", zero", "", "DequantizeLinear d"),
    ],
)
def test_foreign_quantized_files_are_refused(tmp_path, kind, quantized, dequantized, named):
    """A zero point is an optional input, and other tools write unsigned ones."""
    text = FOREIGN.format(kind=kind, quantized=quantized, dequantized=dequantized)
    onnx.save(parser.parse_model(text), tmp_path / "foreign.onnx")
    with pytest.raises(BadInput, match=rf"{named} without a constant INT8 zero point"):
        for_cpu(tmp_path / "foreign.onnx", tmp_path / "never.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.onnx"]


def test_output_over_the_input_is_refused(int8):
    before = int8.read_bytes()
    with pytest.raises(BadInput, match="the output is also an input"):
        for_cpu(int8, int8.parent / "." / int8.name)
    assert int8.read_bytes() == before
