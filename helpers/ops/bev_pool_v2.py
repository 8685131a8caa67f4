"""Pooling of image features into voxels: definition, PyTorch operator, ONNX node and the call of its compiled kernel.

In PyTorch it runs as `torch.ops.onramp.bev_pool_v2`; the ONNX exporter leaves one node in the domain `trt.plugins`.
"""

from collections.abc import Sequence
from math import prod

import torch

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.bev_pool_v2 import ATTRIBUTES, OP_TYPE
from helpers.ops import common


def bev_pool_v2(
    depth: torch.Tensor,
    feat: torch.Tensor,
    ranks_depth: torch.Tensor,
    ranks_feat: torch.Tensor,
    ranks_bev: torch.Tensor,
    interval_starts: torch.Tensor,
    interval_lengths: torch.Tensor,
    grid_size: Sequence[int],
) -> torch.Tensor:
    """Sum features, weighted by their depth, over the points that fall into each voxel (BEVPoolV2, arXiv:2211.17111).

    Point k adds depth[ranks_depth[k]] * feat[ranks_feat[k], :], both flattened. Interval i is the
    `interval_lengths[i]` points from `interval_starts[i]` on; its sum is row ranks_bev[interval_starts[i]] of the
    output. Rows that no interval names are zero.

    No index is trusted: a point with one outside of its tensor adds nothing, an interval is cut where the points end,
    one without points or with a row outside of the grid is left out, and of several that name a row the last counts.

    Args:
        depth: [1, N, D, H, W] floating point, the weight of each of D depth bins of a pixel of camera N.
        feat: [1, N, H, W, C] in the type of `depth`.
        ranks_depth, ranks_feat, ranks_bev: [Np] int32 or int64, rows of the flattened depth, feat and output.
        interval_starts, interval_lengths: [Ni] in the type of the ranks.
        grid_size: (Z, Y, X) of the voxels.

    Returns:
        [1, Z, Y, X, C] in the type of `feat`; half and bfloat16 are summed in float32.

    Raises:
        BadInput: shapes or types that do not belong together.
    """
    points, intervals = (ranks_depth, ranks_feat, ranks_bev), (interval_starts, interval_lengths)
    _check(depth, feat, points, intervals, grid_size)
    tensors = (depth, feat, *points, *intervals)
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OP_TYPE}",
            tensors,
            dict(zip(ATTRIBUTES, grid_size, strict=True)),
            dtype=feat.dtype,
            shape=(1, *grid_size, feat.shape[-1]),
            version=1,
        )
    return torch.ops.onramp.bev_pool_v2(*tensors, list(grid_size))


def reference(
    depth: torch.Tensor,
    feat: torch.Tensor,
    ranks_depth: torch.Tensor,
    ranks_feat: torch.Tensor,
    ranks_bev: torch.Tensor,
    interval_starts: torch.Tensor,
    interval_lengths: torch.Tensor,
    grid_size: Sequence[int],
) -> torch.Tensor:
    """`bev_pool_v2` in plain PyTorch, differentiable; the definition that every other form is held against."""
    weights, features = common.full_precision(depth).flatten(), common.full_precision(feat).flatten(0, -2)
    count, rows, device = len(ranks_bev), prod(grid_size), depth.device
    lengths = torch.minimum(interval_lengths.long(), count - interval_starts.long()).clamp(min=0)
    named = (interval_starts >= 0) & (interval_starts < count) & (lengths > 0)
    starts, lengths = interval_starts.long()[named], lengths[named]
    targets = ranks_bev.long()[starts]
    on_grid = (targets >= 0) & (targets < rows)
    starts, lengths, targets = starts[on_grid], lengths[on_grid], targets[on_grid]
    last = torch.full((rows,), -1, device=device)
    last.scatter_reduce_(0, targets, torch.arange(len(targets), device=device), "amax")
    counts = last[targets] == torch.arange(len(targets), device=device)
    starts, lengths, targets = starts[counts], lengths[counts], targets[counts]

    ends = lengths.cumsum(0)
    interval = torch.repeat_interleave(torch.arange(len(starts), device=device), lengths)
    point = starts[interval] + torch.arange(len(interval), device=device) - (ends - lengths)[interval]
    of_depth, of_feat = ranks_depth.long()[point], ranks_feat.long()[point]
    inside = (of_depth >= 0) & (of_depth < len(weights)) & (of_feat >= 0) & (of_feat < len(features))
    terms = weights[of_depth[inside], None] * features[of_feat[inside]]
    output = features.new_zeros(rows, features.shape[-1]).index_add(0, targets[interval[inside]], terms)
    return output.view(1, *grid_size, -1).to(feat.dtype)


def _check(depth, feat, points, intervals, grid_size):
    kinds = {tensor.dtype for tensor in (*points, *intervals)}
    fits = (
        depth.dim() == feat.dim() == 5
        and depth.dtype == feat.dtype
        and tuple(depth.shape[i] for i in (0, 1, 3, 4)) == tuple(feat.shape[:4])
        and all(tensor.dim() == 1 for tensor in (*points, *intervals))
        and points[0].shape == points[1].shape == points[2].shape
        and intervals[0].shape == intervals[1].shape
        and len(kinds) == 1
        and kinds <= {torch.int32, torch.int64}
        and len(grid_size) == 3
    )
    if not fits:
        names = ("depth", "feat", "ranks_depth", "ranks_feat", "ranks_bev", "interval_starts", "interval_lengths")
        tensors = (depth, feat, *points, *intervals)
        shown = [
            f"{name} {common.shape_text(tensor)} {tensor.dtype}" for name, tensor in zip(names, tensors, strict=True)
        ]
        raise BadInput(
            "bev_pool_v2",
            f"{', '.join(shown)}, grid_size {tuple(grid_size)}".replace("torch.", ""),
            "depth [1,N,D,H,W] and feat [1,N,H,W,C] of one type, ranks [Np] and intervals [Ni] all int32 or all int64, "
            "grid_size (Z, Y, X)",
            "reshape the operands to the layout of the docstring",
        )


def _fake(depth, feat, ranks_depth, ranks_feat, ranks_bev, interval_starts, interval_lengths, grid_size):
    return feat.new_empty((1, *grid_size, feat.shape[-1]))


common.register(
    "bev_pool_v2(Tensor depth, Tensor feat, Tensor ranks_depth, Tensor ranks_feat, Tensor ranks_bev, "
    "Tensor interval_starts, Tensor interval_lengths, int[] grid_size) -> Tensor",
    reference,
    lambda *arguments: False,
    lambda library, *arguments: reference(*arguments),
    _fake,
)
