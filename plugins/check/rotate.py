"""The proof of the rotation: its cases, operands and errors."""

import torch

from helpers.ops import rotate as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, exactly, relative

ROTATIONS = [(3, 5, 8), (17, 9, 9), (1, 1, 4), (256, 50, 50)]
TIES = {(1, 1, 8): (4.25, 0.5), (1, 8, 1): (0.5, 4.25)}  # half a turn about this (x, y): all between two pixels
ANGLES = (0.0, 3.7, 90.0, -123.4)
FORMS = {"fp32": (SINGLE, SINGLE), "fp16": (HALF, SINGLE), "fp16, center half": (HALF, HALF)}


def operands(size, angle, image_type, center_type, device):
    """(image, angle, center) with the center beside the middle."""
    image = torch.randn(size, generator=torch.Generator().manual_seed(1)).to(device, image_type)
    center = torch.tensor([size[2] / 2 + 1, size[1] / 2 - 2])
    return image, torch.tensor([angle]).to(device, center_type), center.to(device, center_type)


def limit(interpolation, image_type):
    """Nearest takes the very pixel; bilinear has coordinates in float32: 1e-5 of a cell."""
    return 0.0 if interpolation == "nearest" else 10 * LIMITS[image_type]


class Rotate(Check):
    name = "rotate"
    operator = staticmethod(ops.rotate)
    reference = staticmethod(ops.reference)

    def kernel_rows(self, library, device, published):
        for size in ROTATIONS:
            for angle in ANGLES:
                for interpolation in ("nearest", "bilinear"):
                    for form, types in FORMS.items():
                        given = (*operands(size, angle, *types, device), interpolation)
                        what = f"{self.name} {size}, {angle} degrees, {interpolation}"
                        error = self.error(self.launched(library, given), given)
                        yield Row(what, form, error, limit(interpolation, types[0]))

        for size, center in TIES.items():
            image, angle, middle = operands(size, 180.0, SINGLE, SINGLE, device)
            given = image, angle, middle.copy_(torch.tensor(center)), "nearest"
            error = exactly(self.launched(library, given), ops.reference(*given))
            yield Row(f"{self.name} {size}, half a turn: ties to even", "fp32", error, 0.0)

    def calls(self, device):
        for interpolation in ("bilinear", "nearest"):
            for form, types in FORMS.items():
                image, angle, center = operands((17, 9, 9), 33.3, *types, device)
                given = (image, angle, center + 0.3, interpolation)  # no pixel on itself, where the slope jumps
                yield Call(interpolation, form, given, limit(interpolation, types[0]))
        for form, dtype in (("bf16", torch.bfloat16), ("fp64", torch.float64)):
            given = (*operands((3, 5, 8), 33.3, dtype, dtype, device), "bilinear")
            yield Call("bilinear", form, given, 10 * LIMITS[dtype], compiled=False)
        image, angle, center = operands((4, 5, 8), 33.3, SINGLE, SINGLE, device)
        yield Call("strided", "fp32", (image.mT.contiguous().mT, angle, center, "bilinear"), 10 * LIMITS[SINGLE])
        mixed = (image, angle, center.half(), "bilinear")
        yield Call("unlike angle and center", "fp32", mixed, 10 * LIMITS[SINGLE], compiled=False)
        if device != "cpu":
            apart = (image, angle.cpu(), center.cpu(), "bilinear")
            yield Call("angle on the CPU", "fp32", apart, 10 * LIMITS[SINGLE], compiled=False)

    def published(self, device):
        for form in ("fp32", "fp16"):
            image, angle, center = operands((256, 50, 50), 3.7, *FORMS[form], device)
            yield Call("tiny rotate", form, (image, angle, center, "nearest"), 0.0, traffic=2 * image.nbytes)

    def launched(self, library, arguments, packed=False):
        image, angle, center, interpolation = arguments
        output = torch.empty(image.shape, dtype=image.dtype, device=image.device)
        ops.launch(library, image.contiguous(), angle, center, output, interpolation)
        return output

    def error(self, output, arguments):
        """For nearest, pixels within 1e-4 of a tie between two source pixels are left out."""
        *tensors, interpolation = arguments
        exact = [tensor.double() for tensor in tensors]
        expected = ops.reference(*exact, interpolation)
        if interpolation == "nearest":
            sure = _far_from_ties(*exact)
            output, expected = output[:, sure], expected[:, sure]
        return relative(output, expected)


def _far_from_ties(image, angle, center, margin=1e-4):
    """[H, W] mask of the pixels whose source column and row are farther than `margin` from n + 0.5."""
    _, h, w = image.shape
    rows, columns = torch.meshgrid(*(torch.arange(size, dtype=image.dtype) for size in (h, w)), indexing="ij")
    theta = torch.deg2rad(-angle.cpu())
    x, y = columns + 0.5 - center[0].cpu(), rows + 0.5 - center[1].cpu()
    sources = (theta.cos() * x + theta.sin() * y + center[0].cpu(), theta.cos() * y - theta.sin() * x + center[1].cpu())
    mask = [(source - source.round()).abs() > margin for source in sources]  # pixel centers lie at n + 0.5
    return (mask[0] & mask[1]).to(image.device)
