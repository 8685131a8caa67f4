"""The custom operators, once each: PyTorch reference, `torch.library` operator and ONNX form.

`ms_deform_attn` and `rotate` run as `torch.ops.onramp.*` in PyTorch and leave the ONNX exporter as one node each in the
domain `trt.plugins`. `attach_functions` gives such a model the definition of its nodes in standard operators
(`helpers.graph.functions`), so that a runtime without the plugin can run it.
"""

import math

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN, attach_functions

__all__ = [
    "attach_functions",
    "ms_deform_attn",
    "ms_deform_attn_reference",
    "rotate",
    "rotate_reference",
]

INTERPOLATION = {"bilinear": 0, "nearest": 1}

_LIBRARY = torch.library.Library("onramp", "DEF")
_LIBRARY.define(
    "ms_deform_attn(Tensor value, int[] value_spatial_shapes, Tensor reference_points, Tensor sampling_offsets, "
    "Tensor attention_weights) -> Tensor"
)
_LIBRARY.define("rotate(Tensor image, Tensor angle, Tensor center, str interpolation) -> Tensor")


def ms_deform_attn(value, value_spatial_shapes, reference_points, sampling_offsets, attention_weights):
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
    shapes = _pairs(value_spatial_shapes)
    _check_attention(value, shapes, reference_points, sampling_offsets, attention_weights)
    tensors = (reference_points, sampling_offsets, attention_weights)
    if torch.onnx.is_in_onnx_export():
        n, _, m, d = value.shape
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::MultiScaleDeformableAttnTRT2",
            (value, torch.tensor(shapes, dtype=torch.int64), *tensors),
            dtype=value.dtype,
            shape=(n, reference_points.shape[1], m, d),
            version=1,
        )
    return torch.ops.onramp.ms_deform_attn(value, [size for pair in shapes for size in pair], *tensors)


def ms_deform_attn_reference(value, value_spatial_shapes, reference_points, sampling_offsets, attention_weights):
    """`ms_deform_attn` in plain PyTorch, differentiable; the definition that every other form is held against."""
    shapes = _pairs(value_spatial_shapes)
    n, _, m, d = value.shape
    q, groups = reference_points.shape[1], reference_points.shape[-1] // 2
    points = attention_weights.shape[-1] // len(shapes)
    origin = (2 * full_precision(reference_points) - 1).view(n, 1, q, 1, groups, 2)
    offsets = full_precision(sampling_offsets).transpose(1, 2).view(n, m, q, len(shapes), points // groups, groups, 2)
    weights = full_precision(attention_weights).softmax(-1).transpose(1, 2).reshape(n * m, 1, q, -1)
    maps = full_precision(value).permute(0, 2, 3, 1).reshape(n * m, d, -1)
    samples = []
    for level, cells in enumerate(maps.split([h * w for h, w in shapes], -1)):
        h, w = shapes[level]
        scale = torch.cat([offsets.new_full((1,), 2 / w), offsets.new_full((1,), 2 / h)])
        grid = (origin + offsets[:, :, :, level] * scale).reshape(n * m, q, points, 2)
        samples.append(F.grid_sample(cells.view(n * m, d, h, w), grid, align_corners=False))
    output = (torch.cat(samples, -1) * weights).sum(-1)
    return output.view(n, m, d, q).permute(0, 3, 1, 2).to(value.dtype)


def rotate(image, angle, center, interpolation="nearest"):
    """Rotate an image about a point, with zeros from outside (the definition of torchvision's `rotate`).

    Args:
        image: [C, H, W] floating point.
        angle: [1] or scalar tensor, degrees, counter-clockwise as seen on a screen with y down.
        center: [2] tensor (x, y) in pixels from the upper left corner; it may lie outside the image.
        interpolation: "nearest" or "bilinear".

    Returns:
        [C, H, W] in the type of `image`; coordinates are computed in float32 at least.

    Raises:
        BadInput: another rank, another size of `angle` or `center`, an unknown interpolation.
    """
    if image.dim() != 3 or angle.numel() != 1 or center.numel() != 2 or interpolation not in INTERPOLATION:
        found = f"image {_size(image)}, angle {_size(angle)}, center {_size(center)}, interpolation {interpolation!r}"
        expected = f"image [C,H,W], angle [1], center [2], interpolation one of {sorted(INTERPOLATION)}"
        raise BadInput("rotate", found, expected, "pass one map at a time with one angle")
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::RotateTRT2",
            (image, angle, center),
            {"interpolation": INTERPOLATION[interpolation]},
            dtype=image.dtype,
            shape=image.shape,
            version=1,
        )
    return torch.ops.onramp.rotate(image, angle, center, interpolation)


