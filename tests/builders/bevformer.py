"""BEVFormer with weights that hide nothing, and what its cameras see on a drive."""

import numpy as np
import torch
from torch import nn

from helpers.systems.bevformer.inputs import geometry


def ring_of_cameras(size, focal):
    """lidar2img [1, 6, 4, 4] of six cameras 0.3 m below and 1 m out from the sensor, at nuScenes-like headings."""
    matrices = []
    for degrees in (0, -55, 55, 180, -110, 110):
        angle = np.deg2rad(degrees)
        forward, right = np.array([-np.sin(angle), np.cos(angle), 0]), np.array([np.cos(angle), np.sin(angle), 0])
        rotation = np.stack([right, [0, 0, -1], forward])
        camera = np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])
        matrix = np.eye(4)
        matrix[:3] = camera @ np.hstack([rotation, -rotation @ (forward - [0, 0, 0.3])[:, None]])
        matrices.append(matrix)
    return np.stack(matrices)[None].astype(np.float32)


def drive(config, count):
    """Frames of noise from a car that goes 3 m and turns 2.4° per frame; the first one starts a scene."""
    rng = np.random.default_rng(0)
    for index in range(count):
        can_bus = np.zeros(18, np.float32)
        can_bus[16] = 0.7 + np.deg2rad(2.4) * index
        if index:
            can_bus[[0, 1, 17]] = 2.4, 1.8, 2.4
        yield {
            "image": rng.normal(size=config.input_shapes()["image"]).astype(np.float32),
            "use_prev_bev": np.array([float(index > 0)], np.float32),
            "can_bus": can_bus,
        } | geometry(ring_of_cameras(config.image_size, 1266 * config.image_scale), config)


def scrambled(model):
    """Random BatchNorm statistics and attention offsets, which start as the identity or as constants."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
        for name, parameter in model.named_parameters():
            if "sampling_offsets.weight" in name or "attention_weights" in name:
                parameter.normal_(0, 0.05, generator=generator)
    return model
