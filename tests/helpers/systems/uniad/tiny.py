"""Configurations of UniAD that run in a moment, weights that hide nothing, and a drive of noise."""

import dataclasses
import math
import zlib

import numpy as np
import torch

from helpers import models
from helpers.sequence import Step
from helpers.systems.uniad.config import CONFIGS
from helpers.systems.uniad.network import UniAD

SIZES = {
    "image_scale": 0.06,
    "image_size": (64, 96),
    "depths": (3, 4, 6, 3),
    "base_channels": 4,
    "embed_dims": 32,
    "ffn_dims": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_query": 40,
    "carried": 50,
    "map_queries": 20,
    "map_layers": 2,
    "map_masks": 15,
    "things_layers": 2,
    "stuff_layers": 2,
    "occupancy_ffn": 40,
    "patience": 3,
}
LARGE = dataclasses.replace(
    CONFIGS["base"], name="large", bev_h=16, bev_w=16, occupancy_cell=6.25, rotate_center=(8.0, 8.0), **SIZES
)
SMALL = dataclasses.replace(CONFIGS["tiny"], name="small", bev_h=10, bev_w=10, rotate_center=(5.0, 5.0), **SIZES)
SHORT = dataclasses.replace(  # one layer of each kind, for the export, which takes a second for a layer
    SMALL,
    name="short",
    depths=(1,),
    picked=(0,),
    image_size=(32, 48),
    image_scale=0.03,
    encoder_layers=1,
    decoder_layers=1,
    map_layers=1,
    things_layers=1,
    stuff_layers=1,
    motion_layers=1,
    occupancy_steps=2,
)
SHIFTS = {  # what keeps scores about the thresholds, and grids neither empty nor full
    "pts_bbox_head.cls_branches.1.6.bias": -1.95,
    "occ_head.query_to_occ_feat.layers.2.bias": -0.03,
    "occ_head.dense_decoder.layers.1.conv.5.bias": 1.5,
    "mask_head.attnen.linear.0.bias": 0.3,
}


class Tracked(UniAD):
    """UniAD whose heads behind the tracks say next to nothing: half of an export's time, and all that is carried."""

    def ahead(self, bev, position, agents, objects, command):
        shapes = list(self.config.output_shapes().items())
        shapes = dict(shapes[[name for name, _ in shapes].index("lane_masks") :])
        *_, ids = objects
        rows = torch.arange(len(ids), dtype=torch.int32)
        cells = torch.arange(math.prod(shapes["ins_seg_out"])) % len(ids)
        owner = torch.where(ids >= 0, rows + 1, 0)[cells].view(shapes["ins_seg_out"])
        ends = agents.center[:, None, None].expand(*shapes["traj_preds"][:-1], 2)
        paths = torch.cat([ends, ends.abs(), ends[..., :1]], -1)
        said = {"traj_preds": paths, "traj_log_scores": paths[:, :, 0, 1], "ins_seg_out": owner}
        told = bev.mean() + command + position.mean()
        whole = ("lane_classes", "seg_out")
        found = {name: told.expand(shape).to(torch.int32 if name in whole else told.dtype)
                 for name, shape in shapes.items()}  # fmt: skip
        return tuple((found | said).values())


YAWS = (0, -55, 55, 180, 110, -110)  # degrees from straight ahead, in the order of cameras


def network(config=LARGE):
    """Every weight random, by its name: the same on every machine."""
    model = models.create("uniad", config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dtype.is_floating_point and "code_weights" not in name:
                tensor.copy_(torch.from_numpy(_weight(name, tensor.shape)))
    random = np.random.RandomState(7)
    model.motion_head.set_anchors(random.normal(size=(4, 6, 12, 2)).cumsum(2) * 2)
    return model


def _weight(name, shape):
    random = np.random.RandomState(zlib.crc32(name.encode()))
    for part, shift in SHIFTS.items():
        if part in name:
            return shift + 0.1 * random.normal(size=shape)
    if name.endswith("running_var"):
        return random.uniform(0.5, 2, size=shape)
    if len(shape) > 1:
        return (
            random.normal(size=shape) / np.sqrt(np.prod(shape[1:])) * (1 if "embed" not in name else np.sqrt(shape[1]))
        )
    return name.endswith("weight") + 0.1 * random.normal(size=shape)


def pose(seconds):
    """(R, t) of x_map = x @ R + t: on a curve, some 20 m from the map's origin; float64 [3, 3] and [3]."""
    yaw = 0.1 * seconds
    rotation = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return rotation, np.array([20 + 3 * seconds, seconds - 10, 0.5])


def rig(size):
    """lidar2img [6, 4, 4] of six cameras around the vehicle, pictures of `size` (H, W)."""
    height, width = size
    focal = width / 1.27
    pinhole = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    found = []
    for yaw in np.radians(YAWS):
        ahead, right = (-np.sin(yaw), np.cos(yaw), 0), (np.cos(yaw), np.sin(yaw), 0)
        camera = np.eye(4)
        camera[:3, :3] = [right, (0, 0, -1), ahead]
        camera[:3, 3] = -camera[:3, :3] @ (0.5 * np.array(ahead) + (0, 0, -0.3))
        found.append(pinhole @ camera)
    return np.stack(found)


def feeds(frame, config=LARGE, seed=4):
    """The inputs of frame number `frame` of a scene, of noise, without the states."""
    random, seconds = np.random.RandomState(100 * seed + frame), 0.5 * frame
    rotation, translation = pose(seconds)
    can_bus, shape = random.normal(size=18), config.input_shapes()["img"]
    can_bus[3:16] *= 0.3
    can_bus[:3] = translation - pose(seconds - 0.5)[1] if frame else 0
    can_bus[16], can_bus[17] = 0.1 * seconds + 1.2, 2.9 if frame else 0
    found = {
        "timestamp": [seconds],
        "l2g_r_mat": rotation[None],
        "l2g_t": translation[None],
        "img": np.random.RandomState(2 * seed + frame % 2).normal(size=shape) + 0.5 * random.normal(size=shape),
        "img_metas_can_bus": can_bus,
        "img_metas_lidar2img": rig(config.image_size)[None],
        "command": [frame % 3],
        "use_prev_bev": [frame > 0],
    }
    types = config.input_types()
    return {name: np.asarray(array, types[name]) for name, array in found.items()}


def drive(frames=4, config=LARGE, seed=4):
    """Steps of one scene."""
    return [Step(feeds(frame, config, seed), frame == 0) for frame in range(frames)]
