"""Multi-scale deformable attention: definition, PyTorch operator, ONNX node and the call of its compiled kernel.

In PyTorch it runs as `torch.ops.onramp.ms_deform_attn`; the ONNX exporter leaves one node in the domain `trt.plugins`.
"""

import ctypes
import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.ms_deform_attn import OP_TYPE
from helpers.ops import common
from helpers.ops import library as chosen


def ms_deform_attn(
    value: torch.Tensor,
    value_spatial_shapes: Sequence[tuple[int, int]] | torch.Tensor,
    reference_points: torch.Tensor,
    sampling_offsets: torch.Tensor,
    attention_weights: torch.Tensor,
) -> torch.Tensor:
    """Multi-scale deformable attention (Deformable DETR, arXiv:2010.04159) with the softmax and the sampling inside.

    N batch, L levels of H_l x W_l cells, S = sum of H_l * W_l, M heads of D channels, Q queries, P points, G reference
    points per query. Point p of every level starts from reference point p mod G. Sampling is bilinear, zeros outside.

    Args:
        value: [N, S, M, D] floating point, levels one after the other, row-major.
        value_spatial_shapes: L pairs (H_l, W_l), as a sequence or an integer tensor [L, 2].
        reference_points: [N, Q, 1, 2G] as (x, y) pairs in 0..1 of the map.
        sampling_offsets: [N, Q, M, L*P*2] as (level, point, xy), in cells of the level.
        attention_weights: [N, Q, M, L*P] before the softmax, which runs over all L*P entries.

    Returns:
        [N, Q, M, D] in the type of `value`. Half and bfloat16 are sampled and summed in float32.

    Raises:
        BadInput: shapes that do not belong together.
    """
    common.check_tensors("ms_deform_attn", value=value, reference_points=reference_points,
                         sampling_offsets=sampling_offsets, attention_weights=attention_weights)  # fmt: skip
    shapes = _pairs(value_spatial_shapes)
    _check(value, shapes, reference_points, sampling_offsets, attention_weights)
    tensors = (reference_points, sampling_offsets, attention_weights)
    if torch.onnx.is_in_onnx_export():
        n, _, m, d = value.shape
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OP_TYPE}",
            (value, torch.tensor(shapes, dtype=torch.int64), *tensors),
            dtype=value.dtype,
            shape=(n, reference_points.shape[1], m, d),
            version=1,
        )
    return torch.ops.onramp.ms_deform_attn(value, [size for pair in shapes for size in pair], *tensors)


