"""Geometry of boxes: properties over random boxes and rigid motions, and cases computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from helpers.boxes import Boxes, corners, in_picture, log_sizes, project, transform, wrap
from helpers.errors import BadInput

seeds = st.integers(0, 2**32 - 1)
angles = st.floats(-10, 10)
quick = settings(max_examples=50, deadline=None)


CLASSES = tuple(f"class {k}" for k in range(10))


def random_boxes(seed, count=7, frame="lidar", classes=CLASSES):
    rng = np.random.default_rng(seed)
    return Boxes(
        rng.uniform(-50, 50, (count, 3)),
        rng.uniform(0.3, 12, (count, 3)),
        rng.uniform(-np.pi, np.pi, count),
        rng.uniform(-15, 15, (count, 2)),
        rng.integers(0, 10, count),
        rng.uniform(0, 1, count),
        frame,
        classes,
    )


def planar(angle, translation):
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = translation
    return matrix


def random_planar(seed):
    rng = np.random.default_rng(seed)
    return planar(rng.uniform(-np.pi, np.pi), rng.uniform(-100, 100, 3))


def assert_same(a, b, atol=1e-9):
    for name in ("centers", "sizes", "velocities", "scores"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=atol, rtol=1e-6)
    np.testing.assert_allclose(wrap(a.yaws - b.yaws), 0, atol=max(atol, 1e-9))
    assert (a.labels == b.labels).all() and (a.frame, a.classes) == (b.frame, b.classes)


@quick
@given(seeds, seeds, seeds)
def test_transforms_compose_and_invert(seed, first, second):
    boxes, a, b = random_boxes(seed), random_planar(first), random_planar(second)
    assert_same(transform(transform(boxes, a, "ego"), b, "global"), transform(boxes, b @ a, "global"))
    assert_same(transform(transform(boxes, a, "ego"), np.linalg.inv(a), "lidar"), boxes)


@quick
@given(seeds, seeds)
def test_corners_move_with_the_box(seed, motion):
    boxes, matrix = random_boxes(seed), random_planar(motion)
    moved = corners(boxes) @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(corners(transform(boxes, matrix, "ego")), moved, atol=1e-9)


@quick
@given(seeds)
def test_corners_agree_with_the_devkit(seed):
    boxes = random_boxes(seed)
    for i, corner in enumerate(corners(boxes)):
        reference = Box(boxes.centers[i], boxes.sizes[i], Quaternion(axis=[0, 0, 1], angle=boxes.yaws[i])).corners()
        np.testing.assert_allclose(corner, reference.T, atol=1e-9)


@quick
@given(seeds, angles, st.floats(-20, 20), st.floats(-20, 20))
def test_ego_motion_undone_on_a_static_box(seed, yaw, dx, dy):
    """A parked box seen before and after the vehicle shifts and turns is the same box in the map."""
    boxes = random_boxes(seed, frame="global")
    before, after = planar(0.3, [5, -2, 0]), planar(0.3 + yaw, [5 + dx, -2 + dy, 0])
    seen_before, seen_after = (transform(boxes, np.linalg.inv(pose), "ego") for pose in (before, after))
    assert_same(transform(seen_before, np.linalg.inv(after) @ before, "ego"), seen_after)
    np.testing.assert_allclose(wrap(seen_before.yaws - seen_after.yaws - yaw), 0, atol=1e-9)


def test_velocity_and_heading_turn_left():
    box = Boxes([[1, 0, 0]], [[2, 4, 1]], [0], [[3, 0]], [0], [1])
    turned = transform(box, planar(np.pi / 2, [10, 0, 0]), "ego")
    np.testing.assert_allclose(turned.centers, [[10, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(turned.velocities, [[0, 3]], atol=1e-12)
    np.testing.assert_allclose(turned.yaws, [np.pi / 2])


@quick
@given(st.floats(-30, 30), st.floats(-10, 10), st.floats(0.5, 80), st.floats(200, 2000))
def test_projection_inverts_to_the_ray(x, y, depth, focal):
    intrinsic = np.array([[focal, 0, 800, 0], [0, focal, 450, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    uv, seen = project([[x, y, depth]], intrinsic)
    np.testing.assert_allclose(seen, [depth])
    ray = np.linalg.inv(intrinsic[:3, :3]) @ [*uv[0], 1]
    np.testing.assert_allclose(ray * depth, [x, y, depth], atol=1e-6)
    half, _ = project([[x, y, depth]], np.diag([0.5, 0.5, 1, 1]) @ intrinsic)
    np.testing.assert_allclose(half, uv / 2, rtol=1e-9, atol=1e-9)


def test_projection_behind_the_camera_is_finite_and_marked():
    intrinsic = np.array([[1000.0, 0, 800, 0], [0, 1000, 450, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    uv, depth = project([[0, 0, 2], [0, 0, -2], [1, 1, 0]], intrinsic)
    np.testing.assert_allclose(uv[0], [800, 450])
    assert np.isfinite(uv).all() and list(depth) == [2, -2, 0]


def test_a_picture_holds_what_is_before_the_camera_and_within_its_edges():
    intrinsic = np.array([[1000.0, 0, 800, 0], [0, 1000, 450, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    pixels = [(0, 0), (1599, 899), (1600, 10), (10, 900), (-1, 10), (10, -1)]
    points = [[(u - 800) / 1000 * 2, (v - 450) / 1000 * 2, 2] for u, v in pixels] + [[0, 0, -2]]
    assert in_picture(points, intrinsic, 1600, 900).tolist() == [True, True, False, False, False, False, False]
    assert in_picture(points, intrinsic, 1601, 901).tolist() == [True, True, True, True, False, False, False]


def test_bad_input_is_named():
    with pytest.raises(BadInput, match=r"Boxes\.sizes"):
        Boxes(np.zeros((2, 3)), np.zeros((2, 2)), [0, 0], np.zeros((2, 2)), [0, 0], [1, 1])
    with pytest.raises(BadInput, match="camera"):
        Boxes.empty("camera")
    one = [[0, 0, 0]], [[1, 1, 1]], [0], [[0, 0]]
    for label in (2, -1):
        with pytest.raises(BadInput, match=rf"Boxes\.labels\n  found: +{label}\n  expected: 0 to 1"):
            Boxes(*one, [label], [1], classes=("a", "b"))
    with pytest.raises(BadInput, match=r"Boxes\.classes"):
        _ = Boxes(*one, [7], [1]).names  # without classes any label is welcome, but has no name


def test_selection_and_empty():
    boxes = random_boxes(1)
    chosen = boxes[boxes.labels == boxes.labels[0]]
    assert (chosen.labels == boxes.labels[0]).all() and chosen.frame == boxes.frame
    assert len(boxes[2]) == 1 and boxes[2].names == [CLASSES[boxes.labels[2]]]
    empty = Boxes.empty()
    assert len(empty) == 0 and corners(empty).shape == (0, 8, 3) and empty.names == []
    assert Boxes.empty(classes=("a", "b")).classes == ("a", "b")
    assert len(transform(empty, np.eye(4), "ego")) == 0


def test_wrap():
    np.testing.assert_allclose(wrap([np.pi, -np.pi, 3 * np.pi / 2, 0.1]), [np.pi, np.pi, -np.pi / 2, 0.1])


@pytest.mark.parametrize("change", [
    {"labels": [0.5]}, {"labels": ["car"]}, {"labels": [np.nan]}, {"sizes": [["a", "b", "c"]]}, {"scores": [None]},
    {"yaws": [1j]}, {"centers": None}, {"centers": [[1, 2, 3], [1, 2]]},
])  # fmt: skip
def test_what_is_no_number_is_no_box(change):
    good = {"centers": np.zeros((1, 3)), "sizes": np.zeros((1, 3)), "yaws": [0], "velocities": np.zeros((1, 2)),
            "labels": [1.0], "scores": [1]}  # fmt: skip
    assert Boxes(**good).labels.tolist() == [1]
    with pytest.raises(BadInput, match=f"Boxes.{next(iter(change))}"):
        Boxes(**good | change)
    with pytest.raises(BadInput, match="lengths above 0"):
        log_sizes(Boxes(**good))
