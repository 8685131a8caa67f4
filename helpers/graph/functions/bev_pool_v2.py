"""Pooling of image features into voxels in standard operators; `helpers.ops.bev_pool_v2` says what it computes.

The sum of an interval of points is a difference of running sums. One running sum over all points would lose the small
intervals in the rounding of a large total. So sums run within blocks of `BLOCK` points: an interval inside of a block
is a difference there; one that leaves its block is the rest of that block, the beginning of its last block, and between
them whole blocks, whose totals are points of the next level. No operator adds into places given by indices, which
TensorRT-RTX does not build. Of intervals with the same row, which one counts is the runtime's choice; an infinite or
NaN point is felt in its whole block.
"""

from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import MOST, Attribute, Body
from helpers.graph.walk import attributes, inputs

OP_TYPE = "BEVPoolV2TRT2"
INPUTS = ("depth", "feat", "ranks_depth", "ranks_feat", "ranks_bev", "interval_starts", "interval_lengths")
OUTPUTS = ("output",)
ATTRIBUTES = {
    "out_depth": Attribute(1, MOST, optional=True),
    "out_height": Attribute(1, MOST),
    "out_width": Attribute(1, MOST),
}
VARIANT = "size of the grid"
LEVELS = 8  # of the published plugin for volumes, which has no attribute for them
BLOCK = 32
BLOCK_LEVELS = 2  # then one running sum over all that is left, which only intervals of 1024 points and more reach
INT64 = onnx.TensorProto.INT64


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[tuple[int, ...] | None]:
    """Sizes of the nodes' grids: (Z, Y, X), or (Y, X) where the depth is [N, D, H, W] (None: its rank is unknown)."""
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in [*inputs(model), *model.graph.value_info]}
    return {_grid(attributes(node), ranks.get(node.input[0])) for node in nodes}


def _grid(given, rank):
    plane = given["out_height"], given["out_width"]
    if "out_depth" in given:
        return given["out_depth"], *plane
    return {5: (LEVELS, *plane), 4: plane}.get(rank)


def define(b: Body, grid: tuple[int, ...]) -> None:
    """Add the definition to a `Body`."""
    depth, feat, *indices = INPUTS
    ranks_depth, ranks_feat, ranks_bev, starts, lengths = (b.Cast(index, to=INT64) for index in indices)
    rows = prod(grid)
    zero, one, minus = b.ints(0), b.ints(1), b.ints(-1)
    channels = b.Shape(feat, start=-1)
    weights = b.Reshape(b.float(depth), minus)
    features = b.Reshape(b.float(feat), b.Concat(minus, channels, axis=0))

    known_depth, ranks_depth = _checked(b, ranks_depth, b.Shape(weights))
    known_feat, ranks_feat = _checked(b, ranks_feat, b.extent(features, 0))
    weight = b.Where(b.And(known_depth, known_feat), b.Gather(weights, ranks_depth), b.real(0.0))
    points = b.Mul(b.Unsqueeze(weight, one), b.Gather(features, ranks_feat))

    count = b.Shape(ranks_bev)
    inside, starts = _checked(b, starts, count)  # without any point, index 0 is the row of -1 behind the last
    ends = b.Add(starts, b.Max(zero, b.Min(lengths, b.Sub(count, starts))))
    sums = _interval_sums(b, points, starts, ends, channels)

    row = b.Gather(b.Concat(ranks_bev, minus, axis=0), starts)
    on_grid, row = _checked(b, row, b.ints(rows))
    named = b.And(b.And(inside, on_grid), b.Greater(lengths, zero))
    row = b.Where(named, row, b.ints(rows))  # one row more takes what belongs nowhere
    empty = b.Expand(b.real(0.0), b.Concat(b.ints(rows + 1), channels, axis=0))
    pooled = b.Slice(b.ScatterND(empty, b.Unsqueeze(row, one), sums), zero, b.ints(rows), zero)
    pooled = b.Reshape(pooled, b.Concat(b.ints(1, *grid), channels, axis=0))
    b.CastLike(pooled, feat, output="output")


def _checked(b, index, size):
    """Whether an index lies within the size, and the index, or 0 where it does not."""
    inside = b.And(b.GreaterOrEqual(index, b.ints(0)), b.Less(index, size))
    return inside, b.Where(inside, index, b.ints(0))


def _interval_sums(b, points, starts, ends, channels):
    """Sums [Ni, C] of the points [Np, C] from each start to before each end."""
    block, row = b.ints(BLOCK), b.Concat(b.ints(-1), channels, axis=0)
    parts = []
    for _ in range(BLOCK_LEVELS):
        room = b.Sub(block, b.Mod(b.extent(points, 0), block))  # at least one: an end may lie behind the last point
        blocks = b.Reshape(_padded(b, points, room), b.Concat(b.ints(-1, BLOCK), channels, axis=0))
        running = b.Reshape(b.CumSum(blocks, b.Constant(value_int=1), exclusive=1), row)
        points = b.ReduceSum(blocks, b.ints(1), keepdims=0)
        parts.append(b.Sub(b.Gather(running, ends), b.Gather(running, starts)))
        first, ends = b.Div(starts, block), b.Div(ends, block)
        leaves = b.Less(first, ends)
        rest = b.Where(b.Unsqueeze(leaves, b.ints(1)), b.Gather(points, first), b.real(0.0))
        parts.append(rest)
        starts = b.Where(leaves, b.Add(first, b.ints(1)), ends)
    running = b.CumSum(_padded(b, points, b.ints(1)), b.Constant(value_int=0), exclusive=1)
    parts.append(b.Sub(b.Gather(running, ends), b.Gather(running, starts)))
    return b.Sum(*parts)


def _padded(b, points, room):
    """The points [Np, C] and `room` rows of zeros."""
    return b.Pad(points, b.Concat(b.ints(0, 0), room, b.ints(0), axis=0))


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """2 per point and channel."""
    return 2 * input_shapes[2][0] * output_shape[-1]
