"""OmniDrive without torch: a frame to inputs, and its pictures and matrices as the public pipeline has them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.boxes import project
from helpers.dataset import open_dataset, stream
from helpers.errors import BadInput
from helpers.systems.omnidrive.config import CONFIGS
from helpers.systems.omnidrive.inputs import fitted, inputs, preprocess, vehicle_to_picture

MINI, PUBLISHED = CONFIGS["mini"], CONFIGS["published"]


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


@pytest.mark.parametrize("config", [PUBLISHED, MINI], ids=lambda config: config.name)
def test_a_picture_is_scaled_in_bytes_cropped_and_stretched(config, dataset):
    """By hand: Pillow's bicubic filter, the lower part, OpenCV's bilinear stretch to twice the height, in float32."""
    picture = dataset[0].images()[2]
    height, width = config.image_crop
    small = Image.fromarray(picture).resize((width, height * 9 // 8), Image.Resampling.BICUBIC)
    lower = np.asarray(small)[-height:].astype(np.float32)
    expected = cv2.resize(lower, (width, 2 * height), interpolation=cv2.INTER_LINEAR)
    found = fitted(picture, config)
    assert np.array_equal(found, expected) and found.shape == (*config.image_size, 3) and found.dtype == np.float32
    if config is MINI:
        normalized = preprocess(dataset[0], config)[0, 2].transpose(1, 2, 0)
        by_hand = (expected.astype(np.float64) - config.image_mean) / config.image_std
        assert np.abs(normalized - by_hand).max() < 1e-5


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(BadInput, match=r"(?s)uint8 \[480, 640, 3\].*uint8 \[900, 1600, 3\]"):
        fitted(np.zeros((480, 640, 3), np.uint8), MINI)


def test_points_fall_on_the_pixels_of_the_stretched_picture(dataset):
    """A box's center in the vehicle's frame, through the matrix, against the source's pixel, scaled, cut, stretched."""
    frame, config = dataset[0], PUBLISHED
    mounted = np.linalg.inv(frame.camera_ego2global) @ frame.ego2global  # from now to each camera's own time
    lidar2cam = frame.lidar2cam @ np.linalg.inv(frame.lidar2ego) @ np.linalg.inv(mounted) @ frame.lidar2ego
    pads = np.tile(np.eye(4), (6, 1, 1))
    pads[:, :3, :3] = frame.intrinsics
    centers, matrices = frame.boxes.centers, vehicle_to_picture(frame, config)
    ego = centers @ frame.lidar2ego[:3, :3].T + frame.lidar2ego[:3, 3]
    seen = 0
    for camera in range(6):
        pixels, depth = project(centers, pads[camera] @ lidar2cam[camera])
        ours, depths = project(ego, matrices[camera])
        ahead = depth > 1
        expected = (pixels * 0.4 - (0, 40)) * (1, 2)
        np.testing.assert_allclose(ours[ahead], expected[ahead], atol=1e-6)
        np.testing.assert_allclose(depths[ahead], depth[ahead])
        seen += ahead.sum()
    assert seen


def test_inputs_are_those_of_the_configuration(dataset):
    steps = list(stream(dataset[:3], MINI))
    shapes, states = MINI.input_shapes(), MINI.states
    for step, frame in zip(steps, dataset[:3], strict=True):
        assert {name: array.shape for name, array in step.feeds.items()} | {n: shapes[n] for n in states} == shapes
        assert {array.dtype for array in step.feeds.values()} == {np.dtype(np.float32)}
        product = step.feeds["ego_pose"][0].astype(np.float64) @ step.feeds["ego_pose_inv"][0]
        assert np.abs(product - np.eye(4)).max() < 1e-3
        back = step.feeds["img2lidars"][0].astype(np.float64) @ vehicle_to_picture(frame, MINI)
        assert np.abs(back - np.eye(4)).max() < 1e-3
        assert step.feeds["command"] == frame.command and np.allclose(step.feeds["can_bus"], frame.can_bus_pose)
    assert [step.feeds["is_first_frame"][0] for step in steps] == [1, 0, 0]


def test_time_counts_from_the_beginning_of_the_sequence(minidrive):
    """Also where frames are asked for one by one; a sequence may begin anywhere, and another scene is another one."""
    dataset = open_dataset(minidrive)
    frames, times = dataset[:4], [(frame.timestamp - dataset[0].timestamp) / 1e6 for frame in dataset[:4]]

    def told(frame, before):
        return inputs(frame, before, MINI)["timestamp"][0]

    assert [told(frames[0], None), *(told(frames[k], frames[k - 1]) for k in (1, 2, 3))] == pytest.approx(times)
    assert told(dataset[4], frames[3]) == 0 and dataset[4].scene != frames[3].scene
    fresh = open_dataset(minidrive)[:4]
    step = times[3] - times[2]
    assert told(fresh[3], fresh[2]) == pytest.approx(step, abs=1e-6)  # nothing is known of before
    assert told(fresh[2], None) == 0
