"""Does ONNX Runtime open an FP8 graph on a CPU at every optimization level? Exit code 0 yes, 1 no."""

import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

FLOAT, FP8 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT8E4M3FN
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


def main():
    model, refused = product().SerializeToString(), 0
    for level in LEVELS:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        try:
            onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
            print(f"{level}: opens")
        except Exception as error:  # its exception classes share no base below Exception
            print(f"{level}: {error}")
            refused += 1
    return 1 if refused else 0


def product():
    """A MatMul of two tensors that went through FP8 Q/DQ."""
    zero = helper.make_tensor("zero", FP8, [], b"\0", raw=True)
    constants = [numpy_helper.from_array(np.float32(0.1), "scale"), zero]
    constants += [numpy_helper.from_array(np.ones((8, 8), np.float32), "w")]
    nodes = []
    for name in ("x", "w"):
        nodes += [helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"])]
        nodes += [helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"])]
    nodes += [helper.make_node("MatMul", ["x_d", "w_d"], ["y"], name="product")]
    given, result = (helper.make_tensor_value_info(name, FLOAT, [4, 8]) for name in "xy")
    graph = helper.make_graph(nodes, "fp8", [given], [result], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


if __name__ == "__main__":
    sys.exit(main())
