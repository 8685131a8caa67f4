"""Does ModelOpt's INT4 AWQ quantize an ONNX graph without cupy, and rightly? Exit code 0 yes, 1 no."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

CHANNELS, OUTPUTS, FLOAT = 256, 128, onnx.TensorProto.FLOAT


def main():
    random = np.random.default_rng(0)
    gain = random.uniform(0.5, 2, CHANNELS).astype(np.float32)
    weight = (random.standard_normal((CHANNELS, OUTPUTS)) / 16).astype(np.float32)
    spread = np.exp(random.standard_normal(CHANNELS))  # channels of unlike size are what AWQ is for
    x = (random.standard_normal((1, 64, CHANNELS)) * spread).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        source, quantized = Path(folder, "model.onnx"), Path(folder, "quantized.onnx")
        onnx.save(scaled_product(gain, weight), source)
        try:
            quantize(source, quantized, x)
        except AttributeError as error:
            print(f"AttributeError: {error}")
            return 1
        session = onnxruntime.InferenceSession(quantized, providers=["CPUExecutionProvider"])
        result = session.run(None, {"x": x})[0]
    expected = (x * gain) @ weight
    error = np.linalg.norm(result - expected) / np.linalg.norm(expected)
    print(f"quantized; relative error {error:.3f}")
    return 0 if error < 0.2 else 1


def scaled_product(gain, weight):
    """x · gain · weight: the product by a constant in front of a MatMul, as a decomposed RMSNorm has it."""
    nodes = [helper.make_node("Mul", ["x", "gain"], ["scaled"], name="scale")]
    nodes += [helper.make_node("MatMul", ["scaled", "weight"], ["y"], name="product")]
    given = helper.make_tensor_value_info("x", FLOAT, [1, 64, CHANNELS])
    result = helper.make_tensor_value_info("y", FLOAT, [1, 64, OUTPUTS])
    constants = [numpy_helper.from_array(gain, "gain"), numpy_helper.from_array(weight, "weight")]
    graph = helper.make_graph(nodes, "scaled_product", [given], [result], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def quantize(source, out, x):
    from modelopt.onnx.quantization import quantize as modelopt_quantize

    modelopt_quantize(
        str(source),
        quantize_mode="int4",
        calibration_method="awq_lite",
        calibration_data={"x": x},
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(out),
        log_level="ERROR",
    )


if __name__ == "__main__":
    sys.exit(main())
