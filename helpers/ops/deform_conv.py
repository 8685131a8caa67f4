"""Modulated deformable convolution (DCNv2, arXiv:1811.11168): definition and PyTorch operator.

In PyTorch it runs as `torch.ops.onramp.deform_conv`. It has no compiled kernel and no node of its own: the backbone
that needs it is frozen and no part of the published export, and a tracer sees the standard operators of the definition.
"""

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.ops import common


def deform_conv(
    input: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    weight: torch.Tensor,
    stride: int = 1,
    padding: int = 1,
) -> torch.Tensor:
    """A convolution whose every tap is moved and weighted anew at every place.

    Tap k of a place reads `input` bilinearly, zeros outside, at its usual position plus its offset.

    Args:
        input: [N, C, H, W] floating point.
        offset: [N, 2*K, H', W'] in pixels, (y, x) of each of the K = k*k taps, row after row.
        mask: [N, K, H', W'], the factor of each tap.
        weight: [O, C, k, k].
        stride, padding: in pixels, as in PyTorch's `conv2d`; padding is of zeros.

    Returns:
        [N, O, H', W'] in the type of `input`; half and bfloat16 are computed in float32.

    Raises:
        BadInput: shapes that do not belong together.
    """
    common.check_tensors("deform_conv", input=input, offset=offset, mask=mask, weight=weight)
    _check(input, offset, mask, weight, stride, padding)
    return torch.ops.onramp.deform_conv(input, offset, mask, weight, stride, padding)


def reference(
    input: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """`deform_conv` in plain PyTorch, differentiable."""
    image, moved, factor, kernel = (common.full_precision(tensor) for tensor in (input, offset, mask, weight))
    (count, channels, height, width), (rows, columns), size = image.shape, moved.shape[2:], kernel.shape[-1]
    options = {"dtype": moved.dtype, "device": moved.device}
    taps = torch.arange(size, **options)
    y = (torch.arange(rows, **options) * stride - padding)[:, None] + taps.repeat_interleave(size)[:, None, None]
    x = torch.arange(columns, **options) * stride - padding + taps.repeat(size)[:, None, None]
    moved = moved.unflatten(1, (-1, 2))
    y, x = moved[:, :, 0] + y, moved[:, :, 1] + x  # [N, K, H', W']
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    read = F.grid_sample(image, grid.flatten(1, 2), align_corners=False).view(count, channels, -1, rows, columns)
    read = (read * factor.unsqueeze(1)).flatten(1, 2).flatten(2)  # [N, C*K, H'*W']
    return (kernel.flatten(1) @ read).view(count, -1, rows, columns).to(input.dtype)


def _check(input, offset, mask, weight, stride, padding):
    tensors = (input, offset, mask, weight)
    if all(tensor.dim() == 4 for tensor in tensors) and stride >= 1 and common.one_width(*tensors):
        size, (count, channels, *extent) = weight.shape[-1], input.shape
        places = tuple((length + 2 * padding - size) // stride + 1 for length in extent)
        fits = (
            tuple(weight.shape[1:]) == (channels, size, size)
            and tuple(offset.shape) == (count, 2 * size**2, *places)
            and tuple(mask.shape) == (count, size**2, *places)
        )
        if fits:
            return
    names = ("input", "offset", "mask", "weight")
    shown = [f"{name} {common.shape_text(tensor)} {tensor.dtype}" for name, tensor in zip(names, tensors, strict=True)]
    raise BadInput(
        "deform_conv",
        f"{', '.join(shown)}, stride {stride}, padding {padding}",
        "[N,C,H,W], [N,2*k*k,H',W'], [N,k*k,H',W'], [O,C,k,k], H' and W' as conv2d makes them",
        "reshape the operands to the layout of the docstring",
    )


common.define(
    "deform_conv(Tensor input, Tensor offset, Tensor mask, Tensor weight, int stride, int padding) -> Tensor", reference
)
