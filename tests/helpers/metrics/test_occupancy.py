"""Occupancy metrics against figures worked out by hand."""

import math

import numpy as np
import pytest

from helpers.dataset.occupancy import CLASSES, FREE, SHAPE, Occupancy
from helpers.errors import BadInput
from helpers.metrics import occupancy

CAR, ROAD = CLASSES.index("car"), CLASSES.index("driveable_surface")
ORIGIN = np.array([0.2, 0.2, 1.0])  # the center of voxel (100, 100) of layer 5


def empty():
    return np.full(SHAPE, FREE, np.uint8)


def label(semantics, seen=True):
    mask = np.full(SHAPE, seen)
    return Occupancy(semantics, mask, mask.copy())


def test_mean_iou_by_hand():
    truth, found = empty(), empty()
    truth[:4, 0, 0] = CAR
    found[1:6, 0, 0] = CAR  # 3 of 6 voxels of the union
    truth[:8, 5, 5], found[:2, 5, 5] = ROAD, ROAD  # 2 of 8
    found[7, 9, 9] = CLASSES.index("bus")  # nowhere in the label: 0 of 1
    metrics = occupancy.mean_iou(occupancy.histogram(found, label(truth)))
    assert metrics["IoU/car"] == pytest.approx(50) and metrics["IoU/driveable_surface"] == pytest.approx(25)
    assert metrics["IoU/bus"] == 0 and math.isnan(metrics["IoU/truck"]) and "IoU/free" not in metrics
    assert metrics["mIoU"] == pytest.approx((50 + 25 + 0) / 3)
    assert metrics["mIoU/labeled"] == pytest.approx((50 + 25) / 2)
    nothing = occupancy.mean_iou(occupancy.histogram(found, label(empty())))
    assert nothing["mIoU"] == 0 and math.isnan(nothing["mIoU/labeled"])


def test_a_worse_prediction_has_the_higher_mean_but_not_over_the_labeled_classes():
    truth, worse = empty(), empty()
    truth[:4, 0, 0] = CAR
    better = truth.copy()
    better[100, 100, 5] = CLASSES.index("others")  # one voxel of a class that the label lacks
    worse[:3, 0, 0] = CAR
    one, other = (occupancy.histogram(found, label(truth)) for found in (better, worse))
    means = [occupancy.mean_iou(counts) for counts in (one, other)]
    assert [mean["mIoU"] for mean in means] == pytest.approx([100 / 2, 75])
    assert [mean["mIoU/labeled"] for mean in means] == pytest.approx([100, 75])


def test_a_worse_prediction_has_the_higher_ray_iou_but_not_over_the_labeled_classes(monkeypatch):
    directions = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    monkeypatch.setattr(occupancy, "lidar_directions", lambda: directions)
    truth = empty()
    for cell in ((110, 100), (90, 100), (100, 110), (100, 90)):
        truth[*cell, 5] = CAR
    better, worse = truth.copy(), truth.copy()
    better[110, 100, 5] = CLASSES.index("others")
    worse[110, 100, 5] = worse[90, 100, 5] = FREE
    means = [occupancy.ray_iou(occupancy.ray_counts(found, label(truth), ORIGIN)) for found in (better, worse)]
    assert [mean["RayIoU"] for mean in means] == pytest.approx([75 / 2, 50])
    assert [mean["RayIoU/labeled"] for mean in means] == pytest.approx([75, 50])


def test_only_what_cameras_see_counts_and_frames_add_up():
    truth, found = empty(), empty()
    truth[:2, 0, 0], found[0, 0, 0] = CAR, CAR
    half = label(truth)
    half.mask_camera[1, 0, 0] = False
    counts = occupancy.histogram(found, half)
    assert occupancy.mean_iou(counts)["IoU/car"] == 100 and counts.sum() == np.prod(SHAPE) - 1
    both = counts + occupancy.histogram(found, label(truth))
    assert both[CAR, CAR] == 2 and both[CAR, FREE] == 1
    assert occupancy.mean_iou(both)["IoU/car"] == pytest.approx(200 / 3)


