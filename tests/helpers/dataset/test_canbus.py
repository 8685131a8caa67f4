"""The 13 values of the CAN bus, the command, the location, and where vehicles will be, by hand and by the devkit."""

import dataclasses

import numpy as np
import pytest
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from helpers.boxes import wrap
from helpers.dataset import open_dataset, traffic
from helpers.dataset.canbus import pose_vector


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


def message(utime):
    values = {name: [utime + k / 8] * 3 for k, name in enumerate(("accel", "pos", "rotation_rate", "vel"))}
    return values | {"utime": utime, "orientation": [utime, 0.0, 0.0, 1.0]}


@pytest.mark.parametrize(
    ("timestamp", "before", "after"),
    [(5, 10, 10), (10, 10, 20), (15, 10, 20), (20, 20, 30), (30, 30, 30), (9e9, 30, 30)],
)
def test_orientation_is_of_the_message_before_and_motion_of_the_one_after(timestamp, before, after):
    expected = [before, 0, 0, 1, *[after] * 3, *[after + 0.25] * 3, *[after + 0.375] * 3]
    np.testing.assert_array_equal(pose_vector([message(10), message(20), message(30)], timestamp), expected)


def test_thirteen_values_of_a_frame(dataset):
    frame = dataset[2]
    values = frame.can_bus_pose
    assert values.shape == (13,) and values.dtype == np.float64
    turned = Quaternion(values[:4]).rotation_matrix - frame.ego2global[:3, :3]
    assert np.abs(turned).max() < 0.02 and (values[4:] == frame.can_bus[7:16]).all()
    assert not pose_vector([], 0).any() and pose_vector([], 0).shape == (13,)


@pytest.mark.parametrize(
    ("path", "command"),
    [
        (np.zeros((0, 2)), 2),
        ([(5, 3.0), (9, 1.9)], 2),
        ([(5, 0.0), (9, 2.0)], 0),
        ([(5, 0.0), (9, -2.0)], 1),
        ([(5, 0.0), (9, -1.9)], 2),
    ],
)
def test_the_command_is_told_by_where_the_known_path_ends(dataset, path, command):
    assert dataclasses.replace(dataset[0], future_path=np.array(path, np.float64)).command == command


def test_the_location_is_the_logs(dataset):
    assert {frame.location for frame in dataset} == {"minidrive"}


def test_vehicles_now_and_later_agree_with_the_devkit(dataset):
    frame = dataset[1]
    found = traffic.vehicles(dataset, frame)
    assert len(found) == 7 and [len(boxes) for boxes in found[3:]] == [0] * 4  # the scene has two more key frames
    followed = traffic.followed(dataset, frame)
    assert len(followed) == 3 and all(np.array_equal(a, b) for (a, _), b in zip(followed, found[:3], strict=True))
    nusc, names = dataset.nusc, {}
    now = [nusc.get("sample_annotation", token) for token in nusc.get("sample", frame.token)["anns"]]
    known = {row["instance_token"] for row in now if row["category_name"].startswith("vehicle.")}
    for step, boxes in enumerate(found[:3]):
        sample = nusc.get("sample", dataset[1 + step].token)
        rows = [nusc.get("sample_annotation", token) for token in sample["anns"]]
        rows = [row for row in rows if row["instance_token"] in known]
        assert len(rows) == len(boxes) > 5
        for row, number in zip(rows, followed[step][1], strict=True):
            assert names.setdefault(number, row["instance_token"]) == row["instance_token"]
        for row, (x, y, yaw, length, width) in zip(rows, boxes, strict=True):
            box = Box(row["translation"], row["size"], Quaternion(row["rotation"]))
            box.translate(-frame.ego2global[:3, 3])
            box.rotate(Quaternion(matrix=frame.ego2global[:3, :3]).inverse)
            np.testing.assert_allclose((x, y), box.center[:2], atol=1e-6)
            np.testing.assert_allclose((width, length), box.wlh[:2])
            np.testing.assert_allclose(wrap(yaw - box.orientation.yaw_pitch_roll[0]), 0, atol=1e-6)
