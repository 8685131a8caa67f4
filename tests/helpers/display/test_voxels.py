"""Voxels as cubes: what is near hides what is far, each side has its light, and the words follow the grid."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from helpers import display
from helpers.display.style import CLASS_COLORS
from helpers.display.voxels import draw, faces
from helpers.errors import BadInput

CLASSES = ("car", "bus", "pedestrian", "free")
FREE = 3


def grid(*cubes, shape=(6, 6, 6)):
    """Empty but for cubes (x, y, z, class)."""
    made = np.full(shape, FREE, np.uint8)
    for *place, kind in cubes:
        made[tuple(place)] = kind
    return made


def drawn(cubes, degrees):
    return draw(cubes, CLASSES, FREE, np.radians(degrees)).astype(int)


def area(picture, name):
    """Pixels in a class's color, however bright."""
    color = np.array([int(CLASS_COLORS[name][i : i + 2], 16) for i in (1, 3, 5)])
    light = picture.sum(2, keepdims=True) / color.sum()
    return int((np.abs(picture - light * color).max(2) < 6).sum())


def middle(picture):
    """(row, column) of the middle of what is drawn."""
    return np.argwhere((picture != 255).any(2)).mean(0)


def test_x_points_away_y_to_the_left_and_z_up():
    center = middle(drawn(grid((2, 2, 2, 0)), 0))
    ahead, left, above = (middle(drawn(grid((*place, 0)), 0)) for place in ((4, 2, 2), (2, 4, 2), (2, 2, 4)))
    assert ahead[0] < center[0] - 20 and abs(ahead[1] - center[1]) < 2
    assert left[1] < center[1] - 20 and abs(left[0] - center[0]) < 2
    assert above[0] < center[0] - 20 and abs(above[1] - center[1]) < 2
    turned = middle(drawn(grid((4, 2, 2, 0)), 90))  # seen from the right: what is ahead is to the right
    assert turned[1] > center[1] + 20


@pytest.mark.parametrize(("degrees", "near"), [(0, 1), (45, 1), (180, 4), (225, 4)])
def test_the_nearer_of_two_walls_hides_the_other(degrees, near):
    walls = [(x, y, z, int(x == near)) for x in (1, 4) for y in range(6) for z in range(6)]
    picture = drawn(grid(*walls), degrees)
    assert area(picture, "bus") > 1.3 * area(picture, "car") > 0


def test_a_cube_shows_three_sides_and_the_top_is_the_brightest():
    picture = drawn(grid((2, 2, 2, 0)), 30)
    inside = picture[(picture != 255).any(2)]
    shades = {tuple(each) for each in inside}
    assert len(shades) == 3
    assert max(shades, key=sum) == tuple(picture[(picture != 255).any(2)][0])  # the uppermost pixel is of the top


def test_cubes_that_touch_have_no_gap_and_cost_no_hidden_face():
    places, sides = faces(grid(*((x, 2, 2, 0) for x in range(6))) != FREE, np.array([1.0, 0.2]))
    assert sorted(sides.tolist()) == [0] + 6 * [1] + 6 * [2]
    assert places[sides == 0].tolist() == [[0, 2, 2]]  # the end that looks at the eye
    solid = drawn(np.zeros((6, 6, 6), np.uint8), 30)
    rows = np.flatnonzero((solid != 255).any((1, 2)))
    assert (solid[rows.mean().astype(int)] != 255).any(1).sum() > 0.7 * solid.shape[1]
    assert area(solid, "car") == (solid != 255).any(2).sum()


def test_every_page_says_what_its_grids_hold():
    found = display.voxels({"labels": grid((1, 1, 1, 0), (2, 1, 1, 0)), "<mine>": grid((1, 1, 1, 2))}, CLASSES, FREE, 4)
    assert re.findall(r'data-page="([^"]*)"', found.data) == ["0°", "90°", "180°", "270°"]
    texts = re.findall(r'<img alt="([^"]*)"', found.data)
    assert texts[0] == "labels, seen from behind (0°): 2 filled voxels (2 car)"
    assert texts[3] == "&lt;mine&gt;, seen from the right (90°): 1 filled voxels (1 pedestrian)"
    assert [texts[i].split("(")[0].split("from ")[1].strip() for i in (4, 6)] == ["ahead", "the left"]
    assert "onpointermove" in found.data
    legend = found.data.rpartition("<p ")[2]
    assert re.findall(r"</span>([a-z ]+)</span>", legend) == ["car", "pedestrian"]  # bus is in neither


def test_pictures_differ_from_side_to_side_and_stay_small():
    cubes = np.full((40, 40, 8), FREE, np.uint8)
    cubes[:, :, 0], cubes[5:9, 20:30, 1:5] = 0, 1
    shown = re.findall(r"base64,([^\"]+)", display.voxels({"a": cubes}, CLASSES, FREE, 8).data)
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB")) for each in shown]
    assert len({each.tobytes() for each in pictures}) == 8 and len({each.shape for each in pictures}) == 1
    assert max(map(len, shown)) < 60_000


@pytest.mark.parametrize(
    ("grids", "what"),
    [
        ({}, "at least one"),
        ({"a": np.zeros((2, 2), int)}, "X, Y, Z"),
        ({"a": np.zeros((2, 2, 2), int), "b": np.zeros((2, 2, 3), int)}, "one shape"),
        ({"a": np.zeros((2, 2, 2))}, "integers"),
        ({"a": np.full((2, 2, 2), 4)}, r"0\.\.3"),
        ({"a": np.full((2, 2, 2), -1)}, r"0\.\.3"),
    ],
)
def test_what_is_no_grid_of_classes_is_refused(grids, what):
    with pytest.raises(BadInput, match=what):
        display.voxels(grids, CLASSES, FREE)
