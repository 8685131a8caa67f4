"""Rotation of an image about a point in standard operators; `helpers.ops.rotate` says what it computes."""

import math
from collections.abc import Sequence

import onnx

from helpers.graph.functions.body import Attribute, Body
from helpers.graph.walk import attributes

OP_TYPE = "RotateTRT2"
INPUTS = ("image", "angle", "center")
OUTPUTS = ("output",)
ATTRIBUTES = {"interpolation": Attribute(0, 1, optional=True)}
VARIANT = "interpolation"
BILINEAR, NEAREST = 0, 1


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """Interpolations of the nodes."""
    return {attributes(node).get("interpolation", BILINEAR) for node in nodes}


def define(b: Body, interpolation: int) -> None:
    """Add the definition to a `Body`."""
    image, angle, center = INPUTS
    first, one, two = b.ints(0), b.ints(1), b.ints(2)
    theta = b.Mul(b.Reshape(b.float(angle), one), b.real(-math.pi / 180))
    cos, sin = b.Cos(theta), b.Sin(theta)
    x, half_w = _pixel_centers(b, image, 2)
    y, half_h = _pixel_centers(b, image, 1)
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
    rotated = b.Squeeze(b.grid_sample(pixels, grid, interpolation == NEAREST), first)
    b.CastLike(rotated, image, output="output")


def _pixel_centers(b, image, axis):
    """Coordinates of the pixel centers along one axis, from the middle of the image, and half the extent."""
    extent = b.extent(image, axis)
    half = b.Div(b.float(extent), b.real(2.0))
    count = b.Range(b.Constant(value_int=0), b.Squeeze(extent, b.ints(0)), b.Constant(value_int=1))
    return b.Add(b.float(count), b.Sub(b.real(0.5), half)), half


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """8 per value for bilinear sampling, none for the nearest pixel."""
    return 0 if attributes(node).get("interpolation") == NEAREST else 8 * math.prod(output_shape)
