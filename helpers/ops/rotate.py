"""Rotation of a map about a point: definition, PyTorch operator, ONNX node and the call of its compiled kernel.

In PyTorch it runs as `torch.ops.onramp.rotate`; the ONNX exporter leaves one node in the domain `trt.plugins`.
"""

import ctypes
import math

import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.rotate import BILINEAR, NEAREST, OP_TYPE
from helpers.ops import common

INTERPOLATION = {"bilinear": BILINEAR, "nearest": NEAREST}


def rotate(
    image: torch.Tensor, angle: torch.Tensor, center: torch.Tensor, interpolation: str = "nearest"
) -> torch.Tensor:
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
    common.check_tensors("rotate", image=image, angle=angle, center=center)
    fits = image.dim() == 3 and min(image.shape[1:]) > 0 and angle.numel() == 1 and tuple(center.shape) == (2,)
    if not fits or interpolation not in INTERPOLATION:
        shown = [common.shape_text(tensor) for tensor in (image, angle, center)]
        found = "image {}, angle {}, center {}, ".format(*shown) + f"interpolation {interpolation!r}"
        expected = f"image [C,H,W], angle [1], center [2], interpolation one of {sorted(INTERPOLATION)}"
        raise BadInput("rotate", found, expected, "pass one map at a time with one angle")
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OP_TYPE}",
            (image, angle, center),
            {"interpolation": INTERPOLATION[interpolation]},
            dtype=image.dtype,
            shape=image.shape,
            version=1,
        )
    return torch.ops.onramp.rotate(image, angle, center, interpolation)


def reference(
    image: torch.Tensor, angle: torch.Tensor, center: torch.Tensor, interpolation: str = "nearest"
) -> torch.Tensor:
    """`rotate` in plain PyTorch, differentiable with respect to the image."""
    pixels = common.full_precision(image)
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


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {torch.float32: "fp32", torch.float16: "fp16"}  # type of the image -> suffix of the compiled function


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampRotation of plugins/kernels/rotate.h
    _fields_ = [(name, ctypes.c_int) for name in ("channels", "height", "width", "nearest", "half_center")]


def launch(
    library: ctypes.CDLL,
    image: torch.Tensor,
    angle: torch.Tensor,
    center: torch.Tensor,
    output: torch.Tensor,
    interpolation: str = "nearest",
) -> None:
    """Queue the compiled kernel on the current stream: the operands of `rotate`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        image, output: [C, H, W] of one type; `output` is written.
        angle, center: of one type, float32 or float16.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types that no kernel takes.
    """
    alike = image.dtype == output.dtype and image.shape == output.shape
    if image.dtype not in FORMS or not alike or angle.dtype not in FORMS or angle.dtype != center.dtype:
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (image, angle, center, output))
        raise BadInput("rotate.launch", found, "image and output alike, angle and center of one type",
                       "see helpers.ops.rotate")  # fmt: skip
    sizes = Sizes(*image.shape, INTERPOLATION[interpolation], angle.dtype == torch.float16)
    common.launch(library, f"onramp_rotate_{FORMS[image.dtype]}", sizes, (image, angle, center, output))


def _takes(image, angle, center, interpolation):
    return image.dtype in FORMS and angle.dtype in FORMS and angle.dtype == center.dtype


def _kernel(library, image, angle, center, interpolation):
    output = _fake(image, angle, center, interpolation)
    image, angle, center = map(common.packed, (image, angle, center))
    launch(library, image, angle, center, output, interpolation)
    return output


# ---------------------------------------------------------------------------------------------------- registration


def _fake(image, angle, center, interpolation):
    return image.new_empty(image.shape)


common.register(
    "rotate(Tensor image, Tensor angle, Tensor center, str interpolation) -> Tensor", reference, _takes, _kernel, _fake
)