def test_a_ray_stops_where_it_enters_the_first_filled_voxel():
    volume = empty()
    volume[110, 100, 5], volume[120, 100, 5] = CAR, ROAD
    volume[100, 95, 5] = ROAD
    slope = np.array([0.6, 0.0, -0.8])  # from the layer's middle down 1.0 m to the floor of layer 2 ...
    volume[:, :, 2] = ROAD
    directions = np.array([[1.0, 0, 0], [0, -1.0, 0], [-1.0, 0, 0], slope])
    classes, way = occupancy.first_hits(volume, ORIGIN, directions)
    assert classes.tolist() == [CAR, ROAD, FREE, ROAD]
    # 9.5 voxels to the face of the tenth, 4.5 of the fifth; layer 2 ends at 0.2 m, 0.8 m below
    np.testing.assert_allclose(way, [9.5 * 0.4, 4.5 * 0.4, np.inf, 0.8 / 0.8], atol=1e-9)


def test_nothing_lies_before_a_hit_and_a_filled_voxel_behind_it():
    random = np.random.default_rng(0)
    volume = np.where(random.random(SHAPE) < 0.02, CAR, FREE).astype(np.uint8)
    directions, origin = occupancy.lidar_directions()[::97], ORIGIN + np.array([0.03, -0.05, 0.02])
    classes, way = occupancy.first_hits(volume, origin, directions)
    assert 50 < (classes == CAR).sum() < len(directions)
    for direction, distance in zip(directions, way, strict=True):
        before = volume_at(volume, origin, direction, np.arange(0, min(distance, 60) - 1e-6, 0.01))
        assert (before == FREE).all()
        if np.isfinite(distance):
            assert volume_at(volume, origin, direction, np.array([distance + 1e-6])) == [CAR]


def volume_at(volume, origin, direction, way):
    cells = np.floor((origin + way[:, None] * direction - (-40, -40, -1)) / 0.4).astype(int)
    return volume[tuple(cells[((cells >= 0) & (cells < SHAPE)).all(1)].T)]


def test_ray_iou_by_hand(monkeypatch):
    directions = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    monkeypatch.setattr(occupancy, "lidar_directions", lambda: directions)
    truth, found = empty(), empty()
    truth[110, 100, 5], found[114, 100, 5] = CAR, CAR  # 1.6 m off
    truth[90, 100, 5], found[90, 100, 5] = CAR, ROAD
    truth[100, 110, 5], found[100, 110, 5] = ROAD, ROAD
    found[100, 90, 5] = ROAD  # where the label has nothing: not asked
    counts = occupancy.ray_counts(found, label(truth), ORIGIN)
    assert counts[:, CAR].tolist() == [2, 1, 0, 1, 1] and counts[:, ROAD].tolist() == [1, 2, 1, 1, 1]
    metrics = occupancy.ray_iou(counts)
    # car: 0 of 3 within a meter, else 1 of 2; road: 1 of 2
    assert metrics["RayIoU@1m"] == pytest.approx(25) and metrics["RayIoU@2m"] == pytest.approx(50)
    assert metrics["RayIoU"] == pytest.approx((25 + 50 + 50) / 3)


def test_the_rays_of_a_lidar():
    directions = occupancy.lidar_directions()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    slopes = np.unique(np.round(directions[:, 2] / np.hypot(*directions[:, :2].T), 6))
    np.testing.assert_allclose(slopes[:10], [-1 / k for k in range(1, 11)], atol=1e-5)
    assert len(directions) == 360 * len(slopes) and 0.2 < np.arctan(slopes[-1]) < 0.23


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (np.zeros((100, 100, 16), np.uint8), "100, 100, 16"),
        (np.zeros(SHAPE, np.float32), "float32"),
        (np.full(SHAPE, 18, np.uint8), "18..18"),
        ([1], "list"),
    ],
)
def test_what_is_no_prediction_is_refused(found, said):
    with pytest.raises(BadInput, match=said):
        occupancy.histogram(found, label(empty()))


def test_rays_from_outside_are_refused():
    with pytest.raises(BadInput, match="inside the volume"):
        occupancy.first_hits(empty(), np.array([0, 0, 6.0]), np.eye(3))
