"""Forms of ONNX operators after opset 17, written as opset 17 has them, for TensorRT 8.6.

Its parser reads attributes and inputs by opset 17 and passes over what came later without a word, so that ReduceMax
loses its axes and Shape its start (github.com/onnx/onnx-tensorrt, branch release/8.6-GA, builtin_op_importers.cpp). An
operator is left alone if its inputs, outputs and attributes are those of opset 17; any other form that is not
rewritten here is refused.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from helpers.engine.tensorrt.view import View
from helpers.errors import BadInput
from helpers.graph.walk import STANDARD, attributes, bodies

OPSET, IR_VERSION = 17, 8
EXPORT = "export the model with an opset up to 17, or write the operator in simpler ones"


def rewrite(view: View) -> None:
    """Bring a graph down to opset 17.

    Raises:
        BadInput: naming the node, for a form that opset 17 does not have.
    """
    for node in view.nodes:
        _check(view, node)
    view.replace(RULES)
    view.opset, view.model.ir_version = OPSET, IR_VERSION


def within(view: View) -> None:
    """Write what a graph of opset 17 or before has and the parser passes over: a Shape's start and end, of opset 15."""
    view.replace({"Shape": shape})
    view.model.ir_version = min(view.model.ir_version, IR_VERSION)


def _check(view, node):
    if node.domain not in STANDARD:
        return
    if bodies(node):
        raise _refusal(node, "a node with subgraphs", "a graph without branches and loops")
    if node.op_type not in RULES and _form(node, view.opset) != _form(node, OPSET):
        raise _refusal(node, f"{node.op_type} in its form of opset {view.opset}", "a form that opset 17 has")


def _form(node, opset):
    """Inputs, outputs and attributes of an operator at an opset; None where it does not exist."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        return None
    return sorted(schema.attributes), schema.min_input, schema.max_input, schema.min_output, schema.max_output


def _refusal(node, found, expected):
    return BadInput(f"node {node.name!r} ({node.op_type})", found, f"{expected} (TensorRT 8.6)", EXPORT)


def _made(node, inputs, given):
    return [helper.make_node(node.op_type, inputs, node.output, node.name, **given)]


def _constant_input(view, node, index):
    """Value of an optional input, None if it is not given."""
    name = node.input[index] if index < len(node.input) else ""
    if name and name not in view.constants:
        raise _refusal(node, f"input {name!r} computed at run time", "a constant")
    return view.constants[name] if name else None


def _reduction(view, node):
    """Axes from the second input into an attribute."""
    given = attributes(node)
    keep_all = given.pop("noop_with_empty_axes", 0)
    axes = _constant_input(view, node, 1)
    if axes is not None and axes.size:
        given["axes"] = [int(axis) for axis in axes.reshape(-1)]
    elif keep_all:
        return [helper.make_node("Identity", node.input[:1], node.output, node.name)]
    return _made(node, node.input[:1], given)


def _convolution(view, node):
    """`kernel_shape` written out: without it the parser takes a kernel that a node computes for one of size 1."""
    given, weights = attributes(node), view.shapes.get(node.input[1], ())
    if "kernel_shape" not in given and weights and None not in weights[2:]:
        given["kernel_shape"] = weights[2:]
    return _made(node, node.input, given)


def _split(view, node):
    """`num_outputs` into explicit sizes: equal, the last one smaller where they do not come out even."""
    given = attributes(node)
    count = given.pop("num_outputs", None)
    inputs = list(node.input)
    if count is not None:
        size = view.shapes.get(node.input[0], ())
        size = size[given.get("axis", 0)] if size else None
        if size is None:
            raise _refusal(node, "a split of a free dimension into equal parts", "a fixed dimension")
        part = -(-size // count)
        sizes = [part] * (count - 1) + [size - part * (count - 1)]
        inputs = [node.input[0], view.constant(f"{node.name}_sizes", np.array(sizes, np.int64))]
    return _made(node, inputs, given)


def shape(view: View, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """`start` and `end` as a Slice of the whole shape."""
    given = attributes(node)
    if not given:
        return [node]
    whole = view.fresh(f"{node.output[0]}_whole")
    bounds = given.get("start", 0), given.get("end", np.iinfo(np.int32).max)
    start, end = (view.constant(f"{node.name}_bound", np.array([bound], np.int64)) for bound in bounds)
    return [
        helper.make_node("Shape", node.input, [whole], f"{node.name}_whole"),
        helper.make_node("Slice", [whole, start, end], node.output, node.name),
    ]


def cast_like(view: View, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A Cast to the type of the second input."""
    kind = view.types.get(node.input[1], TensorProto.UNDEFINED)
    if kind == TensorProto.UNDEFINED:
        raise _refusal(node, f"the type of {node.input[1]!r} is not known", "a tensor of known type")
    return [helper.make_node("Cast", node.input[:1], node.output, node.name, to=kind)]


