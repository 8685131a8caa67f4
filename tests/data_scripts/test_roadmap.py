"""The map of a scene against nuscenes-devkit's reader of the map expansion, and against the world that is drawn."""

import os

import cv2
import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytest
from nuscenes.map_expansion.map_api import NuScenesMap

from data_scripts.minidrive import conversation, roadmap, tables, world

SCENE = "scene-0916"


@pytest.fixture(scope="module")
def scene():
    return world.World(SCENE, 4, 0)


@pytest.fixture(scope="module")
def devkit(minidrive, tmp_path_factory):
    """nuscenes-devkit's map, under one of the four names that it takes."""
    root = tmp_path_factory.mktemp("maps")
    (root / "maps/expansion").mkdir(parents=True)
    os.symlink(minidrive / f"maps/expansion/{SCENE}.json", root / "maps/expansion/boston-seaport.json")
    return NuScenesMap(str(root), "boston-seaport")


def test_center_lines_run_along_the_middle_of_the_lanes(devkit, scene):
    """Within 2 mm of the lane's offset, half a meter apart, and in the direction in which vehicles drive."""
    lanes = {lane["token"]: devkit.discretize_lanes([lane["token"]], 0.5)[lane["token"]] for lane in devkit.lane}
    seen = set()
    for token in [token for token, line in lanes.items() if devkit.get_outgoing_lane_ids(token)][:2]:
        (connector,) = devkit.get_outgoing_lane_ids(token)
        (after,) = devkit.get_outgoing_lane_ids(connector)
        line = np.concatenate([lanes[token], devkit.discretize_lanes([connector], 0.5)[connector], lanes[after]])
        s, d = conversation.along(scene.route, line[:, :2])
        np.testing.assert_allclose(d, np.round(d[0] / 1.75) * 1.75, atol=0.002)
        assert np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1).max() <= 0.5
        ahead = np.diff(s)[np.abs(np.diff(s)) > 1e-3]
        assert (ahead > 0).all() if d[0] < 0 else (ahead < 0).all()
        seen.add(d[0] < 0)
    assert seen == {True, False}


def test_the_ego_drives_on_a_center_line(devkit, scene):
    for t in scene.times:
        x, y, yaw = scene.ego(t)
        lane = devkit.get_closest_lane(x, y, radius=3)
        line = np.array(devkit.discretize_lanes([lane], 0.1)[lane])
        nearest = line[np.hypot(*(line[:, :2] - (x, y)).T).argmin()]
        assert np.hypot(*(nearest[:2] - (x, y))) < 0.06 and abs(np.sin(nearest[2] - yaw)) < 0.01
        assert np.cos(nearest[2] - yaw) > 0.99
        assert devkit.layers_on_point(x, y)["drivable_area"] and devkit.layers_on_point(x, y)["lane"]


def test_the_drivable_area_is_that_of_the_picture(devkit, minidrive, scene):
    """The devkit's raster of the polygons equals the map image but for a line of pixels along the edge."""
    name = tables.token(0, "map", SCENE)
    image = cv2.imread(str(minidrive / f"maps/{name}.png"), cv2.IMREAD_GRAYSCALE) > 0
    x, y, _ = scene.ego(1.0)
    mask = devkit.get_map_mask((x, y, 100, 100), 0.0, ["drivable_area"], (1000, 1000))[0] > 0
    left, low = round((x - 50) * 10), round((y - 50) * 10)
    flipped = np.flipud(image)[max(low, 0) : low + 1000, max(left, 0) : left + 1000]
    found = mask[max(-low, 0) :, max(-left, 0) :][: flipped.shape[0], : flipped.shape[1]]
    assert flipped.mean() > 0.1 and (found != flipped).mean() < 0.004
    assert (found != np.roll(flipped, 10, axis=1)).mean() > 0.01  # a meter beside it would be seen


def test_an_arc_ends_where_it_says():
    for curvature in (0.02, -0.02, 0.0):
        found = roadmap.arc((1.0, 2.0, 0.3), curvature, 3.0)
        steps = np.linspace(0, 3, 30_001)[:-1] + 5e-5
        heading = 0.3 + curvature * steps
        expected = (1 + np.cos(heading).sum() * 1e-4, 2 + np.sin(heading).sum() * 1e-4, 0.3 + 3 * curvature)
        np.testing.assert_allclose(found["end_pose"], expected, atol=1e-5)
        assert sum(found["segment_length"]) == 3.0
