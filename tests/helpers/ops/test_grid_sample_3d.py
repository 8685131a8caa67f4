"""Sampling of a volume: the definition against hand-computed cases and loops over taps."""

import itertools
import math

import numpy as np
import pytest
import torch

from helpers.errors import BadInput
from helpers.ops.grid_sample_3d import grid_sample_3d, reference
from tests.helpers.ops.operands import volume_inputs

MODES = list(itertools.product(("trilinear", "nearest"), ("zeros", "border"), (True, False)))


def sampled_by_loops(volume, grid, interpolation, padding, align_corners):
    """The definition, tap by tap, in float64."""
    volume, grid = volume.double().numpy(), grid.double().numpy()
    sizes = volume.shape[:1:-1]  # W, H, D as the coordinates come
    output = np.zeros((*volume.shape[:2], *grid.shape[1:4]))
    for n, *place in np.ndindex(grid.shape[:4]):
        point = []
        for coordinate, size in zip(grid[(n, *place)], sizes, strict=True):
            at = (coordinate + 1) / 2 * (size - 1) if align_corners else ((coordinate + 1) * size - 1) / 2
            point.append(min(max(at, 0), size - 1) if padding == "border" else at)
        if interpolation == "nearest":
            taps = [[(round(at), 1.0)] for at in point]  # ties to even
        else:
            taps = [[(math.floor(at) + k, 1 - abs(at - math.floor(at) - k)) for k in (0, 1)] for at in point]
        for (x, of_x), (y, of_y), (z, of_z) in itertools.product(*taps):
            if 0 <= x < sizes[0] and 0 <= y < sizes[1] and 0 <= z < sizes[2]:
                output[(n, slice(None), *place)] += of_x * of_y * of_z * volume[n, :, z, y, x]
    return output


def at(x, y, z, **modes):
    """One sample of the 2x2x2 volume 1, 2, ... 8 at cell coordinates (x, y, z), 0 = the center of the first cell."""
    volume = torch.arange(1.0, 9).view(1, 1, 2, 2, 2)
    grid = torch.tensor([x, y, z]).view(1, 1, 1, 1, 3) * 2 - 1
    return grid_sample_3d(volume, grid, **modes).item()


@pytest.mark.parametrize(
    ("point", "modes", "expected"),
    [
        ((0.0, 0.0, 0.0), {}, 1),
        ((1.0, 0.0, 0.0), {}, 2),
        ((0.0, 1.0, 0.0), {}, 3),
        ((0.0, 0.0, 1.0), {}, 5),
        ((0.5, 0.5, 0.5), {}, 4.5),
        ((1.25, 1.0, 1.0), {}, 6),
        ((1.25, 1.0, 1.0), {"padding": "border"}, 8),
        ((0.4, 0.6, 0.6), {"interpolation": "nearest"}, 7),
        ((0.5, 0.0, 0.0), {"interpolation": "nearest"}, 1),
        ((9e9, 0.0, 0.0), {}, 0),
        ((math.nan, 0.0, 0.0), {}, 0),
        ((-math.inf, 1.0, 1.0), {}, 0),
        ((math.nan, 1.0, 0.0), {"padding": "border"}, 3),
    ],
)
def test_samples_by_hand(point, modes, expected):
    assert at(*point, **modes) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("modes", MODES)
def test_sampling_is_its_definition(modes):
    volume, grid = volume_inputs(dtype=torch.float64)
    np.testing.assert_allclose(grid_sample_3d(volume, grid, *modes), sampled_by_loops(volume, grid, *modes), atol=1e-9)


def test_half_precision_is_sampled_in_float32_and_the_grid_may_keep_its_own():
    volume, grid = volume_inputs()
    output = grid_sample_3d(volume.half(), grid)
    assert output.dtype == torch.float16
    assert torch.equal(output, reference(volume.half().float(), grid).half())


def test_sampling_gradients():
    volume, grid = volume_inputs(n=1, channels=1, size=(2, 2, 2), output=(1, 1, 2), dtype=torch.float64)
    assert torch.autograd.gradcheck(grid_sample_3d, (volume.requires_grad_(), grid.requires_grad_()))


@pytest.mark.parametrize(
    ("volume", "grid", "modes"),
    [
        ((1, 2, 3, 4), (1, 2, 2, 2, 3), {}),
        ((1, 2, 3, 4, 5), (1, 3, 2, 2, 2), {}),
        ((1, 2, 3, 4, 5), (2, 2, 2, 2, 3), {}),
        ((1, 2, 3, 4, 5), (1, 2, 2, 2, 3), {"interpolation": "bilinear"}),
        ((1, 2, 3, 4, 5), (1, 2, 2, 2, 3), {"padding": "reflection"}),
    ],
)
def test_what_cannot_be_sampled_is_refused(volume, grid, modes):
    with pytest.raises(BadInput, match="grid_sample_3d"):
        grid_sample_3d(torch.zeros(volume), torch.zeros(grid), **modes)
