"""What a network says of one moment, from above: every layer where it belongs, in the color of its identity."""

import types

import numpy as np
import pytest

from helpers import display
from helpers.boxes import Boxes
from helpers.dataset import CLASSES
from helpers.display import driven
from helpers.display.style import PALETTE
from helpers.errors import BadInput
from tests.helpers.display.pictures import near


def frame(x=0.0, index=3):
    """A frame at global x, that looks along it; the lidar stands in the vehicle's middle and looks along its y."""
    lidar2ego, ego2global = np.eye(4), np.eye(4)
    lidar2ego[:2, :2] = [[0, 1], [-1, 0]]
    ego2global[0, 3] = x
    path = np.stack([np.arange(1, 7) * 3.0, np.zeros(6)], 1)
    return types.SimpleNamespace(
        scene="scene-0103", index=index, lidar2ego=lidar2ego, ego2global=ego2global, future_path=path
    )


def found(*tracks):
    """Tracks (identity, x, y) in the lidar frame; a road to the right, an occupied cell behind, a plan to the left."""
    count, places = len(tracks), [(x, y, 0.0) for _, x, y in tracks]
    boxes = Boxes(np.reshape(places, (-1, 3)), np.tile([2.0, 4.0, 1.5], (count, 1)), np.full(count, np.pi / 2),
                  np.zeros((count, 2)), [0] * count, [0.9] * count, "lidar", CLASSES)  # fmt: skip
    ids = np.array([identity for identity, _, _ in tracks], int)
    fan = np.linspace((0, 1), (0, 12), 12)
    paths = boxes.centers[:, None, None, :2] + np.stack([fan + np.array([k, 0]) for k in range(6)])
    drivable, owner = np.zeros((20, 20), bool), np.zeros((5, 20, 20), int)
    drivable[:, 15:] = True
    owner[0, 2:4, 9:11] = 1
    lanes = np.zeros((3, 20, 20), bool)
    plan = np.stack([-np.arange(1, 7.0), np.arange(1, 7.0)], 1)
    chances = np.tile([0.1, 0.2, 0.4, 0.1, 0.1, 0.1], (count, 1))
    return types.SimpleNamespace(boxes=boxes, ids=ids, paths=paths, chances=chances, plan=plan, lanes=lanes,
                                 drivable=drivable, owner=owner, low=(-40.0, -40.0), high=(40.0, 40.0),
                                 reach=40.0)  # fmt: skip


def middle(picture, color, tolerance=30):
    """Where a color lies in the axes of a picture of ± 40 m: (right, ahead) in m."""
    hit = np.argwhere(near(picture, color, tolerance)[:, :720])
    height, width = near(picture, color).shape
    row, column = hit.mean(0)
    return (column / width - 0.08 - 0.38) * 80 / 0.76, ((height - row) / height - 0.08 - 0.435) * 80 / 0.87


def test_every_layer_lies_where_it_belongs_and_is_told():
    picture = display.driving(frame(), found((1, -20, 20)), layers=("map", "tracks"), extent=40)
    right, ahead = middle(picture, driven.color_of(1))
    assert right == pytest.approx(-20, abs=3) and ahead == pytest.approx(20, abs=3)
    assert middle(picture, driven.ROAD, 3)[0] > 25 and "25% of the map is drivable" in picture.alt
    behind = display.driving(frame(), found(), layers=["occupancy"], extent=40)
    assert "4 cells are occupied now and 0 at the end" in behind.alt
    assert middle(display.driving(frame(), found(), layers=["plan"], extent=40), driven.PLAN)[0] < -1
    whole = display.driving(frame(), found((7, 5, 5)))
    assert (
        "1 tracks (1 car) with the identities 7" in whole.alt
        and "of 1 tracks that move within 30 m the first 3 s of 6 futures" in whole.alt
    )
    assert "the plan ends 6.0 m ahead and -6.0 m to the right" in whole.alt


def test_a_color_is_an_identitys_own():
    assert driven.color_of(3) == driven.color_of(13) != driven.color_of(4)
    one, other = (display.driving(frame(), found((k, 0, 20)), layers=["tracks"]) for k in (0, 1))
    assert near(one, PALETTE[0]).sum() > 100 > near(other, PALETTE[0]).sum()


def test_a_trail_is_what_stands_still_seen_from_a_vehicle_that_moves():
    """The vehicle goes 5 m; a parked car, 20 m ahead and then 15 m, was where it is; one that is gone has no trail."""
    past = [(frame(0.0, 2), found((4, 2, 20), (9, 0, 30)))]
    now = frame(5.0), found((4, 2, 15))
    (trail,) = driven.trails(*now, past).values()
    np.testing.assert_allclose(trail, [[2, 15], [2, 15]], atol=1e-9)
    assert driven.trails(*now, []) == {}


def test_futures_are_those_of_tracks_near_by_that_move_and_the_likeliest_is_thick():
    seen = found((0, 0, 10), (1, 0, 39), (2, 9, 10))
    seen.paths[2] = seen.boxes.centers[2, :2]  # stands still
    assert driven.moving(seen.boxes.centers[:, :2], seen.paths, seen.chances) == [0]
    picture = display.driving(frame(), seen, layers=["motion"], extent=40)
    right, ahead = middle(picture, driven.color_of(0))
    assert right == pytest.approx(2, abs=1.2) and 11 < ahead < 16.5
    assert near(picture, driven.color_of(1)).sum() == 0 == near(picture, driven.color_of(2)).sum()


def test_a_number_hides_no_other_and_the_nearest_has_its_own():
    places, size = np.array([(0, 9), (1, 9), (4, 9), (0, 5), (0, 6)], float), np.array((3.0, 2.0))
    assert driven.with_room(places, size) == [3, 0, 2]
    assert driven.with_room(np.zeros((0, 2)), size) == []


def test_an_unknown_layer_and_boxes_of_another_frame_are_refused():
    with pytest.raises(BadInput, match="'lanes'"):
        display.driving(frame(), found(), layers=["lanes"])
    other = found((1, 0, 0))
    other.boxes = Boxes(other.boxes.centers, other.boxes.sizes, other.boxes.yaws, other.boxes.velocities,
                        other.boxes.labels, other.boxes.scores, "ego", CLASSES)  # fmt: skip
    with pytest.raises(BadInput, match="lidar"):
        display.driving(frame(), other)