def rotate_reference(image, angle, center, interpolation="nearest"):
    """`rotate` in plain PyTorch, differentiable with respect to the image."""
    pixels = full_precision(image)
    _, h, w = image.shape
    theta = angle.to(pixels.dtype).reshape(()) * (-math.pi / 180)
    cos, sin = theta.cos(), theta.sin()
    cx, cy = center[0].to(pixels.dtype) - w / 2, center[1].to(pixels.dtype) - h / 2
    x = torch.arange(w, dtype=pixels.dtype, device=image.device) + (0.5 - w / 2)
    y = (torch.arange(h, dtype=pixels.dtype, device=image.device) + (0.5 - h / 2)).unsqueeze(-1)
    source_x = cos * x + sin * y + (cx - cx * cos - cy * sin)
    source_y = cos * y - sin * x + (cy + cx * sin - cy * cos)
    grid = torch.stack([source_x / (w / 2), source_y / (h / 2)], -1)
    return F.grid_sample(pixels[None], grid[None], mode=interpolation, align_corners=False)[0].to(image.dtype)


def full_precision(tensor):
    """The tensor in float32 if its type is half or bfloat16, else as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _ms_deform_attn_composite(value, sizes, reference_points, sampling_offsets, attention_weights):
    shapes = list(zip(sizes[::2], sizes[1::2], strict=True))
    return ms_deform_attn_reference(value, shapes, reference_points, sampling_offsets, attention_weights)


_LIBRARY.impl("ms_deform_attn", _ms_deform_attn_composite, "CompositeImplicitAutograd")
_LIBRARY.impl("rotate", rotate_reference, "CompositeImplicitAutograd")


def _pairs(value_spatial_shapes):
    if isinstance(value_spatial_shapes, torch.Tensor):
        value_spatial_shapes = value_spatial_shapes.tolist()
    return [(int(h), int(w)) for h, w in value_spatial_shapes]


def _size(tensor):
    return "[" + ",".join(map(str, tensor.shape)) + "]"


def _check_attention(value, shapes, reference_points, sampling_offsets, attention_weights):
    tensors = (value, reference_points, sampling_offsets, attention_weights)
    if all(tensor.dim() == 4 for tensor in tensors):
        n, s, m, _ = value.shape
        q, levels, entries = reference_points.shape[1], len(shapes), attention_weights.shape[-1]
        groups = max(reference_points.shape[-1] // 2, 1)
        fits = (
            s == sum(h * w for h, w in shapes)
            and tuple(reference_points.shape) == (n, q, 1, 2 * groups)
            and tuple(sampling_offsets.shape) == (n, q, m, 2 * entries)
            and tuple(attention_weights.shape) == (n, q, m, entries)
            and entries % (levels * groups) == 0
        )
        if fits:
            return
    found = "value {}, reference_points {}, sampling_offsets {}, attention_weights {}".format(*map(_size, tensors))
    raise BadInput(
        "ms_deform_attn",
        f"{found}, value_spatial_shapes {shapes}",
        "[N,S,M,D], [N,Q,1,2G], [N,Q,M,L*P*2], [N,Q,M,L*P] with S = sum of H*W over L levels and P a multiple of G",
        "reshape the operands to the layout of the docstring",
    )
