"""Definitions of the custom operators in standard ONNX operators, as model-local functions of the same name."""

import math

from helpers.errors import BadInput

DOMAIN = "trt.plugins"
NEAREST = 1


def attach_functions(model):
    """Add to an `onnx.ModelProto` the definition of every `trt.plugins` node that lacks one; returns the model.

    All nodes of one operator share one definition, so they must agree in the number of levels (attention) or in the
    interpolation (rotate).

    Raises:
        BadInput: an unknown operator of the domain, nodes that disagree, or an opset before 16 (GridSample).
    """
    from onnx import helper

    nodes = {}
    for node in model.graph.node:
        if node.domain == DOMAIN:
            nodes.setdefault(node.op_type, []).append(node)
    if not nodes:
        return model
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < 16:
        raise BadInput("ONNX model", f"opset {opset}", "opset 16 or later", "export with helpers.export.OPSET")
    linear = "linear" if opset >= 20 else "bilinear"
    present = {function.name for function in model.functions if function.domain == DOMAIN}
    for op_type in sorted(nodes.keys() - present):
        model.functions.append(_function(model, op_type, nodes[op_type], linear, opset))
    if all(entry.domain != DOMAIN for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return model


def _function(model, op_type, nodes, linear, opset):
    from onnx import helper

    body, attributes = _Body(), []
    if op_type == "MultiScaleDeformableAttnTRT2":
        levels = _agreed(op_type, "number of levels", _levels(model, nodes))
        inputs = ["value", "value_spatial_shapes", "reference_points", "sampling_offsets", "attention_weights"]
        _attention(body, *inputs, levels, linear)
    elif op_type == "RotateTRT2":
        interpolation = _agreed(op_type, "interpolation", {_attribute(node, "interpolation") for node in nodes})
        inputs, attributes = ["image", "angle", "center"], ["interpolation"]
        _rotate(body, *inputs, "nearest" if interpolation == NEAREST else linear)
    else:
        raise BadInput(
            f"ONNX operator {DOMAIN}::{op_type}",
            "no definition in standard operators",
            "MultiScaleDeformableAttnTRT2 or RotateTRT2",
            "run the model with the plugin that implements the operator",
        )
    return helper.make_function(
        DOMAIN, op_type, inputs, ["output"], body.nodes, [helper.make_opsetid("", opset)], attributes
    )


class _Body:
    """Nodes of a function: every operator is a method that takes and returns tensor names."""

    def __init__(self):
        self.nodes = []

    def __getattr__(self, op_type):
        def add(*inputs, outputs=1, output=None, **attributes):
            from onnx import helper

            names = [output] if output else [f"{op_type}_{len(self.nodes)}_{i}" for i in range(outputs)]
            self.nodes.append(helper.make_node(op_type, inputs, names, **attributes))
            return names[0] if len(names) == 1 else names

        return add

    def ints(self, *values):
        return self.Constant(value_ints=values)

    def real(self, value):
        return self.Constant(value_float=value)

    def extent(self, tensor, axis):
        """The size of one axis, as an integer tensor [1]."""
        return self.Shape(tensor, start=axis, end=axis + 1)

    def float(self, tensor):
        return self.Cast(tensor, to=1)

    def grid_sample(self, image, grid, mode):
        return self.GridSample(image, grid, mode=mode, padding_mode="zeros", align_corners=0)


def _attention(b, value, shapes, references, offsets, weights, levels, linear):
    minus, one, two, keep = b.ints(-1), b.ints(1), b.ints(2), b.ints(0, 0, 0)
    queries, heads, channels = b.extent(offsets, 1), b.extent(value, 2), b.extent(value, 3)
    entries, groups = b.extent(weights, 3), b.Div(b.extent(references, 3), two)
    points = b.Div(entries, b.ints(levels))
    offset_shape = b.Concat(keep, minus, groups, two, axis=0)
    grid_shape = b.Concat(minus, queries, points, two, axis=0)

    softmax = b.Transpose(b.Softmax(weights, axis=-1), perm=[0, 2, 1, 3])
    softmax = b.Reshape(softmax, b.Concat(minus, one, queries, entries, axis=0))
    origin = b.Reshape(b.Transpose(references, perm=[0, 2, 1, 3]), b.ints(0, 0, 0, 1, -1, 2))
    origin = b.Sub(b.Mul(origin, b.CastLike(b.real(2.0), value)), b.CastLike(b.real(1.0), value))
    offset_levels = _split(
        b, b.Transpose(offsets, perm=[0, 2, 1, 3]), b.Expand(b.Mul(points, two), b.ints(levels)), levels
    )
    sizes = b.Cast(shapes, to=7)
    cells = b.Mul(*(b.Gather(sizes, b.Constant(value_int=i), axis=1) for i in (0, 1)))
    value_levels = _split(b, b.Transpose(value, perm=[0, 2, 3, 1]), cells, levels)

    samples = []
    for level in range(levels):
        size = b.Gather(sizes, b.Constant(value_int=level), axis=0)
        scale = b.Div(b.real(2.0), b.float(b.Gather(size, b.ints(1, 0), axis=0)))
        offset = b.Reshape(offset_levels[level], offset_shape)
        grid = b.Reshape(b.Add(origin, b.Mul(offset, b.CastLike(scale, value))), grid_shape)
        image = b.Reshape(value_levels[level], b.Concat(minus, channels, size, axis=0))
        samples.append(b.grid_sample(image, grid, linear))
    samples = b.Concat(*samples, axis=3) if levels > 1 else samples[0]
    summed = b.ReduceSum(b.Mul(samples, softmax), b.ints(3), keepdims=0)
    summed = b.Reshape(summed, b.Concat(minus, heads, channels, queries, axis=0))
    b.Transpose(summed, perm=[0, 3, 1, 2], output="output")


def _split(b, tensor, sizes, levels):
    return b.Split(tensor, sizes, axis=3, outputs=levels) if levels > 1 else [tensor]


def _rotate(b, image, angle, center, mode):
    first, one, two = b.ints(0), b.ints(1), b.ints(2)
    theta = b.Mul(b.Reshape(b.float(angle), one), b.real(-math.pi / 180))
    cos, sin = b.Cos(theta), b.Sin(theta)
    x, half_w = _pixel_centres(b, image, 2)
    y, half_h = _pixel_centres(b, image, 1)
    y = b.Unsqueeze(y, one)
    cx = b.Sub(b.Gather(b.float(center), first), half_w)
    cy = b.Sub(b.Gather(b.float(center), one), half_h)
    shift_x = b.Sub(b.Sub(cx, b.Mul(cx, cos)), b.Mul(cy, sin))
    shift_y = b.Sub(b.Add(cy, b.Mul(cx, sin)), b.Mul(cy, cos))
    source_x = b.Add(b.Add(b.Mul(cos, x), b.Mul(sin, y)), shift_x)
    source_y = b.Add(b.Sub(b.Mul(cos, y), b.Mul(sin, x)), shift_y)
    grid_x, grid_y = (b.Unsqueeze(b.Div(*pair), two) for pair in ((source_x, half_w), (source_y, half_h)))
    grid = b.Unsqueeze(b.Concat(grid_x, grid_y, axis=2), first)
    pixels = b.Unsqueeze(b.float(image), first)
    rotated = b.Squeeze(b.grid_sample(pixels, grid, mode), first)
    b.CastLike(rotated, image, output="output")


def _pixel_centres(b, image, axis):
    """Coordinates of the pixel centres along one axis, from the middle of the image, and half the extent."""
    extent = b.extent(image, axis)
    half = b.Div(b.float(extent), b.real(2.0))
    count = b.Range(b.Constant(value_int=0), b.Squeeze(extent, b.ints(0)), b.Constant(value_int=1))
    return b.Add(b.float(count), b.Sub(b.real(0.5), half)), half


def _agreed(op_type, what, found):
    if len(found) != 1:
        raise BadInput(
            f"ONNX operator {DOMAIN}::{op_type}",
            f"nodes with {what} {sorted(found, key=str)}",
            f"the same {what} in all nodes, known before the run",
            "split the model into subgraphs that agree",
        )
    return next(iter(found))


def _attribute(node, name):
    return next((attribute.i for attribute in node.attribute if attribute.name == name), None)


def _levels(model, nodes):
    """Numbers of levels of the attention nodes: first extent of their spatial shapes (None: unknown)."""
    graph, known = model.graph, {}
    for info in [*graph.input, *graph.value_info]:
        shape = info.type.tensor_type.shape
        if shape.dim and shape.dim[0].HasField("dim_value"):
            known[info.name] = shape.dim[0].dim_value
    known.update((tensor.name, tensor.dims[0]) for tensor in graph.initializer if tensor.dims)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].t.dims:
            known[node.output[0]] = node.attribute[0].t.dims[0]
    return {known.get(node.input[1]) for node in nodes}
