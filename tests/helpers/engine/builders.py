"""Small ONNX files to build engines from, and ways to damage an engine."""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from helpers.engine import cache
from tests.builders.graphs import save


def save_conv(path, batch=2, **options):
    """relu(conv1x1(x, w)) with x [batch, 3, 4, 4]; returns path and w [5, 3]."""
    weight = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "conv"), helper.make_node("Relu", ["y"], ["z"], "relu")]
    weights = {"w": weight[:, :, None, None]}
    return save(path, nodes, {"x": [batch, 3, 4, 4]}, {"z": [batch, 5, 4, 4]}, weights, **options), weight


def expected_conv(weight, x):
    return np.maximum(np.einsum("oc,bchw->bohw", weight, x), 0)


def save_fp8(path):
    """y = qdq(x) @ qdq(w) with FP8 Q/DQ nodes; returns path, w and the scales."""
    weight = (np.random.default_rng(3).standard_normal((16, 4)) * 0.3).astype(np.float32)
    nodes = []
    for name in ("x", "w"):
        nodes.append(
            helper.make_node("QuantizeLinear", [name, f"{name}_scale", "zero"], [f"{name}_q"], f"{name}_quantize")
        )
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale", "zero"], [f"{name}_d"]))
    nodes.append(helper.make_node("MatMul", ["x_d", "w_d"], ["y"], "product"))
    weights = [
        numpy_helper.from_array(weight, "w"),
        numpy_helper.from_array(np.float32(0.01), "x_scale"),
        numpy_helper.from_array(np.float32(0.004), "w_scale"),
        helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], b"\0", raw=True),
    ]
    return save(path, nodes, {"x": [2, 16]}, {"y": [2, 4]}, weights, opset=19), weight


def edit_metadata(path, **changes):
    metadata = cache.metadata_file(path)
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | changes))


def flip_byte(path, position=-3):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def left_over(folder):
    """Files and folders in `folder`, hidden temporary ones included."""
    return sorted(path.name for path in Path(folder).rglob("*")) if Path(folder).exists() else []
