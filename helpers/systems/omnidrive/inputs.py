"""A frame to the inputs of OmniDrive. Needs no torch."""

from typing import Any

import cv2
import numpy as np
from PIL import Image

from helpers.arguments import typed
from helpers.dataset import Frame, seconds_of_sequence
from helpers.dataset.frame import earlier
from helpers.dataset.images import in_threads
from helpers.errors import BadInput, check_config

SOURCE = (900, 1600)  # (height, width) of the cameras' pictures


@typed
def inputs(frame: Frame, previous: Frame | None, config: Any) -> dict[str, np.ndarray]:
    """Network inputs of one frame, float32, all but the states.

    Args:
        frame: `helpers.dataset.Frame`.
        previous: the frame before, or None; a frame of another scene counts as None.

    Returns:
        As `Config.input_shapes` has them. `timestamp` counts seconds from the first frame of the sequence, which is
        told on from frame to frame: of a frame whose `previous` was never an argument itself, from that one.
    """
    check_config(config, "image_scale", "image_size")
    return {"img": preprocess(frame, config)} | surroundings(frame, previous, config)


@typed
def surroundings(frame: Frame, previous: Frame | None, config: Any) -> dict[str, np.ndarray]:
    """What `inputs` gives besides the pictures."""
    check_config(config, "image_scale", "image_size")
    before = earlier(frame, previous)
    pose = frame.ego2global
    found = {
        "img2lidars": np.linalg.inv(vehicle_to_picture(frame, config))[None],
        "command": [frame.command],
        "can_bus": frame.can_bus_pose[None],
        "is_first_frame": [before is None],
        "ego_pose": pose[None],
        "timestamp": [seconds_of_sequence(frame, before)],
        "ego_pose_inv": np.linalg.inv(pose)[None],
    }
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}


def vehicle_to_picture(frame: Frame, config: Any) -> np.ndarray:
    """From the vehicle's frame at the LIDAR_TOP time stamp into each stretched picture, (u d, v d, d, 1), [6, 4, 4].

    As in the public code a camera stands where it is mounted: what the vehicle drives between the time stamps of the
    lidar and of the camera is left out.
    """
    lidar2global = frame.ego2global @ frame.lidar2ego
    mounted = np.linalg.inv(frame.camera_ego2global) @ lidar2global @ np.linalg.inv(frame.lidar2cam)
    pads = np.tile(np.eye(4), (len(mounted), 1, 1))
    pads[:, :3, :3] = frame.intrinsics
    return _stretching(config) @ pads @ np.linalg.inv(mounted)


def _stretching(config):
    """[4, 4] from pixels of a picture of 900 x 1600, times their depth, to those of the network's."""
    scale, (height, width) = config.image_scale, config.image_crop
    left, top = _corner(config)
    matrix = np.diag([scale, scale, 1.0, 1.0])
    matrix[:2, 2] = -left, -top
    tall, wide = config.image_size
    return np.diag([wide / width, tall / height, 1.0, 1.0]) @ matrix


def _scaled(config):
    """(height, width) of a picture after the first resize."""
    return int(SOURCE[0] * config.image_scale), int(SOURCE[1] * config.image_scale)


def _corner(config):
    """(left, top) of what is cut out: in the middle, at the bottom."""
    height, width = _scaled(config)
    return max(0, width - config.image_crop[1]) // 2, height - config.image_crop[0]


@typed
def preprocess(frame: Frame, config: Any) -> np.ndarray:
    """The pictures scaled by Pillow's bicubic filter, cropped, stretched bilinearly, normalized: float32 [1,6,3,H,W].

    Raises BadInput for pictures of another size than 900 x 1600.
    """
    mean = np.array(config.image_mean, np.float32)
    factor = (1 / np.array(config.image_std, np.float64)).astype(np.float32)

    def prepare(picture):
        return ((fitted(picture, config) - mean) * factor).transpose(2, 0, 1)

    return np.stack(in_threads(prepare, frame.images()))[None]


@typed
def fitted(picture: np.ndarray, config: Any) -> np.ndarray:
    """uint8 [900, 1600, 3] -> float32 [H, W, 3], values 0..255: rounded to bytes once, after the first resize."""
    small = np.asarray(cropped(picture, config), np.float32)
    return cv2.resize(small, config.image_size[::-1], interpolation=cv2.INTER_LINEAR)


def cropped(picture: np.ndarray, config: Any) -> np.ndarray:
    """uint8 [900, 1600, 3] -> uint8 [*image_crop, 3]: what is stretched afterwards."""
    if picture.dtype != np.uint8 or picture.shape != (*SOURCE, 3):
        found, expected = f"{picture.dtype} {list(picture.shape)}", f"uint8 [{SOURCE[0]}, {SOURCE[1]}, 3] in RGB"
        raise BadInput("picture", found, expected, "take the cameras' own pictures, or resize them to it")
    small = Image.fromarray(picture).resize(_scaled(config)[::-1], Image.Resampling.BICUBIC)
    left, top = _corner(config)
    return np.asarray(small.crop((left, top, left + config.image_crop[1], top + config.image_crop[0])))
