"""Multi-scale deformable attention in standard operators; `helpers.ops.ms_deform_attn` says what it computes."""

from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import Attribute, Body
from helpers.graph.walk import attributes, inputs

OP_TYPE = "MultiScaleDeformableAttnTRT2"
INPUTS = ("value", "value_spatial_shapes", "reference_points", "sampling_offsets", "attention_weights")
OUTPUTS = ("output",)
ATTRIBUTES: dict[str, Attribute] = {}
VARIANT = "number of levels"


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[int | None]:
    """Numbers of levels of the nodes: the first extent of their spatial shapes (None: unknown)."""
    known = {}
    for value in [*inputs(model), *model.graph.value_info]:
        shape = value.type.tensor_type.shape
        if shape.dim and shape.dim[0].HasField("dim_value"):
            known[value.name] = shape.dim[0].dim_value
    known.update((tensor.name, tensor.dims[0]) for tensor in model.graph.initializer if tensor.dims)
    for node in model.graph.node:
        if node.op_type == "Constant" and "value" in attributes(node):
            known.update((node.output[0], extent) for extent in attributes(node)["value"].dims[:1])
    return {known.get(node.input[1]) for node in nodes}


def define(b: Body, levels: int) -> None:
    """Add the definition to a `Body`."""
    value, shapes, references, offsets, weights = INPUTS
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
        samples.append(b.grid_sample(image, grid))
    joined = b.Concat(*samples, axis=3) if levels > 1 else samples[0]
    summed = b.ReduceSum(b.Mul(joined, softmax), b.ints(3), keepdims=0)
    summed = b.Reshape(summed, b.Concat(minus, heads, channels, queries, axis=0))
    b.Transpose(summed, perm=[0, 3, 1, 2], output="output")


def _split(b, tensor, sizes, levels):
    return b.Split(tensor, sizes, axis=3, outputs=levels) if levels > 1 else [tensor]


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """10 per sampling point and channel: 8 for a bilinear sample, 2 for its weight."""
    return 10 * prod(input_shapes[4]) * input_shapes[0][3]
