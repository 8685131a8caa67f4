"""A configuration of FB-OCC that runs in a moment, its rig, and weights that hide nothing."""

import dataclasses

import numpy as np
import torch
from torch import nn

from helpers import models
from helpers.systems.fbocc import geometry
from helpers.systems.fbocc.config import CONFIGS

TINY = dataclasses.replace(
    CONFIGS["mini"],
    name="tiny",
    image_scale=0.08,
    image_size=(64, 128),
    image_crop=8,
    depths=(1, 1, 1, 1),
    base_channels=4,
    neck_channels=8,
    depth_channels=8,
    channels=8,
    heads=2,
    bev_size=(10, 12),
    depth_range=(2.0, 42.0, 4.0),
    voxel_channels=(4, 6, 8),
    voxel_neck=8,
    history=2,
    points=(1, 1_000, 2_000),
    intervals=(1, 300, 900),
    queries=(1, 40, 120),
)
YAWS = (55, 0, -56, 108, 180, -110)  # degrees, in FB-OCC's order of cameras


def rig(config=TINY, bda=None):
    """Six cameras around the vehicle, 1.5 m up; source pictures of 900 x 1600."""
    rotations, translations = [], []
    for yaw in np.radians(YAWS):
        ahead, right = (np.cos(yaw), np.sin(yaw), 0), (np.sin(yaw), -np.cos(yaw), 0)
        rotations.append(np.stack([right, (0, 0, -1), ahead], 1))
        translations.append((1 + 0.6 * np.cos(yaw), 0.6 * np.sin(yaw), 1.5))
    scale = np.diag([config.image_scale, config.image_scale, 1.0])
    return geometry.Cameras(
        np.array(rotations),
        np.array(translations),
        np.tile(np.array([[1266.0, 0, 800], [0, 1266.0, 450], [0, 0, 1]]), (6, 1, 1)),
        np.tile(scale, (6, 1, 1)),
        np.tile([0.0, -config.image_crop, 0.0], (6, 1)),
        np.eye(3) if bda is None else bda,
    )


def feeds(config=TINY, seed=0, first=False, motion=None):
    """The inputs of one frame of noise without the states, as arrays."""
    cameras, random = rig(config), np.random.default_rng(seed)
    seen = geometry.projection(cameras, config)
    moved = np.eye(4)
    moved[:2, 3] = 1.5, -0.3
    found = {
        "imgs": random.normal(size=config.input_shapes()["imgs"]).astype(np.float32),
        "mlp_input": geometry.mlp_input(cameras),
        **geometry.pooling(cameras, config),
        "ref_2d": geometry.map_references(*config.bev_size),
        **seen,
        **geometry.gathering(seen["per_cam_mask_list"], config),
        "start_of_sequence": np.array([first]),
        "grid": geometry.history_grid(moved if motion is None else motion, config),
        "history_seq_ids": np.array([7], np.int32),
    }
    return {name: found[name] for name in config.input_shapes() if name in found}


def states(config=TINY, seed=1):
    """A history of noise, as arrays."""
    random, shapes = np.random.default_rng(seed), config.input_shapes()
    times = np.arange(config.history, dtype=np.int32)[None]
    return {"history_bev": random.normal(size=shapes["history_bev"]).astype(np.float32), "history_sweep_time": times}


def network(config=TINY, seed=0):
    """Every weight and statistic random."""
    model, generator = models.create("fbocc", config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
        for parameter in (each for each in model.parameters() if each.requires_grad):
            one = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(one * (0.3 if parameter.dim() > 1 else 0.1) + (parameter.dim() == 1))
    return model


def tensors(arrays):
    return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
