"""ONNX graphs of a few nodes."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model_of(nodes, inputs: Mapping, outputs, constants=()):
    """A checked `onnx.ModelProto`; inputs are {name: shape}, nodes are named after their outputs."""
    for node in nodes:
        node.name = f"/{node.output[0]}/{node.op_type}"
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def chain(scale=1.0, length=6):
    """x -> t0 -> t1 -> ...: each adds 1, t2 multiplies by `scale`."""
    nodes = [
        helper.make_node(
            "Mul" if i == 2 else "Add", [f"t{i - 1}" if i else "x", "scale" if i == 2 else "one"], [f"t{i}"]
        )
        for i in range(length)
    ]
    constants = {"one": np.float32([1]), "scale": np.float32([scale])}
    return model_of(nodes, {"x": [4]}, [f"t{length - 1}"], constants)


X = [{"x": np.float32([1, 2, 3, 4])}]


def quantized(model):
    """A copy of `model` with Q/DQ on both inputs of every convolution."""
    copy, known = onnx.ModelProto(), {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    copy.CopyFrom(model)
    nodes, done = [], set()
    for node in model.graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        for i, name in enumerate(node.input[:2] if node.op_type == "Conv" else ()):
            copied.input[i] = f"{name}/dq"
            if name in done:
                continue
            done.add(name)
            scale = np.float32(np.abs(known[name]).max() / 127 if name in known else 0.03)
            copy.graph.initializer.append(numpy_helper.from_array(scale, f"{name}/scale"))
            copy.graph.initializer.append(numpy_helper.from_array(np.int8(0), f"{name}/zero"))
            for kind, source, made in (("Quantize", name, f"{name}/q"), ("Dequantize", f"{name}/q", f"{name}/dq")):
                inputs = [source, f"{name}/scale", f"{name}/zero"]
                nodes.append(helper.make_node(f"{kind}Linear", inputs, [made], f"{made}/node"))
        nodes.append(copied)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy
