"""Sampling of a volume: definition, PyTorch operator, ONNX node and the call of its compiled kernel.

In PyTorch it runs as `torch.ops.onramp.grid_sample_3d`; the ONNX exporter leaves one node in the domain `trt.plugins`,
with the grid channel-first and ten times as large, as the published plugin takes it.
"""

import ctypes

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.grid_sample_3d import ATTRIBUTES, BORDER, NEAREST, OP_TYPE, SCALE, TRILINEAR, ZEROS
from helpers.ops import common
from helpers.ops import library as chosen

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
    common.check_tensors("grid_sample_3d", input=input, grid=grid)
    fits = input.dim() == grid.dim() == 5 and grid.shape[0] == input.shape[0] and grid.shape[-1] == 3
    fits = fits and min(input.shape[2:]) > 0
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


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {  # types of input and grid -> suffix of the compiled function
    (torch.float32, torch.float32): "fp32",
    (torch.float16, torch.float16): "fp16",
    (torch.float16, torch.float32): "fp16",
}


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampVolumeSampling of plugins/kernels/grid_sample_3d.h
    _fields_ = [
        (name, ctypes.c_int)
        for name in ("batch", "channels", "depth", "height", "width", "out_depth", "out_height", "out_width", "nearest",
                     "border", "align_corners", "points_last", "half_grid")
    ]  # fmt: skip


def launch(
    library: ctypes.CDLL,
    input: torch.Tensor,
    grid: torch.Tensor,
    output: torch.Tensor,
    modes: tuple[str, str, bool] = ("trilinear", "zeros", True),
    packed: bool = False,
) -> None:
    """Queue the compiled kernel on the current stream: the operands of `grid_sample_3d`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        grid: PyTorch's [N, Do, Ho, Wo, 3], or the published plugin's [N, 3, Do, Ho, Wo], which is ten times as large;
            the output tells which.
        output: [N, C, Do, Ho, Wo], written.
        modes: interpolation, padding, align_corners.
        packed: in half precision, blend two channels at once in half.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types that no kernel takes, sizes that do not agree.
    """
    form, places = FORMS.get((input.dtype, grid.dtype)), tuple(output.shape[2:])
    points_last = tuple(grid.shape) == (len(input), *places, 3)
    fits = points_last or tuple(grid.shape) == (len(input), 3, *places)
    if form is None or output.dtype != input.dtype or output.shape[:2] != input.shape[:2] or not fits:
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (input, grid, output))
        raise BadInput("grid_sample_3d.launch", found,
                       "input and output of one type, a grid in it or in float32, sizes that agree",
                       "see helpers.ops.grid_sample_3d")  # fmt: skip
    interpolation, padding, align_corners = modes
    sizes = Sizes(*input.shape, *places, INTERPOLATION[interpolation], PADDING[padding], align_corners, points_last,
                  grid.dtype == torch.float16)  # fmt: skip
    suffix = "x2" if packed and form == "fp16" else ""
    common.launch(library, f"onramp_grid_sample_3d_{form}{suffix}", sizes, (input, grid, output))


def _takes(input, grid, *modes):
    return (input.dtype, grid.dtype) in FORMS


def _kernel(library, input, grid, *modes):
    output = _fake(input, grid)
    launch(library, common.packed(input), common.packed(grid), output, modes, chosen.packed())
    return output


# ---------------------------------------------------------------------------------------------------- registration


def _fake(input, grid, *modes):
    return input.new_empty((*input.shape[:2], *grid.shape[1:4]))


common.register(
    "grid_sample_3d(Tensor input, Tensor grid, str interpolation, str padding, bool align_corners) -> Tensor",
    reference,
    _takes,
    _kernel,
    _fake,
)
