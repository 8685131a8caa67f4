"""Rotation of a map: the definition against hand-computed cases and scipy's."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from helpers.errors import BadInput
from helpers.ops.rotate import _takes, reference, rotate


def turn(image, degrees, center, interpolation="nearest"):
    return rotate(image, torch.tensor([float(degrees)]), torch.tensor([float(v) for v in center]), interpolation)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_rotate_by_quarters(interpolation):
    image = torch.arange(2 * 6 * 6.0).view(2, 6, 6)
    for quarters in range(4):
        expected = torch.rot90(image, quarters, (1, 2))  # counter-clockwise with rows downwards
        torch.testing.assert_close(turn(image, 90 * quarters, (3, 3), interpolation), expected, atol=1e-4, rtol=0)


def test_rotate_about_a_center_outside():
    image = torch.arange(1.0, 17).view(1, 4, 4)
    output = turn(image, 90, (4, 4))
    assert torch.equal(output, torch.zeros(1, 4, 4))  # about its corner the image turns out of sight
    output = turn(image, 90, (4, 2))[0]
    expected = torch.zeros(4, 4)
    for row in range(4):
        for column in range(4):
            x, y = column + 0.5 - 4, row + 0.5 - 2
            source_column, source_row = -y + 4 - 0.5, x + 2 - 0.5
            if 0 <= source_column < 4 and 0 <= source_row < 4:
                expected[row, column] = image[0, int(source_row), int(source_column)]
    assert expected.count_nonzero() == 4
    assert torch.equal(output, expected)


@pytest.mark.parametrize("center", [(25, 25), (100, 100), (10, 40)])
@pytest.mark.parametrize(("interpolation", "order"), [("nearest", 0), ("bilinear", 1)])
def test_rotate_is_scipys_affine(center, interpolation, order):
    image = torch.randn(3, 50, 40, generator=torch.Generator().manual_seed(0))
    degrees = -7.3
    output = turn(image, degrees, center, interpolation)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[cos, sin], [-sin, cos]])  # on (row, column), source from target
    middle = np.array([center[1] - 0.5, center[0] - 0.5])
    padded = np.pad(image.numpy(), ((0, 0), (8, 8), (8, 8)))  # zeros around, so that borders need no rule
    offset = middle - matrix @ middle + 8
    expected = [ndimage.affine_transform(plane, matrix, offset, (50, 40), order=order) for plane in padded]
    np.testing.assert_allclose(output.numpy(), np.stack(expected), atol=2e-4)


def test_rotate_is_the_identity_at_rest_and_keeps_the_type():
    image = torch.randn(4, 50, 50, generator=torch.Generator().manual_seed(0)).half()
    output = turn(image, 0, (100, 100))
    assert output.dtype == torch.float16
    assert torch.equal(output, image)


@pytest.mark.parametrize(
    "arguments",
    [
        (torch.zeros(1, 2, 3, 4), torch.zeros(1), torch.zeros(2), "nearest"),
        (torch.zeros(2, 3, 4), torch.zeros(2), torch.zeros(2), "nearest"),
        (torch.zeros(2, 3, 4), torch.zeros(1), torch.zeros(3), "nearest"),
        (torch.zeros(2, 3, 4), torch.zeros(1), torch.zeros(2), "bicubic"),
    ],
)
def test_rotate_refuses_what_it_cannot_turn(arguments):
    with pytest.raises(BadInput, match="rotate"):
        rotate(*arguments)


def test_it_is_an_operator_of_torch():
    image, angle, center = torch.randn(2, 6, 8), torch.tensor([20.0]), torch.tensor([1.0, 2.0])
    turned = torch.ops.onramp.rotate(image, angle, center, "bilinear")
    assert torch.equal(turned, reference(image, angle, center, "bilinear"))


@pytest.mark.parametrize(
    ("types", "taken"),
    [
        ((torch.float32, torch.float32, torch.float32), True),
        ((torch.float16, torch.float32, torch.float32), True),
        ((torch.float64, torch.float32, torch.float32), False),
        ((torch.float32, torch.float64, torch.float64), False),
        ((torch.float32, torch.float32, torch.float16), False),
    ],
)
def test_the_kernel_is_asked_only_for_types_that_it_has(types, taken):
    operands = [torch.zeros(size, dtype=dtype) for size, dtype in zip(((1, 2, 2), (1,), (2,)), types, strict=True)]
    assert _takes(*operands, "nearest") is taken
