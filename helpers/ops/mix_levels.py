"""A pyramid of volumes as one: definition, PyTorch operator, ONNX node and the call of its compiled kernel.

In PyTorch it runs as `torch.ops.onramp.mix_levels`; the ONNX exporter leaves one node in the domain `trt.plugins`.
Three volumes that are resized, four products and three sums read and write the fine volume many times; the operator
reads and writes it once.
"""

import ctypes
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.mix_levels import INPUTS, LEVELS, OP_TYPE
from helpers.ops import common

GROUP = 8  # channels that lie together where volumes are packed


def mix_levels(
    fine: torch.Tensor, shares: torch.Tensor, level_1: torch.Tensor, level_2: torch.Tensor, level_3: torch.Tensor
) -> torch.Tensor:
    """The sum of a fine volume and three others brought to its size, each times the share that each voxel gives it.

    Args:
        fine: [B, C, D, H, W] floating point.
        shares: [B, 4, D, H, W], of the fine volume and of the levels.
        level_1, level_2, level_3: [B, C, D', H', W'], sizes of their own; brought to D, H, W by trilinear interpolation
            that does not align the corners.

    Returns:
        [B, C, D, H, W] in the type of `fine`; half and bfloat16 are summed in float32.

    Raises:
        BadInput: shapes that do not belong together.
    """
    given = (fine, shares, level_1, level_2, level_3)
    common.check_tensors("mix_levels", **dict(zip(INPUTS, given, strict=True)))
    if not fits(*given):
        found = ", ".join(f"{name} {common.shape_text(tensor)}" for name, tensor in zip(INPUTS, given, strict=True))
        expected = "fine [B,C,D,H,W], shares [B,4,D,H,W], levels [B,C,D',H',W']"
        raise BadInput("mix_levels", found, expected, "give a share of the fine volume and of each level")
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(f"{DOMAIN}::{OP_TYPE}", given, dtype=fine.dtype, shape=fine.shape, version=1)
    return torch.ops.onramp.mix_levels(*given)


def fits(fine: torch.Tensor, shares: torch.Tensor, *levels: torch.Tensor) -> bool:
    """Whether the operands' shapes belong together."""
    if any(tensor.dim() != 5 for tensor in (fine, shares, *levels)):
        return False
    alike = all(volume.shape[:2] == fine.shape[:2] and min(volume.shape[1:]) > 0 for volume in (fine, *levels))
    return alike and tuple(shares.shape) == (len(fine), len(LEVELS) + 1, *fine.shape[2:])


def reference(fine: torch.Tensor, shares: torch.Tensor, *levels: torch.Tensor) -> torch.Tensor:
    """`mix_levels` in plain PyTorch, differentiable."""
    size, (first, *others) = fine.shape[2:], common.full_precision(shares).split(1, 1)
    total = common.full_precision(fine) * first
    for level, share in zip(levels, others, strict=True):
        total = total + F.interpolate(common.full_precision(level), size, mode="trilinear") * share
    return total.to(fine.dtype)


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {torch.float32: "fp32", torch.float16: "fp16"}  # type of all operands -> suffix of the compiled function


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampLevels of plugins/kernels/mix_levels.h
    _fields_ = [
        (name, ctypes.c_int)
        for name in ("batch", "channels", "depth", "height", "width", "depth_1", "height_1", "width_1", "depth_2",
                     "height_2", "width_2", "depth_3", "height_3", "width_3", "packed_shares")
    ]  # fmt: skip


def launch(library: ctypes.CDLL, operands: Sequence[torch.Tensor], output: torch.Tensor) -> None:
    """Queue the compiled kernel on the current stream: the operands of `mix_levels`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        operands: fine, shares and the levels.
        output: of the shape of the fine volume, which is written; all in float32 or all in half.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types, sizes that do not agree.
    """
    kinds = {tensor.dtype for tensor in (*operands, output)}
    form = FORMS.get(output.dtype) if len(kinds) == 1 else None
    if form is None or not fits(*operands) or output.shape != operands[0].shape:
        raise _unfit(operands, output, "float32 or half alone, sizes that agree")
    sizes = Sizes(*operands[0].shape, *(extent for level in operands[2:] for extent in level.shape[2:]), 0)
    common.launch(library, f"onramp_mix_levels_{form}", sizes, (*operands, output))


def launch_packed(library: ctypes.CDLL, operands: Sequence[torch.Tensor], output: torch.Tensor, channels: int) -> None:
    """`launch` of volumes that lie as TensorRT's `kDHWC8` has them: `packed_channels` of each, in half.

    Args:
        operands: the levels and the fine volume [B, D, H, W, C'], C' the next multiple of 8; the shares so too, or
            [B, 4, D, H, W].
        output: as the fine volume, which is written, with zeros in the channels that only fill up.
        channels: C.
    """
    fine, shares, *levels = operands
    padded = -(-channels // GROUP) * GROUP
    packed_shares = tuple(shares.shape) == (*fine.shape[:4], GROUP)
    volumes = all(volume.dim() == 5 and volume.shape[4] == padded and len(volume) == len(fine) for volume in levels)
    apart = tuple(shares.shape) == (len(fine), len(LEVELS) + 1, *fine.shape[1:4])
    kinds = {tensor.dtype for tensor in (*operands, output)}
    if kinds != {torch.float16} or not volumes or not (packed_shares or apart) or output.shape != fine.shape:
        raise _unfit(operands, output, f"half alone, volumes [B,D,H,W,{padded}], sizes that agree")
    extents = (extent for volume in (fine, *levels) for extent in volume.shape[1:4])
    sizes = Sizes(len(fine), channels, *extents, packed_shares)
    common.launch(library, "onramp_mix_levels_fp16_dhwc8", sizes, (*operands, output))


def packed_channels(volume: torch.Tensor) -> torch.Tensor:
    """[B, C, D, H, W] as [B, D, H, W, C'], C' the next multiple of 8, filled up with zeros."""
    return F.pad(volume.permute(0, 2, 3, 4, 1), (0, -volume.shape[1] % GROUP)).contiguous()


def _unfit(operands, output, expected):
    found = ", ".join(f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in (*operands, output))
    return BadInput("mix_levels.launch", found, expected, "see helpers.ops.mix_levels")


def _takes(*operands):
    return operands[0].dtype in FORMS and len({operand.dtype for operand in operands}) == 1


def _kernel(library, *operands):
    output = _fake(*operands)
    launch(library, list(map(common.packed, operands)), output)
    return output


# ---------------------------------------------------------------------------------------------------- registration


def _fake(fine, *others):
    return fine.new_empty(fine.shape)


common.register(
    "mix_levels(Tensor fine, Tensor shares, Tensor level_1, Tensor level_2, Tensor level_3) -> Tensor",
    reference, _takes, _kernel, _fake,
)  # fmt: skip
