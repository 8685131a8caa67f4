"""ONNX graphs of a few nodes."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser


def value(name, shape, kind=TensorProto.FLOAT):
    """A `ValueInfoProto`; a size may be a name, the shape None."""
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name, values, dtype=None):
    """A `TensorProto`."""
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def model(nodes, inputs, outputs, initializers=(), opset=18, functions=(), opsets=(), ir_version=9):
    """An `onnx.ModelProto`.

    Args:
        inputs, outputs: {name: shape} of float32, or `ValueInfoProto`s.
        initializers: {name: array}, or `TensorProto`s.
        opset, opsets: version of ONNX's operators, and (domain, version) of others.
    """
    inputs, outputs, tensors = _listed(value, inputs), _listed(value, outputs), _listed(constant, initializers)
    made = helper.make_graph(nodes, "made", inputs, outputs, tensors)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*other) for other in opsets)]
    return helper.make_model(made, opset_imports=imports, functions=functions, ir_version=ir_version)


def _listed(make, some):
    return [make(*item) for item in some.items()] if isinstance(some, Mapping) else some


def save(path, nodes, inputs, outputs, initializers=(), opset=18, functions=(), opsets=(), **options):
    """Write what `model` makes to `path`, with options of `onnx.save`, and return it."""
    onnx.save(model(nodes, inputs, outputs, initializers, opset, functions, opsets), path, **options)
    return path


def model_of(nodes, inputs: Mapping, outputs, constants=()):
    """A checked model; inputs are {name: shape}, nodes are named after their outputs."""
    for node in nodes:
        node.name = f"/{node.output[0]}/{node.op_type}"
    made = model(nodes, inputs, dict.fromkeys(outputs), dict(constants))
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def captures():
    """doubled = x + x; an If on `flag` whose branches read it, x and constants from outside; out = relu of that."""
    return parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 18]>
        branches (float[2] x, bool flag) => (float[2] out)
        <float[1] one = {1}, float[1] three = {3}>
        {
          doubled = Add(x, x)
          unused = Neg(x)
          chosen = If <then_branch = then () => (float[2] kept) { kept = Add(doubled, one) },
                       else_branch = other () => (float[2] dropped) {
                         two = Constant <value_float = 2.0> ()
                         inner = Mul(x, two)
                         dropped = Mul(inner, three)
                       }> (flag)
          out = Relu(chosen)
        }
        """
    )


def looping():
    """y = x + step, and three times the product with a matrix [2, 2] of the body's own, plus `step`."""
    made = parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 18]>
        looping (float[1, 2] x, float[1, 2] step) => (float[1, 2] y) <int64 three = {3}, bool go = {1}>
        {
          moved = Add(x, step)
          y = Loop <body = body (int64 i, bool on, float[1, 2] before) => (bool still, float[1, 2] after) {
                still = Identity(on)
                turned = MatMul(before, w)
                after = Add(turned, step)
              }> (three, go, moved)
        }
        """
    )
    made.graph.node[1].attribute[0].g.initializer.append(constant("w", [[0, 1], [-1, 0]], np.float32))
    return made


def sequences():
    """x [1, 4] cut into a sequence of two halves; y is the first of them."""
    return parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 18]>
        sequences (float[1, 4] x) => (float[1, 2] y) <int64[2] sizes = {2, 2}, int64 first = {0}>
        {
          halves = SplitToSequence <axis = 1> (x, sizes)
          y = SequenceAt(halves, first)
        }
        """
    )


def free_batch(batch="N"):
    """A convolution and a matrix product over a free number of pictures [N, 3, 4, 4]; -1 writes it as a size."""
    weights = {"w": np.ones((2, 3, 1, 1), np.float32), "flat": np.array([0, -1]), "m": np.ones((32, 5), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "/stem/Conv"),
        helper.make_node("Reshape", ["c", "flat"], ["f"], "/head/Reshape"),
        helper.make_node("MatMul", ["f", "m"], ["y"], "/head/MatMul"),
    ]
    return model(nodes, {"x": [batch, 3, 4, 4]}, {"y": [batch, 5]}, weights)


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