def reference(
    value: torch.Tensor,
    value_spatial_shapes: Sequence[tuple[int, int]] | torch.Tensor,
    reference_points: torch.Tensor,
    sampling_offsets: torch.Tensor,
    attention_weights: torch.Tensor,
) -> torch.Tensor:
    """`ms_deform_attn` in plain PyTorch, differentiable; the definition that every other form is held against."""
    shapes = _pairs(value_spatial_shapes)
    n, _, m, d = value.shape
    q, groups = reference_points.shape[1], reference_points.shape[-1] // 2
    points = attention_weights.shape[-1] // len(shapes)
    origin = (2 * common.full_precision(reference_points) - 1).view(n, 1, q, 1, groups, 2)
    offsets = common.full_precision(sampling_offsets).transpose(1, 2)
    offsets = offsets.view(n, m, q, len(shapes), points // groups, groups, 2)
    weights = common.full_precision(attention_weights).softmax(-1).transpose(1, 2).reshape(n * m, 1, q, -1)
    maps = common.full_precision(value).permute(0, 2, 3, 1).reshape(n * m, d, -1)
    samples = []
    for level, cells in enumerate(maps.split([h * w for h, w in shapes], -1)):
        h, w = shapes[level]
        scale = torch.cat([offsets.new_full((1,), 2 / w), offsets.new_full((1,), 2 / h)])
        grid = (origin + offsets[:, :, :, level] * scale).reshape(n * m, q, points, 2)
        samples.append(F.grid_sample(cells.view(n * m, d, h, w), grid, align_corners=False))
    output = (torch.cat(samples, -1) * weights).sum(-1)
    return output.view(n, m, d, q).permute(0, 3, 1, 2).to(value.dtype)


def _pairs(value_spatial_shapes):
    if isinstance(value_spatial_shapes, torch.Tensor):
        value_spatial_shapes = value_spatial_shapes.tolist()
    return [(int(h), int(w)) for h, w in value_spatial_shapes]


def _check(value, shapes, reference_points, sampling_offsets, attention_weights):
    tensors = (value, reference_points, sampling_offsets, attention_weights)
    if all(tensor.dim() == 4 for tensor in tensors):
        n, s, m, d = value.shape
        q, levels, entries = reference_points.shape[1], len(shapes), attention_weights.shape[-1]
        groups = max(reference_points.shape[-1] // 2, 1)
        fits = (
            s == sum(h * w for h, w in shapes)
            and min(s, m, d, entries) > 0
            and common.one_width(*tensors)
            and tuple(reference_points.shape) == (n, q, 1, 2 * groups)
            and tuple(sampling_offsets.shape) == (n, q, m, 2 * entries)
            and tuple(attention_weights.shape) == (n, q, m, entries)
            and entries % (levels * groups) == 0
        )
        if fits:
            return
    texts = map(common.shape_text, tensors)
    found = "value {}, reference_points {}, sampling_offsets {}, attention_weights {}".format(*texts)
    raise BadInput(
        "ms_deform_attn",
        f"{found}, value_spatial_shapes {shapes}, {', '.join(sorted({str(tensor.dtype) for tensor in tensors}))}",
        "[N,S,M,D], [N,Q,1,2G], [N,Q,M,L*P*2], [N,Q,M,L*P] with S = sum of H*W over L levels and P a multiple of G",
        "reshape the operands to the layout of the docstring",
    )


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {  # types of value, reference_points, sampling_offsets, attention_weights -> suffix of the compiled function
    (torch.float32,) * 4: "fp32",
    (torch.float16,) * 4: "fp16",
    (torch.float16, torch.float32, torch.float16, torch.float16): "fp16_ref32",
}


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampAttention of plugins/kernels/ms_deform_attn.h
    _fields_ = [
        (name, ctypes.c_int)
        for name in ("batch", "cells", "heads", "channels", "levels", "queries", "points", "groups", "wide_shapes")
    ]


def launch(
    library: ctypes.CDLL,
    value: torch.Tensor,
    shapes: torch.Tensor,
    references: torch.Tensor,
    offsets: torch.Tensor,
    weights: torch.Tensor,
    output: torch.Tensor,
    packed: bool = False,
) -> None:
    """Queue the compiled kernel on the current stream: the operands of `ms_deform_attn`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        shapes: int32 or int64 [L, 2] on the same device.
        output: [N, Q, M, D], written.
        packed: in half precision, blend the taps of a point in pairs of halves.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types that no kernel takes, sizes that do not agree.
    """
    (n, s, m, d), levels, q, entries = value.shape, shapes.shape[0], references.shape[1], weights.shape[-1]
    form = FORMS.get(tuple(tensor.dtype for tensor in (value, references, offsets, weights)))
    agree = tuple(weights.shape) == (n, q, m, entries) and tuple(offsets.shape) == (n, q, m, 2 * entries)
    fits = agree and entries % levels == 0 and tuple(output.shape) == (n, q, m, d)
    if form is None or output.dtype != value.dtype or not fits:
        shown = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (value, references, offsets, weights, output))
        raise BadInput("ms_deform_attn.launch", shown,
                       "value, references, offsets, weights, output of one type (references may be float32), sizes "
                       "that agree", "see helpers.ops.ms_deform_attn")  # fmt: skip
    wide = shapes.dtype == torch.int64
    sizes = Sizes(n, s, m, d, levels, q, entries // levels, references.shape[-1] // 2, wide)
    tensors = (value, shapes, references, offsets, weights, output)
    form = form.replace("fp16", "fp16x2") if packed else form
    common.launch(library, f"onramp_ms_deform_attn_{form}", sizes, tensors)


def _takes(value, extents, *rest):
    return tuple(tensor.dtype for tensor in (value, *rest)) in FORMS


def _kernel(library, value, extents, references, offsets, weights):
    output = _fake(value, extents, references, offsets, weights)
    value, references, offsets, weights = map(common.packed, (value, references, offsets, weights))
    shapes = _on_device(tuple(extents), value.device)
    launch(library, value, shapes, references, offsets, weights, output, chosen.packed())
    return output


@functools.cache
def _on_device(extents, device):
    """int32 [L, 2], copied once: a copy from the host would wait for the stream at every call."""
    return torch.tensor(extents, dtype=torch.int32, device=device).view(-1, 2)


# ---------------------------------------------------------------------------------------------------- registration


def _reference(value, extents, *rest):
    return reference(value, list(zip(extents[::2], extents[1::2], strict=True)), *rest)


def _fake(value, extents, reference_points, *rest):
    n, _, m, d = value.shape
    return value.new_empty((n, reference_points.shape[1], m, d))


common.register(
    "ms_deform_attn(Tensor value, int[] value_spatial_shapes, Tensor reference_points, Tensor sampling_offsets, "
    "Tensor attention_weights) -> Tensor",
    _reference,
    _takes,
    _kernel,
    _fake,
)
