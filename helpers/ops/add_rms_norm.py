"""Sum of two tensors and its root-mean-square norm: definition, PyTorch operator, ONNX node, call of the kernel.

Between two parts of a language model's layer what a part gives is added to what entered it, and normalized for the next
part. In PyTorch it runs as `torch.ops.onramp.add_rms_norm`; the ONNX exporter leaves one node in the domain
`trt.plugins`.
"""

import ctypes

import torch

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.add_rms_norm import OP_TYPE
from helpers.ops import common

Pair = tuple[torch.Tensor, torch.Tensor]


def add_rms_norm(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, epsilon: float) -> Pair:
    """(normalized sum, sum): total = x + residual, and total / sqrt(mean(total^2) + epsilon) * weight.

    Args:
        x, residual: [..., width] floating point, of one type.
        weight: [width] of this type.
        epsilon: added to the mean of the squares.

    Returns:
        Two tensors like `x`. The sum is rounded to its type before it is normalized, in float32 at least.

    Raises:
        BadInput: shapes that do not belong together, an epsilon below zero.
    """
    common.check_tensors("add_rms_norm", x=x, residual=residual, weight=weight)
    if x.dim() < 1 or x.shape != residual.shape or weight.shape != x.shape[-1:] or epsilon < 0:
        shown = [common.shape_text(tensor) for tensor in (x, residual, weight)]
        found = "x {}, residual {}, weight {}, ".format(*shown) + f"epsilon {epsilon}"
        raise BadInput("add_rms_norm", found, "x and residual of one shape, weight [width], epsilon at least 0",
                       "pass what entered the layer as residual")  # fmt: skip
    if torch.onnx.is_in_onnx_export():
        kinds, shapes = (x.dtype, x.dtype), (x.shape, x.shape)
        return torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::{OP_TYPE}", (x, residual, weight), {"epsilon": float(epsilon)}, dtypes=kinds, shapes=shapes,
            version=1,
        )  # fmt: skip
    return torch.ops.onramp.add_rms_norm(x, residual, weight, epsilon)


def reference(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, epsilon: float) -> Pair:
    """`add_rms_norm` in plain PyTorch, differentiable."""
    total = x + residual
    wide = common.full_precision(total)
    normal = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (normal * common.full_precision(weight)).to(x.dtype), total


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {torch.float32: "fp32", torch.float16: "fp16"}  # type of the tensors -> suffix of the compiled function
UNIT = 8  # numbers that a kernel reads at once


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampAddRmsNorm of plugins/kernels/add_rms_norm.h
    _fields_ = [("rows", ctypes.c_int), ("width", ctypes.c_int), ("epsilon", ctypes.c_float)]


def launch(
    library: ctypes.CDLL, x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, outputs: Pair, epsilon: float
) -> None:
    """Queue the compiled kernel on the current stream: the operands of `add_rms_norm`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        outputs: the normalized sum and the sum, which are written; all of one type.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types, sizes that do not agree.
    """
    tensors = (x, residual, weight, *outputs)
    one_type = {tensor.dtype for tensor in tensors} in [{kind} for kind in FORMS]
    if not one_type or {tensor.shape for tensor in (x, residual, *outputs)} != {x.shape}:
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors)
        raise BadInput("add_rms_norm.launch", found, "one type, and outputs of the shape of x",
                       "see helpers.ops.add_rms_norm")  # fmt: skip
    sizes = Sizes(x.numel() // max(x.shape[-1], 1), x.shape[-1], epsilon)
    common.launch(library, f"onramp_add_rms_norm_{FORMS[x.dtype]}", sizes, tensors)


def _takes(x, residual, weight, epsilon):
    return x.dtype in FORMS and x.dtype == residual.dtype == weight.dtype and x.shape[-1] and x.shape[-1] % UNIT == 0


def _kernel(library, x, residual, weight, epsilon):
    outputs = _fake(x, residual, weight, epsilon)
    launch(library, common.packed(x), common.packed(residual), common.packed(weight), outputs, epsilon)
    return outputs


# ---------------------------------------------------------------------------------------------------- registration


def _fake(x, residual, weight, epsilon):
    return x.new_empty(x.shape), x.new_empty(x.shape)


common.register(
    "add_rms_norm(Tensor x, Tensor residual, Tensor weight, float epsilon) -> (Tensor, Tensor)",
    reference, _takes, _kernel, _fake,
)  # fmt: skip
