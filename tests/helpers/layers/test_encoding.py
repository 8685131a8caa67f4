"""Angles in arithmetic alone."""

import itertools

import numpy as np
import torch

from helpers.layers.encoding import heading

SIZES = (1e-9, 1e-3, 1.0, 77.0, 1e9)


def test_a_heading_is_the_angle_to_the_last_bits_in_every_quarter_and_on_every_axis():
    signed = [0.0, *SIZES, *(-size for size in SIZES)]
    pairs = [*itertools.product(signed, signed), *np.random.RandomState(0).normal(size=(500, 2)).tolist()]
    y, x = torch.tensor(pairs, dtype=torch.float32).T
    difference = (heading(y, x) - torch.atan2(y, x)).abs()
    turned = torch.minimum(difference, 2 * np.pi - difference)  # on the negative x axis -pi is pi
    assert len(y) == 621 and turned.max() < 1e-6


def test_its_gradient_is_that_of_the_angle_and_a_number_on_the_axes():
    points = torch.tensor([[0.6, -0.8], [-3.0, 4.0], [0.0, 1.0], [2.0, 0.0], [0.0, 0.0]], requires_grad=True)
    (found,) = torch.autograd.grad(heading(points[:, 1], points[:, 0]).sum(), points)
    (expected,) = torch.autograd.grad(torch.atan2(points[:2, 1], points[:2, 0]).sum(), points)
    assert torch.allclose(found[:2], expected[:2]) and found.isfinite().all()
