"""A configuration of OmniDrive that runs in a moment, weights that hide nothing, and a drive of noise."""

import dataclasses
import zlib

import numpy as np
import torch

from helpers import models
from helpers.sequence import Step
from helpers.systems.omnidrive.config import CONFIGS

SIZES = {
    "image_scale": 0.04,
    "image_size": (64, 64),
    "image_crop": (32, 64),
    "width": 32,
    "depth": 2,
    "heads": 2,
    "global_blocks": (1,),
    "window": 3,
    "decoder_layers": 2,
    "ffn_dims": 64,
    "propagated": 8,
}
TINY = dataclasses.replace(
    CONFIGS["published"], name="tiny", **SIZES, extra=6, tokens=24, learned=20, lanes=(12, 9), depths=16
)
FIXED = ("pc_range", "coords_d", "position_range", "code_weights", "match_costs")
YAWS = (0, -56, 56, 180, 108, -110)  # degrees, in the order of cameras
DRIVE = ((0.0, True), (0.5, False), (1.0, False), (4.0, False), (4.5, False), (5.0, True), (5.5, False))


def network(config=TINY):
    """Every weight random, by its name: the same on every machine."""
    model = models.create("omnidrive", config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rpartition(".")[2] not in FIXED:
                parameter.copy_(torch.from_numpy(_weight(name, parameter.shape)))
    return model


def _weight(name, shape):
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if "reference_points.weight" in name:
        return random.uniform(size=shape)
    if len(shape) > 1:
        return random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    return name.endswith("weight") + 0.1 * random.normal(size=shape)


def pose(seconds):
    """Where the vehicle is, float64 [4, 4]: on a curve, some 20 m from the map's origin."""
    yaw, matrix = 0.1 * seconds, np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    matrix[:3, 3] = 20 + 3 * seconds, seconds - 10, 0.5
    return matrix


def rig(config=TINY):
    """From pixels of six cameras around the vehicle to its frame, float64 [6, 4, 4]."""
    found, size = [], config.image_size[0]
    for yaw in np.radians(YAWS):
        ahead, right = (np.cos(yaw), np.sin(yaw), 0), (np.sin(yaw), -np.cos(yaw), 0)
        camera = np.eye(4)
        camera[:3, :3] = np.stack([right, (0, 0, -1), ahead], 1)
        camera[:3, 3] = 1 + 0.6 * np.cos(yaw), 0.6 * np.sin(yaw), 1.5
        pinhole = np.eye(4)
        pinhole[:2, :3] = (0.8 * size, 0, size / 2), (0, 1.6 * size, 0.44 * size)
        found.append(camera @ np.linalg.inv(pinhole))
    return np.stack(found)


def feeds(seconds=0.0, first=False, seed=0, config=TINY, place=None):
    """The inputs of one frame of noise without the states, as arrays; `place` [4, 4] moves the map."""
    random, at = np.random.RandomState(seed), pose(seconds) if place is None else place @ pose(seconds)
    found = {
        "img": random.normal(size=config.input_shapes()["img"]),
        "img2lidars": rig(config)[None],
        "command": [float(seed % 3)],
        "can_bus": random.normal(size=(1, 13)),
        "is_first_frame": [first],
        "ego_pose": at[None],
        "timestamp": [seconds],
        "ego_pose_inv": np.linalg.inv(at)[None],
    }
    return {name: np.asarray(array, np.float32) for name, array in found.items()}


def drive(times=DRIVE, **options):
    """Steps of (seconds, whether a scene begins)."""
    return [Step(feeds(at, first, seed, **options), first) for seed, (at, first) in enumerate(times)]
