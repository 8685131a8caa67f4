"""Properties of the ego motion: how the map shifts and turns when the vehicle moves."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helpers.ops.rotate import rotate
from helpers.systems.bevformer.motion import ego_shift

CELL, SIZE = (2.048, 1.024), (50, 100)  # (y, x), unequal so that a swap shows
meters = st.floats(-20, 20).filter(lambda value: abs(value) > 1e-3)
yaws = st.floats(0, 2 * math.pi)


def shift(dx, dy, yaw):
    """Shift in meters to the (right, front) of the vehicle for a motion (dx, dy) in the global frame."""
    can_bus = torch.zeros(1, 18, dtype=torch.float64)
    can_bus[0, 0], can_bus[0, 1], can_bus[0, 16] = dx, dy, yaw
    x, y = ego_shift(can_bus, CELL, SIZE)[0].tolist()
    return np.array([x * CELL[1] * SIZE[1], y * CELL[0] * SIZE[0]])


@settings(max_examples=60, deadline=None)
@given(meters, meters, yaws)
def test_the_shift_is_the_motion_seen_from_the_vehicle(dx, dy, yaw):
    right, front = math.sin(yaw) * dx - math.cos(yaw) * dy, math.cos(yaw) * dx + math.sin(yaw) * dy
    assert shift(dx, dy, yaw) == pytest.approx([right, front], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(meters, meters, yaws, st.floats(-3, 3))
def test_turning_the_world_changes_nothing(dx, dy, yaw, turn):
    turned = dx * math.cos(turn) - dy * math.sin(turn), dx * math.sin(turn) + dy * math.cos(turn)
    assume(min(map(abs, turned)) > 1e-3)
    assert shift(*turned, yaw + turn) == pytest.approx(shift(dx, dy, yaw), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(-180, 180), st.floats(-6, 6), st.floats(-6, 6), st.floats(10, 20), st.floats(10, 20))
def test_a_spot_turns_about_the_center(angle, dx, dy, cx, cy):
    """Counter-clockwise on a screen whose y points down; the center is in pixels from the upper left corner."""
    y, x = torch.meshgrid(torch.arange(30.0) + 0.5, torch.arange(30.0) + 0.5, indexing="ij")
    spot = torch.exp(-((x - cx - dx) ** 2 + (y - cy - dy) ** 2) / 4)
    turned = rotate(spot[None], torch.tensor([angle]), torch.tensor([cx, cy]), "bilinear")[0]
    theta = math.radians(angle)
    to_x = cx + math.cos(theta) * dx + math.sin(theta) * dy
    to_y = cy - math.sin(theta) * dx + math.cos(theta) * dy
    assume(4 < to_x < 26 and 4 < to_y < 26 and 4 < cx + dx < 26 and 4 < cy + dy < 26)
    centroid = [float((turned * axis).sum() / turned.sum()) for axis in (x, y)]
    assert centroid == pytest.approx([to_x, to_y], abs=0.1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(-180, 180))
def test_nearest_rotation_only_moves_values(seed, angle):
    image = torch.rand(2, 9, 12, generator=torch.Generator().manual_seed(seed)) + 1
    turned = rotate(image, torch.tensor([angle]), torch.tensor([6.0, 4.5]))
    assert torch.isin(turned, torch.cat([image.flatten(), torch.zeros(1)])).all()