def with_bias(view: View, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A LayerNormalization without a bias gets zeros: the parser makes a single zero of it, and TensorRT expects scale
    and bias of one shape (NvInfer.h, addNormalization).
    """
    scale = view.shapes.get(node.input[1])
    if any(node.input[2:]) or scale is None or None in scale:
        return [node]
    dtype = helper.tensor_dtype_to_np_dtype(view.types[node.input[1]])
    zeros = view.constant(f"{node.name}_bias", np.zeros([size or 0 for size in scale], dtype))
    return [helper.make_node(node.op_type, [*node.input[:2], zeros], node.output, node.name, **attributes(node))]


def _cast(view, node):
    return _made(node, node.input, {"to": attributes(node)["to"]})


def _pad(view, node):
    """Pads of some axes into pads of all."""
    given = attributes(node)
    if given.get("mode", b"constant") == b"wrap":
        raise _refusal(node, "mode wrap", "constant, reflect or edge")
    axes = _constant_input(view, node, 3)
    inputs = list(node.input[:3])
    if axes is not None:
        rank = _rank(view, node)
        pads = np.zeros((2, rank), np.int64)
        pads[:, axes] = _constant_input(view, node, 1).reshape(2, -1)
        inputs[1] = view.constant(f"{node.name}_pads", pads.reshape(-1))
    return _made(node, inputs, given)


def _resize(view, node):
    """Scales or sizes of some axes into those of all."""
    given = attributes(node)
    if given.pop("antialias", 0) or given.pop("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise _refusal(node, "antialias or an aspect ratio that is kept", "neither")
    axes = given.pop("axes", None)
    inputs = list(node.input)
    for index, whole in ((2, np.ones), (3, lambda rank, _: np.array(view.shapes[node.input[0]]))):
        some = _constant_input(view, node, index) if axes else None
        if some is not None and some.size:
            full = whole(_rank(view, node), some.dtype).astype(some.dtype)
            full[list(axes)] = some
            inputs[index] = view.constant(f"{node.name}_axes", full)
    return _made(node, inputs, given)


def _rank(view, node):
    shape = view.shapes.get(node.input[0])
    if shape is None or (node.op_type == "Resize" and None in shape):
        raise _refusal(node, "an input of unknown shape and only some of its axes", "all axes")
    return len(shape)


def _scatter(view, node):
    given = attributes(node)
    if given.pop("reduction", b"none") != b"none":
        raise _refusal(node, "a reduction, which the parser leaves out", "reduction none")
    return _made(node, node.input, given)


def _grid_sample(view, node):
    given = attributes(node)
    mode = given.get("mode", b"linear")
    given["mode"] = {b"linear": "bilinear", b"cubic": "bicubic"}.get(mode, mode)
    return _made(node, node.input, given)


def _average_pool(view, node):
    given = attributes(node)
    if any(step != 1 for step in given.pop("dilations", [])):
        raise _refusal(node, "dilations", "none")
    return _made(node, node.input, given)


def _quantize(view, node):
    """Q/DQ with a zero point, which the parser wants, in INT8, which is all it has."""
    given = attributes(node)
    scale = view.types.get(node.input[1])
    point = node.input[2] if len(node.input) > 2 else ""
    integer = point or (node.output[0] if node.op_type == "QuantizeLinear" else node.input[0])
    kind = view.types.get(integer, TensorProto.INT8)
    if kind != TensorProto.INT8 or scale not in (None, TensorProto.FLOAT) or given.get("block_size"):
        found = f"{TensorProto.DataType.Name(kind)} with scales in {TensorProto.DataType.Name(scale or 0)}"
        raise _refusal(node, found, "INT8 with FLOAT scales and no blocks")
    if point and point in view.constants and np.any(view.constants[point]):
        raise _refusal(node, "a zero point other than 0", "symmetric quantization")
    if not point:
        point = view.constant(f"{node.name}_zero_point", np.zeros(view.shapes[node.input[1]], np.int8))
    axis = {"axis": given["axis"]} if "axis" in given else {}
    return _made(node, [*node.input[:2], point], axis)


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
RULES = {
    **{f"Reduce{name}": _reduction for name in _REDUCTIONS},
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "DequantizeLinear": _quantize,
    "GridSample": _grid_sample,
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "Resize": _resize,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Shape": shape,
    "Split": _split,
}
