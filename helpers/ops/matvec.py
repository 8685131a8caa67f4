"""Product of a matrix with a few vectors: definition, PyTorch operator, ONNX node, call of the compiled kernel.

What a language model spends a step on: every weight is read for one token. In PyTorch it runs as
`torch.ops.onramp.matvec`; the ONNX exporter leaves one node in the domain `trt.plugins`.
"""

import ctypes

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.matvec import OP_TYPE
from helpers.ops import common


def matvec(x: torch.Tensor, weight: torch.Tensor, gated: bool = False) -> torch.Tensor:
    """x times the rows of a matrix, as a linear layer without a bias.

    Args:
        x: [..., inputs] floating point, a few vectors.
        weight: [rows, inputs] of the same type.
        gated: take the first half of the rows as gates: silu(first half) * second half, as a SwiGLU does.

    Returns:
        [..., rows], or [..., rows / 2] of gated ones, in the type of `x`; sums in float32 at least.

    Raises:
        BadInput: sizes that do not belong together, an odd number of rows to be gated.
    """
    common.check_tensors("matvec", x=x, weight=weight)
    fits = weight.dim() == 2 and x.dim() >= 1 and x.shape[-1] == weight.shape[1] and common.one_width(x, weight)
    if not fits or (gated and weight.shape[0] % 2):
        found = f"x {common.shape_text(x)} {x.dtype}, weight {common.shape_text(weight)} {weight.dtype}, gated {gated}"
        raise BadInput("matvec", found, "x [...,inputs], weight [rows,inputs], an even number of rows to be gated",
                       "pass the weight of a linear layer")  # fmt: skip
    if torch.onnx.is_in_onnx_export():
        shape = (*x.shape[:-1], weight.shape[0] // (1 + gated))
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OP_TYPE}", (x, weight), {"gated": int(gated)}, dtype=x.dtype, shape=shape, version=1
        )
    return torch.ops.onramp.matvec(x, weight, gated)


def reference(x: torch.Tensor, weight: torch.Tensor, gated: bool = False) -> torch.Tensor:
    """`matvec` in plain PyTorch, differentiable."""
    return closed(F.linear(common.full_precision(x), common.full_precision(weight)), gated).to(x.dtype)


def closed(sums: torch.Tensor, gated: bool) -> torch.Tensor:
    """The products [..., rows] themselves, or what their gates leave of them."""
    if not gated:
        return sums
    gate, let_through = sums.chunk(2, -1)
    return F.silu(gate) * let_through


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {torch.float32: "fp32", torch.float16: "fp16"}  # type of the vectors -> suffix of the compiled function
UNIT = 8  # inputs that a kernel reads at once


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampMatVec of plugins/kernels/matvec.h
    _fields_ = [(name, ctypes.c_int) for name in ("vectors", "inputs", "outputs", "gated", "per_warp")]


def launch(
    library: ctypes.CDLL,
    x: torch.Tensor,
    weight: torch.Tensor,
    output: torch.Tensor,
    gated: bool = False,
    per_warp: int = 0,
) -> None:
    """Queue the compiled kernel on the current stream: the operands of `matvec`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        output: [..., rows], or of gated ones [..., rows / 2], which is written; all of one type.
        per_warp: outputs of a warp, 1, 2 or 4; -4 for four warps for each; 0 for what was fastest.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types, sizes that do not agree.
    """
    rows = weight.shape[0] // (1 + bool(gated))
    if {x.dtype, weight.dtype, output.dtype} not in [{kind} for kind in FORMS] or output.shape != (*x.shape[:-1], rows):
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (x, weight, output))
        raise BadInput("matvec.launch", found, "one type, and an output of the weight's rows",
                       "see helpers.ops.matvec")  # fmt: skip
    sizes = Sizes(x.numel() // max(x.shape[-1], 1), x.shape[-1], rows, gated, per_warp)
    common.launch(library, f"onramp_matvec_{FORMS[x.dtype]}", sizes, (x, weight, output))


def _takes(x, weight, gated):
    return x.dtype in FORMS and x.dtype == weight.dtype and x.shape[-1] % UNIT == 0


def _kernel(library, x, weight, gated):
    output = _fake(x, weight, gated)
    launch(library, common.packed(x), common.packed(weight), output, gated)
    return output


# ---------------------------------------------------------------------------------------------------- registration


def _fake(x, weight, gated):
    return x.new_empty((*x.shape[:-1], weight.shape[0] // (1 + gated)))


common.register("matvec(Tensor x, Tensor weight, bool gated) -> Tensor", reference, _takes, _kernel, _fake)
