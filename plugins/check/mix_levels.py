"""The proof of the mixture of levels: its cases, operands and errors."""

import torch

from helpers.ops import mix_levels as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, on_host, relative

FORMS = {"fp32": SINGLE, "fp16": HALF}

# name: B, C, (D, H, W), the sizes of the levels
CASES = {
    "halves, quarters, eighths": (1, 8, (8, 16, 16), ((4, 8, 8), (2, 4, 4), (1, 2, 2))),
    "odd sizes": (2, 11, (5, 7, 3), ((3, 4, 2), (2, 3, 2), (1, 2, 1))),
    "no whole ratios": (2, 16, (7, 10, 6), ((5, 7, 4), (3, 3, 5), (2, 1, 1))),
    "larger levels": (1, 3, (2, 3, 4), ((4, 6, 8), (5, 3, 4), (2, 9, 1))),
    "one voxel": (1, 1, (1, 1, 1), ((1, 1, 1), (2, 3, 4), (1, 1, 2))),
    "more than a block": (1, 20, (2, 9, 140), ((1, 5, 70), (1, 3, 35), (1, 2, 18))),
}
PUBLISHED = {"FB-OCC mix": (1, 64, (200, 200, 16), ((100, 100, 8), (50, 50, 4), (25, 25, 2)))}


def operands(case, dtype, device, seed=0):
    """(fine, shares, three levels): random volumes, shares that add up to one."""
    batch, channels, size, levels = case
    generator = torch.Generator().manual_seed(seed)
    shares = torch.randn(batch, len(levels) + 1, *size, generator=generator).softmax(1)
    fine, *coarse = (torch.randn(batch, channels, *shape, generator=generator) for shape in (size, *levels))
    return tuple(tensor.to(device, dtype) for tensor in (fine, shares, *coarse))


class MixLevels(Check):
    name = "mix_levels"
    operator = staticmethod(ops.mix_levels)
    reference = staticmethod(ops.reference)

    def kernel_rows(self, library, device, published):
        for name, case in (CASES | PUBLISHED if published else CASES).items():
            for form, dtype in FORMS.items():
                given = operands(case, dtype, device)
                error = self.error(self.launched(library, given), given)
                yield Row(f"{self.name}, {name}", form, error, LIMITS[dtype])
            for text, packed in (("shares row-major", False), ("shares packed", True)):
                error = self._packed_error(library, given, packed)
                yield Row(f"{self.name}, {name}", f"fp16, dhwc8, {text}", error, LIMITS[HALF])

    def _packed_error(self, library, given, shares_too):
        """Of channels that lie together; what only fills up is NaN before and has to be zero behind."""
        channels = given[0].shape[1]
        fine, shares, *levels = (ops.packed_channels(tensor) for tensor in given)
        for volume in (fine, *levels):
            volume[..., channels:] = torch.nan
        output = torch.empty_like(fine)
        ops.launch_packed(library, (fine, shares if shares_too else given[1], *levels), output, channels)
        if output[..., channels:].any():  # NaN counts as well
            return float("inf")
        return self.error(output[..., :channels].permute(0, 4, 1, 2, 3), given)

    def calls(self, device):
        for name in ("odd sizes", "no whole ratios", "larger levels"):
            for form, dtype in FORMS.items():
                yield Call(name, form, operands(CASES[name], dtype, device), LIMITS[dtype])
        for form, dtype in (("bf16", torch.bfloat16), ("fp64", torch.float64)):
            given = operands(CASES["odd sizes"], dtype, device)
            yield Call("odd sizes", form, given, LIMITS[dtype], compiled=False)
        given = operands(CASES["odd sizes"], SINGLE, device)
        mixed = (given[0].half(), *given[1:])
        yield Call("half beside float32", "fp16", mixed, LIMITS[HALF], compiled=False)
        strided = tuple(tensor.mT.contiguous().mT for tensor in given)
        yield Call("strided", "fp32", strided, LIMITS[SINGLE])

    def published(self, device):
        for name, case in PUBLISHED.items():
            for form, dtype in FORMS.items():
                given = operands(case, dtype, device)
                moved = given[0].nbytes + sum(tensor.nbytes for tensor in given)
                yield Call(name, form, given, LIMITS[dtype], traffic=moved)

    def launched(self, library, arguments, packed=False):
        output = torch.empty_like(arguments[0], memory_format=torch.contiguous_format)
        ops.launch(library, [tensor.contiguous() for tensor in arguments], output)
        return output

    def error(self, output, arguments):
        output, *given = on_host(output, *arguments)
        return relative(output, ops.reference(*(tensor.double() for tensor in given)))
