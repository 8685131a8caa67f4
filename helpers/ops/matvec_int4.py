"""Product of a matrix of four-bit weights with a few vectors: definition, PyTorch operator, ONNX node, kernel's call.

As `helpers.ops.matvec`, with a quarter of the bytes: eight weights in a word, and a scale for a group of them.
"""

import ctypes

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.matvec_int4 import IN_WORD, OP_TYPE, ZERO
from helpers.ops import common
from helpers.ops.matvec import FORMS, closed


def matvec_int4(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, gated: bool = False) -> torch.Tensor:
    """x times the rows of a matrix whose weights are `unpack(weight)` times the scale of their group.

    Args:
        x: [..., inputs] floating point, a few vectors.
        weight: [rows, inputs / 8] int32, of `pack`.
        scale: [rows, groups] in the type of `x`; a group is inputs / groups neighboring weights.
        gated: silu(first half of the rows) * second half, as in `helpers.ops.matvec`.

    Returns:
        [..., rows], or [..., rows / 2] of gated ones, in the type of `x`. The definition sums in float32 at least; the
        kernel in half precision sums four products at a time in half.

    Raises:
        BadInput: another type, sizes that do not belong together, an odd number of rows to be gated.
    """
    common.check_tensors("matvec_int4", x=x, scale=scale)
    common.check_whole("matvec_int4", weight=weight)
    whole = weight.dtype == torch.int32 and weight.dim() == scale.dim() == 2 and common.one_width(x, scale)
    fits = whole and x.dim() >= 1 and x.shape[-1] == IN_WORD * weight.shape[1] and len(scale) == len(weight)
    if not fits or not scale.shape[1] or x.shape[-1] % scale.shape[1] or (gated and weight.shape[0] % 2):
        shown = [common.shape_text(tensor) for tensor in (x, weight, scale)]
        found = "x {}, weight {}, scale {}, ".format(*shown) + f"{weight.dtype}, {scale.dtype}, gated {gated}"
        raise BadInput("matvec_int4", found, "x [...,inputs], weight [rows,inputs/8] int32, scale [rows,groups]",
                       "pack the codes with helpers.ops.matvec_int4.pack")  # fmt: skip
    if torch.onnx.is_in_onnx_export():
        shape = (*x.shape[:-1], weight.shape[0] // (1 + gated))
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OP_TYPE}", (x, weight, scale), {"gated": int(gated)}, dtype=x.dtype, shape=shape, version=1
        )
    return torch.ops.onramp.matvec_int4(x, weight, scale, gated)


def pack(codes: torch.Tensor) -> torch.Tensor:
    """Whole numbers [rows, inputs] from -8 to 7 -> words [rows, inputs / 8] int32, weights 0, 2, 4, 6 in the low half.

    Raises:
        BadInput: another number of inputs than a multiple of 8, or codes of more than four bits.
    """
    if codes.dim() != 2 or codes.shape[1] % IN_WORD or (codes.numel() and not -8 <= codes.min() <= codes.max() <= 7):
        raise BadInput("pack", f"codes {common.shape_text(codes)}", "[rows, a multiple of 8] from -8 to 7",
                       "quantize to four bits")  # fmt: skip
    nibbles = (codes.long() + ZERO).unflatten(1, (-1, IN_WORD))
    return (nibbles << _shifts(codes.device)).sum(-1).to(torch.int32)  # the conversion keeps the low 32 bits


def unpack(weight: torch.Tensor) -> torch.Tensor:
    """Words [rows, inputs / 8] int32 -> codes [rows, inputs] int32 from -8 to 7."""
    return ((weight[..., None] >> _shifts(weight.device) & 15) - ZERO).flatten(1)


def _shifts(device):
    """Bits below each weight of a word; made on the device, for a CUDA graph may be captured there."""
    place = torch.arange(IN_WORD, dtype=torch.int32, device=device)
    return (place % 2 * 4 + place // 2) * 4


def reference(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, gated: bool = False) -> torch.Tensor:
    """`matvec_int4` in plain PyTorch, differentiable with respect to `x` and `scale`."""
    wide, factors = common.full_precision(x), common.full_precision(scale)
    weights = (unpack(weight).unflatten(1, (scale.shape[1], -1)) * factors[..., None]).flatten(1)
    return closed(F.linear(wide, weights), gated).to(x.dtype)


# ------------------------------------------------------------------------------------------------- compiled kernel


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampMatVecInt4 of plugins/kernels/matvec_int4.h
    _fields_ = [
        (name, ctypes.c_int) for name in ("vectors", "inputs", "outputs", "groups", "gated", "per_warp", "words")
    ]


def launch(
    library: ctypes.CDLL,
    operands: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    output: torch.Tensor,
    gated: bool = False,
    per_warp: int = 0,
    words: int = 0,
) -> None:
    """Queue the compiled kernel on the current stream: x, weight and scale of `matvec_int4`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        output: [..., rows], or of gated ones [..., rows / 2], which is written, in the type of x and scale.
        per_warp: outputs of a warp, 1, 2 or 4; -4 for four warps for each; 0 for what was fastest.
        words: 1, 2 or 4 of a row that a thread takes at once, at most those of a group; 0 for what was fastest.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types, sizes that do not agree.
    """
    x, weight, scale = operands
    rows = weight.shape[0] // (1 + bool(gated))
    alike = {x.dtype, scale.dtype, output.dtype} in [{kind} for kind in FORMS] and weight.dtype == torch.int32
    if not alike or output.shape != (*x.shape[:-1], rows):
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (*operands, output))
        raise BadInput("matvec_int4.launch", found, "one type beside int32, and an output of the weight's rows",
                       "see helpers.ops.matvec_int4")  # fmt: skip
    vectors = x.numel() // max(x.shape[-1], 1)
    sizes = Sizes(vectors, x.shape[-1], rows, scale.shape[1], gated, per_warp, words)
    common.launch(library, f"onramp_matvec_int4_{FORMS[x.dtype]}", sizes, (*operands, output))


def _takes(x, weight, scale, gated):
    group = x.shape[-1] // scale.shape[1]
    fits = scale.shape[1] == 1 or (group >= IN_WORD and not group & (group - 1))
    return x.dtype in FORMS and x.dtype == scale.dtype and fits


def _kernel(library, x, weight, scale, gated):
    output = _fake(x, weight, scale, gated)
    launch(library, (common.packed(x), common.packed(weight), common.packed(scale)), output, gated)
    return output


# ---------------------------------------------------------------------------------------------------- registration


def _fake(x, weight, scale, gated):
    return x.new_empty((*x.shape[:-1], weight.shape[0] // (1 + gated)))


common.register(
    "matvec_int4(Tensor x, Tensor weight, Tensor scale, bool gated) -> Tensor", reference, _takes, _kernel, _fake
)
