"""Pooling of image features into voxels: definition, PyTorch operator, ONNX node and the call of its compiled kernel.

In PyTorch it runs as `torch.ops.onramp.bev_pool_v2`; the ONNX exporter leaves one node in the domain `trt.plugins`.
"""

import ctypes
from collections.abc import Sequence
from math import prod

import torch

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.bev_pool_v2 import ATTRIBUTES, OP_TYPE
from helpers.ops import common
from helpers.ops import library as chosen


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
    common.check_tensors("bev_pool_v2", depth=depth, feat=feat)
    common.check_whole("bev_pool_v2", ranks_depth=ranks_depth, ranks_feat=ranks_feat, ranks_bev=ranks_bev,
                       interval_starts=interval_starts, interval_lengths=interval_lengths)  # fmt: skip
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
    """`bev_pool_v2` in plain PyTorch, differentiable; the definition that every other form is held against.

    Its sizes depend on the indices, so that torch.compile breaks its graph here, but not at the compiled kernel.
    """
    weights, features = common.full_precision(depth).flatten(), common.full_precision(feat).flatten(0, -2)
    count, rows = ranks_bev.shape[0], prod(grid_size)
    starts = interval_starts.long()
    lengths = torch.minimum(interval_lengths.long(), count - starts)
    named = (starts >= 0) & (lengths > 0)
    starts, lengths = starts[named], lengths[named]
    targets = ranks_bev.long()[starts]
    on_grid = (targets >= 0) & (targets < rows)
    starts, lengths, targets = starts[on_grid], lengths[on_grid], targets[on_grid]
    order = torch.arange(targets.shape[0], device=depth.device)
    last = order.new_full((rows,), -1).scatter_reduce(0, targets, order, "amax")[targets] == order
    starts, lengths, targets = starts[last], lengths[last], targets[last]

    first = lengths.cumsum(0) - lengths  # of an interval, among the points of all
    shift, target = (torch.repeat_interleave(tensor, lengths) for tensor in (starts - first, targets))
    point = shift + torch.arange(shift.shape[0], device=depth.device)
    of_depth, of_feat = ranks_depth.long()[point], ranks_feat.long()[point]
    inside = (of_depth >= 0) & (of_depth < weights.shape[0]) & (of_feat >= 0) & (of_feat < features.shape[0])
    terms = weights[of_depth[inside], None] * features[of_feat[inside]]
    output = features.new_zeros(rows, features.shape[-1]).index_add(0, target[inside], terms)
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
        and feat.shape[-1] > 0
        and len(grid_size) == 3
        and min(grid_size) > 0
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


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {torch.float32: "fp32", torch.float16: "fp16"}  # type of depth and feat -> suffix of the compiled function


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampPooling of plugins/kernels/bev_pool_v2.h
    _fields_ = [
        (name, ctypes.c_int)
        for name in ("depths", "features", "channels", "points", "intervals", "rows", "wide_indices")
    ]


def launch(library: ctypes.CDLL, tensors: Sequence[torch.Tensor], output: torch.Tensor, packed: bool = False) -> None:
    """Queue the compiled kernel on the current stream: contiguous tensors on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        tensors: the seven of `bev_pool_v2`, in its order.
        output: [1, Z, Y, X, C], written.
        packed: in half precision, multiply and add in pairs of halves.

    Raises:
        BadInput: a tensor that is not contiguous, types or sizes that no kernel takes.
    """
    depth, feat, ranks, starts = tensors[0], tensors[1], tensors[2], tensors[5]
    _check(depth, feat, tensors[2:5], tensors[5:], output.shape[1:4])
    form = FORMS.get(feat.dtype)
    if form is None or output.dtype != feat.dtype or output.shape[-1] != feat.shape[-1]:
        found = f"depth and feat {feat.dtype}, output {tuple(output.shape)} {output.dtype}"
        raise BadInput("bev_pool_v2.launch", found, "all in float32 or float16, as many channels in both",
                       "see helpers.ops.bev_pool_v2")  # fmt: skip
    rows, channels = output.numel() // feat.shape[-1], feat.shape[-1]
    sizes = Sizes(depth.numel(), feat.numel() // channels, channels, len(ranks), len(starts), rows,
                  ranks.dtype == torch.int64)  # fmt: skip
    intervals_of_rows = torch.empty(rows, dtype=torch.int32, device=output.device)
    suffix = "x2" if packed and form == "fp16" else ""
    common.launch(library, f"onramp_bev_pool_v2_{form}{suffix}", sizes, (*tensors, intervals_of_rows, output))


def _takes(depth, feat, *indices):
    return depth.dtype == feat.dtype and feat.dtype in FORMS


def _kernel(library, *arguments):
    output = _fake(*arguments)
    launch(library, [common.packed(tensor) for tensor in arguments[:7]], output, chosen.packed())
    return output


# ---------------------------------------------------------------------------------------------------- registration


def _fake(depth, feat, ranks_depth, ranks_feat, ranks_bev, interval_starts, interval_lengths, grid_size):
    return feat.new_empty((1, *grid_size, feat.shape[-1]))


common.register(
    "bev_pool_v2(Tensor depth, Tensor feat, Tensor ranks_depth, Tensor ranks_feat, Tensor ranks_bev, "
    "Tensor interval_starts, Tensor interval_lengths, int[] grid_size) -> Tensor",
    reference,
    _takes,
    _kernel,
    _fake,
)
