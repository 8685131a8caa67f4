"""Sampling of a volume: definition, PyTorch operator, ONNX node and the call of its compiled kernel.

In PyTorch it runs as `torch.ops.onramp.grid_sample_3d`; the ONNX exporter leaves one node in the domain `trt.plugins`,
with the grid channel-first and ten times as large, as the published plugin takes it.
"""

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.grid_sample_3d import ATTRIBUTES, BORDER, NEAREST, OP_TYPE, SCALE, TRILINEAR, ZEROS
from helpers.ops import common

INTERPOLATION = {"trilinear": TRILINEAR, "nearest": NEAREST}
PADDING = {"zeros": ZEROS, "border": BORDER}


def grid_sample_3d(
    input: torch.Tensor,
    grid: torch.Tensor,
    interpolation: str = "trilinear",
    padding: str = "zeros",
    align_corners: bool = True,
) -> torch.Tensor:
    """Sample a volume at points, as PyTorch's `grid_sample` does for five dimensions.

    Args:
        input: [N, C, D, H, W] floating point.
        grid: [N, Do, Ho, Wo, 3] floating point, (x, y, z) with -1 and 1 at the ends of W, H and D.
        interpolation: "trilinear" or "nearest", which rounds ties to even.
        padding: what is read outside: "zeros", or "border" for the nearest cell inside.
        align_corners: whether -1 and 1 are the centers of the first and last cell, else their outer faces.

    Returns:
        [N, C, Do, Ho, Wo] in the type of `input`; half and bfloat16 are sampled in float32. A coordinate that is not a
        number reads zeros, or the first cell with the padding "border".

    Raises:
        BadInput: shapes that do not belong together, an unknown interpolation or padding.
    """
    fits = input.dim() == grid.dim() == 5 and grid.shape[0] == input.shape[0] and grid.shape[-1] == 3
    if not fits or interpolation not in INTERPOLATION or padding not in PADDING:
        shown = f"input {common.shape_text(input)}, grid {common.shape_text(grid)}"
        expected = f"input [N,C,D,H,W], grid [N,Do,Ho,Wo,3], one of {[*INTERPOLATION]}, one of {[*PADDING]}"
        raise BadInput("grid_sample_3d", f"{shown}, {interpolation!r}, {padding!r}", expected,
                       "give coordinates in the last axis of the grid")  # fmt: skip
    if torch.onnx.is_in_onnx_export():
        modes = INTERPOLATION[interpolation], PADDING[padding], int(align_corners)
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OP_TYPE}",
            (input, grid.permute(0, 4, 1, 2, 3) * SCALE),
            dict(zip(ATTRIBUTES, modes, strict=True)),
            dtype=input.dtype,
            shape=(*input.shape[:2], *grid.shape[1:4]),
            version=1,
        )
    return torch.ops.onramp.grid_sample_3d(input, grid, interpolation, padding, align_corners)


def reference(
    input: torch.Tensor,
    grid: torch.Tensor,
    interpolation: str = "trilinear",
    padding: str = "zeros",
    align_corners: bool = True,
) -> torch.Tensor:
    """`grid_sample_3d` by PyTorch's own operator, differentiable."""
    volume, points = common.full_precision(input), common.full_precision(grid)
    kind = torch.promote_types(volume.dtype, points.dtype)
    if padding == "border":
        points = points.nan_to_num(nan=-1.0)  # which cell a NaN reads is not the same on all of PyTorch's devices
    mode = {"trilinear": "bilinear"}.get(interpolation, interpolation)
    sampled = F.grid_sample(volume.to(kind), points.to(kind), mode, padding, align_corners)
    return sampled.to(input.dtype)


def _fake(input, grid, interpolation, padding, align_corners):
    return input.new_empty((*input.shape[:2], *grid.shape[1:4]))


common.register(
    "grid_sample_3d(Tensor input, Tensor grid, str interpolation, str padding, bool align_corners) -> Tensor",
    reference,
    lambda *arguments: False,
    lambda library, *arguments: reference(*arguments),
    _fake,
)
