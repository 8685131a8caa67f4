"""Inverse of 3 x 3 matrices, such as rotations: definition, PyTorch operator, ONNX node, call of the compiled kernel.

In PyTorch it runs as `torch.ops.onramp.inverse`; the ONNX exporter leaves one node in the domain `trt.plugins`, under
the published name `InverseTRT`. It computes in float32 whatever surrounds it: positions on a map are some kilometers.
"""

import ctypes

import torch

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.inverse import MINORS, OP_TYPE, SIZE
from helpers.ops import common


def inverse(matrix: torch.Tensor) -> torch.Tensor:
    """The inverse of every matrix: its adjugate divided by its determinant.

    Args:
        matrix: [..., 3, 3] floating point.

    Returns:
        [..., 3, 3] in the type of `matrix`, in float32 for half precision. Of a singular matrix infinite or NaN.

    Raises:
        BadInput: matrices of another size.
    """
    common.check_tensors("inverse", matrix=matrix)
    if matrix.dim() < 2 or matrix.shape[-2:] != (SIZE, SIZE):
        raise BadInput(
            "inverse", f"matrix {common.shape_text(matrix)}", "matrix [...,3,3]", "invert larger ones before"
        )
    if torch.onnx.is_in_onnx_export():
        given = common.full_precision(matrix)
        name = f"{DOMAIN}::{OP_TYPE.removesuffix('2')}"
        return torch.onnx.ops.symbolic(name, (given,), dtype=given.dtype, shape=given.shape, version=1)
    return torch.ops.onramp.inverse(matrix)


def reference(matrix: torch.Tensor) -> torch.Tensor:
    """`inverse` in plain PyTorch, differentiable."""
    m = common.full_precision(matrix).flatten(-2).unbind(-1)
    adjugate = [m[p] * m[q] - m[r] * m[s] for p, q, r, s in MINORS]
    determinant = m[0] * adjugate[0] + m[1] * adjugate[3] + m[2] * adjugate[6]
    return (torch.stack(adjugate, -1) / determinant[..., None]).unflatten(-1, (SIZE, SIZE))


# ------------------------------------------------------------------------------------------------- compiled kernel


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampInverse of plugins/kernels/inverse.h
    _fields_ = [("matrices", ctypes.c_int)]


def launch(library: ctypes.CDLL, matrix: torch.Tensor, output: torch.Tensor) -> None:
    """Queue the compiled kernel on the current stream: the operand of `inverse`, contiguous.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        output: of the shape of `matrix`, which is written; both in float32.

    Raises:
        BadInput: a tensor that is not contiguous, another type, an output of another shape.
    """
    if {matrix.dtype, output.dtype} != {torch.float32} or output.shape != matrix.shape:
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (matrix, output))
        raise BadInput("inverse.launch", found, "float32, of one shape", "see helpers.ops.inverse")
    sizes = Sizes(matrix.numel() // SIZE**2)
    common.launch(library, "onramp_inverse_fp32", sizes, (matrix, output))


def _takes(matrix):
    return matrix.dtype == torch.float32


def _kernel(library, matrix):
    output = _fake(matrix)
    launch(library, common.packed(matrix), output)
    return output


# ---------------------------------------------------------------------------------------------------- registration


def _fake(matrix):
    return matrix.new_empty(matrix.shape)


common.register("inverse(Tensor matrix) -> Tensor", reference, _takes, _kernel, _fake)
