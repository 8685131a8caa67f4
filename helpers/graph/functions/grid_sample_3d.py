"""Sampling of a volume in standard operators; `helpers.ops.grid_sample_3d` says what it computes.

The grid of the node is channel-first and ten times as large as PyTorch's, as the published plugin takes it.
"""

from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import Attribute, Body
from helpers.graph.walk import attributes

OP_TYPE = "GridSampler3DTRT2"
INPUTS = ("input", "grid")
OUTPUTS = ("output",)
ATTRIBUTES = dict.fromkeys(("interpolation_mode", "padding_mode", "align_corners"), Attribute(0, 1, optional=True))
VARIANT = "interpolation_mode, padding_mode, align_corners"
TRILINEAR, NEAREST = 0, 1
ZEROS, BORDER = 0, 1
SCALE = 10.0


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[tuple[int, ...] | None]:
    """The three attributes of the nodes (None: a mode that nothing here implements)."""
    found = {tuple(attributes(node).get(name, 0) for name in ATTRIBUTES) for node in nodes}
    return {variant if max(variant) <= 1 else None for variant in found}


def define(b: Body, variant: tuple[int, ...]) -> None:
    """Add the definition to a `Body`."""
    volume, grid = INPUTS
    interpolation, padding, align_corners = variant
    points = b.Div(b.Transpose(b.float(grid), perm=[0, 2, 3, 4, 1]), b.real(SCALE))
    sampled = b.grid_sample(
        b.float(volume), points, interpolation == NEAREST, "border" if padding == BORDER else "zeros", align_corners
    )
    b.CastLike(sampled, volume, output="output")


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """16 per value for trilinear sampling (8 taps), none for the nearest cell."""
    return 0 if attributes(node).get("interpolation_mode") == NEAREST else 16 * prod(output_shape)
