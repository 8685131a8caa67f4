"""Projection of pillars into cameras in standard operators; `helpers.ops.project_pillars` says what it computes."""

from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import MOST, Attribute, Body
from helpers.graph.walk import attributes

OP_TYPE = "ProjectPillarsTRT2"
INPUTS = ("lidar2img", "points")
OUTPUTS = ("references", "mask")
ATTRIBUTES = dict.fromkeys(("image_height", "image_width"), Attribute(1, MOST))
VARIANT = "image_height, image_width"
NEAREST_DEPTH, FEWEST = 1e-5, 1e-4  # of a point in front of a camera; of cameras that a weight is divided by


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[tuple[int, ...] | None]:
    """(height, width) of the nodes; None where one is absent or no extent."""
    found = {tuple(attributes(node).get(name, 0) for name in ATTRIBUTES) for node in nodes}
    return {size if min(size) > 0 else None for size in found}


def define(b: Body, variant: tuple[int, ...]) -> None:
    """Add the definition to a `Body`."""
    height, width = variant
    matrix, points = (b.float(name) for name in INPUTS)
    last, three = b.ints(-1), b.ints(1, 1, 1)
    rows = b.Unsqueeze(b.Slice(matrix, b.ints(0), b.ints(3), b.ints(2)), b.ints(2, 3))  # [B, cameras, 1, 1, 3, 4]
    *scales, shift = b.Split(rows, b.ints(1, 1, 1, 1), axis=5, outputs=4)
    coordinates = b.Split(points, three, axis=2, outputs=3)  # [Q, P, 1]
    terms = [b.Mul(b.Squeeze(scale, last), coordinate) for scale, coordinate in zip(scales, coordinates, strict=True)]
    image = b.Add(b.Add(b.Add(terms[0], terms[1]), terms[2]), b.Squeeze(shift, last))  # [B, cameras, Q, P, 3]
    u, v, depth = b.Split(image, three, axis=4, outputs=3)
    floor = b.real(NEAREST_DEPTH)
    floored = b.Where(b.Less(depth, floor), floor, depth)  # keeps NaN
    pixels = [b.Div(b.Div(x, floored), b.real(float(size))) for x, size in ((u, width), (v, height))]
    inside = b.Greater(depth, floor)
    for x in pixels:
        inside = b.And(inside, b.And(b.Greater(x, b.real(0.0)), b.Less(x, b.real(1.0))))
    visible = b.Min(b.ReduceSum(b.float(b.Squeeze(inside, last)), last, keepdims=1), b.real(1.0))  # [B, cameras, Q, 1]
    seen = b.Max(b.ReduceSum(visible, b.ints(1), keepdims=1), b.real(FEWEST))
    b.CastLike(b.Div(visible, seen), points, output="mask")
    shape = b.Concat(last, b.extent(points, 0), b.ints(1), b.Mul(b.extent(points, 1), b.ints(2)), axis=0)
    b.CastLike(b.Reshape(b.Concat(*pixels, axis=4), shape), points, output="references")


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """Per point and camera: 18 of the product, 4 divisions."""
    return 22 * (prod(output_shape) // 2)
