"""The proof of the sampling of volumes: its cases, operands and errors."""

import itertools

import torch
import torch.nn.functional as F

from helpers.ops import grid_sample_3d as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, on_host, relative

FORMS = {"fp32": (SINGLE, SINGLE), "fp16": (HALF, HALF), "fp16_grid32": (HALF, SINGLE)}
MODES = tuple(itertools.product(("trilinear", "nearest"), ("zeros", "border"), (True, False)))

# name: N, C, (D, H, W), (Do, Ho, Wo)
CASES = {
    "one cell": (1, 1, (1, 1, 1), (2, 3, 4)),
    "odd sizes": (2, 37, (3, 5, 7), (2, 3, 5)),
    "flat": (1, 3, (1, 4, 4), (1, 4, 4)),
    "whole groups": (1, 64, (2, 4, 6), (3, 2, 4)),
    "cells on points": (1, 24, (5, 5, 5), (5, 5, 5)),
    "slices of one cell": (1, 2, (4, 1, 1), (3, 2, 2)),
}
PUBLISHED = {"FB-OCC history": (1, 1280, (8, 100, 100), (8, 100, 100))}
TALL = (66_000, 1, (1, 1, 2), (1, 1, 1))  # more rows than a launch on a GPU has blocks for
FAR = 1e-4  # limit on volumes of a hundred cells: there a coordinate in float32 is right to 1e-5 of a cell


def operands(case, input_type, grid_type, device, seed=0):
    """Random operands of a case; points from -1.5 to 1.5, some on cells, between two, far away, or not numbers."""
    n, channels, size, output = case
    generator = torch.Generator().manual_seed(seed)
    volume = torch.randn(n, channels, *size, generator=generator)
    grid = torch.rand(n, *output, 3, generator=generator) * 3 - 1.5
    flat = grid.view(-1)
    for start, value in enumerate((0.0, 1.0, -1.0, torch.nan, torch.inf, 30000.0, -30000.0)):
        flat[start * 4 + 1 :: 41] = value
    return volume.to(device, input_type), grid.to(device, grid_type)


def still(case, input_type, grid_type, device):
    """Operands of a vehicle that moves by a fraction of a cell, as a history is sampled: neighbors share their taps."""
    volume, _ = operands(case, input_type, grid_type, device)
    axes = [torch.linspace(-1, 1, size) for size in case[3]]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    angle = torch.tensor(0.01)
    turned = angle.cos() * x - angle.sin() * y + 0.011, angle.sin() * x + angle.cos() * y - 0.003, z
    return volume, torch.stack(turned, -1).expand(case[0], -1, -1, -1, -1).contiguous().to(device, grid_type)


def leaning(case, input_type, grid_type, device):
    """Operands whose points are cells in the lowest slice, and move aside from slice to slice by a part of a cell."""
    volume, _ = operands(case, input_type, grid_type, device)
    z, y, x = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in case[3]), indexing="ij")
    lean = torch.stack((x + (z + 1) / 16, y - (z + 1) / 32, z), -1).expand(case[0], -1, -1, -1, -1)
    return volume, lean.contiguous().to(device, grid_type)


POINTS = {"random": operands, "still": still, "leaning": leaning}


class GridSample3d(Check):
    name = "grid_sample_3d"
    operator = staticmethod(ops.grid_sample_3d)
    reference = staticmethod(ops.reference)

    def kernel_rows(self, library, device, published):
        for name, case in CASES.items():
            for modes in MODES:
                for form, types in FORMS.items():
                    for packed in (False, True) if types[0] == HALF else (False,):
                        for layout, points in itertools.product(("PyTorch's grid", "published grid"), POINTS):
                            given = POINTS[points](case, *types, device)
                            error = self._kernel_error(library, given, modes, packed, layout == "published grid")
                            text = f"{form}{', packed' * packed}, {layout}, {points}"
                            yield Row(f"{self.name}, {name}, {modes}", text, error, LIMITS[types[0]])
        if published:
            given, modes = operands(TALL, SINGLE, SINGLE, device), MODES[0]
            error = self._kernel_error(library, given, modes, False, False)
            yield Row(f"{self.name}, more rows than blocks, {modes}", "fp32", error, LIMITS[SINGLE])
            for call in self.published(device):
                volume, grid, *modes = call.arguments
                error = self._kernel_error(library, (volume, grid), modes, call.packed, False)
                yield Row(f"{self.name}, {call.what}", call.form, error, call.limit)

    def _kernel_error(self, library, given, modes, packed, scaled):
        volume, grid = given
        output = volume.new_empty((*volume.shape[:2], *grid.shape[1:4]))
        if scaled:
            handed = (grid * 10).permute(0, 4, 1, 2, 3).contiguous()
            grid = (handed.double() / 10).permute(0, 2, 3, 4, 1)
        else:
            handed = grid
        ops.launch(library, volume, handed, output, tuple(modes), packed)
        return self.error(output, (volume, grid, *modes))

    def launched(self, library, arguments, packed=False):
        volume, grid, *modes = arguments
        output = volume.new_empty((*volume.shape[:2], *grid.shape[1:4]))
        volume, grid = (tensor.clone(memory_format=torch.contiguous_format) for tensor in (volume, grid))
        ops.launch(library, volume, grid, output, tuple(modes), packed)
        return output

    def calls(self, device):
        case = CASES["odd sizes"]
        smooth = operands(case, SINGLE, SINGLE, device)[1].nan_to_num(0.3, 0.3, 0.3) * 0.61803
        for modes in MODES:
            for form, types in FORMS.items():
                volume, _ = operands(case, *types, device)
                given = (volume, smooth.to(types[1]), *modes)
                yield Call(f"{modes}", form, given, LIMITS[types[0]])
                if types[0] == HALF:
                    yield Call(f"{modes}", f"{form}, packed", given, LIMITS[HALF], packed=True)
        for form, dtype in (("bf16", torch.bfloat16), ("fp64", torch.float64)):
            given = (*operands(case, dtype, dtype, device), "trilinear", "zeros", True)
            yield Call("trilinear", form, given, LIMITS[dtype], compiled=False)
        volume, grid = operands(case, SINGLE, SINGLE, device)
        strided = volume.mT.contiguous().mT, grid.transpose(1, 2).contiguous().transpose(1, 2)
        yield Call("strided", "fp32", (*strided, "trilinear", "zeros", True), LIMITS[SINGLE])

    def published(self, device):
        for name, case in PUBLISHED.items():
            for form, types in FORMS.items():
                volume, grid = still(case, *types, device)
                given = (volume, grid, "trilinear", "zeros", True)
                moved, limit = 2 * volume.nbytes + grid.nbytes, max(FAR, LIMITS[types[0]])
                yield Call(name, form, given, limit, traffic=moved)
                if types[0] == HALF:
                    yield Call(name, f"{form}, packed", given, limit, packed=True, traffic=moved)

    def composition(self, volume, grid, interpolation, padding, align_corners):
        mode = {"trilinear": "bilinear"}.get(interpolation, interpolation)
        return F.grid_sample(volume, grid.to(volume.dtype), mode, padding, align_corners)  # in half without a copy

    def error(self, output, arguments):
        volume, grid, *modes = arguments
        output, volume, grid = on_host(output, volume, grid)
        return relative(output, ops.reference(volume.double(), grid.double(), *modes))
