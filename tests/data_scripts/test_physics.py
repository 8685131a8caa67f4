"""What MiniDrive says of its world holds in that world: visibility, occlusion, maps, accelerations."""

import cv2
import numpy as np
import pytest

from data_scripts.minidrive import canbus, geometry, produce, render, rig, tables

NAME, FRAMES, SEED = "scene-0103", 4, 0


@pytest.fixture(scope="module")
def world():
    return produce.world_of(NAME, FRAMES, SEED)


@pytest.mark.parametrize(
    ("share", "token"),
    [(0, "1"), (0.39, "1"), (0.4, "2"), (0.59, "2"), (0.6, "3"), (0.79, "3"), (0.8, "4"), (1.0, "4")],
)
def test_visibility_has_the_limits_of_nuscenes(share, token):
    assert tables.visibility_token(share) == token


def test_the_lateral_acceleration_turns_the_vehicle(world):
    times = np.linspace(0.1, world.duration - 0.1, 400)
    x, y, yaw = np.array([world.ego(t) for t in times]).T
    yaw = np.unwrap(yaw)
    speed = np.hypot(np.gradient(x, times), np.gradient(y, times))
    lateral = np.array([canbus.state(world, t)["accel"][1] for t in times])
    turned = np.mean(lateral / speed) * (
        times[-1] - times[0]
    )  # an acceleration across the path of v times the yaw rate
    assert abs(turned) > 0.01 and turned == pytest.approx(yaw[-1] - yaw[0], rel=0.1, abs=0.005)


def test_what_is_near_hides_what_is_behind(world):
    t, some_hidden = float(world.times[1]), False
    scene = render.Scene(world, t)
    for camera in rig.CAMERAS:
        _, areas = render.render(scene, camera, geometry.pose_matrix(*world.ego(t)))
        assert all(0 <= visible <= whole for visible, whole in areas.values())
        some_hidden |= any(visible < whole for visible, whole in areas.values())
        eye = np.array(world.ego(t)[:2])
        seen = [i for i, (_, whole) in areas.items() if whole]
        if seen:
            nearest = min(seen, key=lambda i: np.linalg.norm(scene.matrices[i][:2, 3] - eye))
            visible, whole = areas[nearest]
            assert visible > 0.9 * whole, camera.channel
    assert some_hidden


def test_the_map_has_north_up(world, tmp_path):
    produce.prepare(tmp_path)
    produce.surroundings(tmp_path, NAME, FRAMES, SEED)
    (path,) = (tmp_path / "maps").glob("*.png")
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    columns, rows = np.array([np.array(world.ego(t)[:2]) / produce.MAP_RESOLUTION for t in world.times]).astype(int).T
    assert (mask[len(mask) - 1 - rows, columns] == 255).all()
    assert (mask == 0).any() and (mask != mask[::-1]).any()
    inside = np.zeros_like(mask)
    for polygon in world.streets.drivable():
        cv2.fillPoly(inside, [np.rint(polygon[:, :2] / produce.MAP_RESOLUTION).astype(np.int32)], 255)
    assert np.mean(inside[::-1] == mask) > 0.99  # row 0 of the picture is the northern edge
