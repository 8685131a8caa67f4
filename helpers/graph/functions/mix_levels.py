"""A pyramid of volumes as one, in standard operators; `helpers.ops.mix_levels` says what it computes."""

from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import Attribute, Body

OP_TYPE = "MixLevelsTRT2"
LEVELS = ("level_1", "level_2", "level_3")
INPUTS = ("fine", "shares", *LEVELS)
OUTPUTS = ("output",)
ATTRIBUTES: dict[str, Attribute] = {}
VARIANT = "number of levels"
SPACE = 2  # of [B, C, D, H, W], the first axis that is resized


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """Levels beside the fine volume: 3."""
    return {len(LEVELS)}


def define(b: Body, levels: int) -> None:
    """Add the definition to a `Body`."""
    shares = b.Split(b.float("shares"), b.ints(*[1] * (levels + 1)), axis=1, outputs=levels + 1)
    size = b.Shape("fine", start=SPACE)
    total = b.Mul(b.float("fine"), shares[0])
    for level, share in zip(LEVELS, shares[1:], strict=True):
        sizes = b.Concat(b.Shape(level, end=SPACE), size, axis=0)
        resized = b.Resize(b.float(level), "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
        total = b.Add(total, b.Mul(resized, share))
    b.CastLike(total, "fine", output="output")


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """Per value a product, and for every level 16 of trilinear sampling (8 taps), a product and a sum."""
    return (1 + 18 * len(LEVELS)) * prod(output_shape)
