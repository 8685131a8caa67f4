"""Sky with sun and clouds, distant hills, and haze."""

import cv2
import numpy as np

from .rig import HEIGHT, WIDTH

_GRID = (90, 160)


def haze(light):
    """Color BGR that far objects fade to."""
    return tuple(0.55 * h + 0.25 * z + 18 for h, z in zip(light.horizon, light.zenith, strict=True))


def _directions(cam2world, intrinsic):
    """World directions [h,w,3] of a coarse grid of pixels."""
    v, u = np.meshgrid(
        (np.arange(_GRID[0]) + 0.5) * HEIGHT / _GRID[0], (np.arange(_GRID[1]) + 0.5) * WIDTH / _GRID[1], indexing="ij"
    )
    rays = np.stack(
        [(u - intrinsic[0, 2]) / intrinsic[0, 0], (v - intrinsic[1, 2]) / intrinsic[1, 1], np.ones_like(u)], -1
    )
    rays = rays @ cam2world.T
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def sky(light, cam2world, intrinsic, world):
    """Image [900,1600,3] uint8 of the sky down to the horizon; below it the color is that of the hills."""
    rays = _directions(cam2world, intrinsic)
    up = np.clip(rays[..., 2], 0.0, 1.0)
    azimuth = np.arctan2(rays[..., 1], rays[..., 0])
    share = (np.clip(up / 0.45, 0, 1) ** 0.65)[..., None]
    color = np.asarray(light.horizon) * (1 - share) + np.asarray(light.zenith) * share
    phase = float(world.start + world.cruise * 7.0)
    drift = np.stack([rays[..., 0], rays[..., 1]], -1) / (up[..., None] + 0.12)
    cloud = np.zeros(up.shape)
    for k, (a, b) in enumerate(((1.1, 0.4), (-0.7, 1.7), (2.3, -1.2), (3.1, 2.6), (-4.9, 3.7))):
        cloud += np.sin(a * drift[..., 0] + b * drift[..., 1] + phase * (k + 1)) / (1 + 0.5 * k)
    cover = (np.clip(cloud - 1.4 + 1.6 * light.clouds, 0, 1) * np.clip(up * 14, 0, 1) * 0.6)[..., None]
    bright = np.asarray(light.horizon) * 0.45 + np.array((135.0, 135.0, 135.0)) * (0.5 if light.name == "dusk" else 1.0)
    color = color * (1 - cover) + bright * cover
    toward = np.clip(rays @ np.asarray(light.sun), 0, 1)[..., None]
    if light.name != "overcast":
        glow = np.array((120.0, 200.0, 255.0)) if light.name == "dusk" else np.array((235.0, 245.0, 255.0))
        color = color + (glow - color) * (0.45 * toward**24 + 0.5 * toward**300)
    ridge = (
        0.022
        + 0.010 * np.sin(azimuth * 3 + phase)
        + 0.006 * np.sin(azimuth * 11 + 2 * phase)
        + 0.003 * np.sin(azimuth * 37)
    )
    hills = np.array((108.0, 112.0, 92.0)) * np.asarray(light.ambient) * 0.75 + np.asarray(haze(light)) * 0.4
    wooded = np.clip((ridge - rays[..., 2]) / 0.004, 0, 1)[..., None]
    color = color * (1 - wooded) + hills * wooded
    return cv2.resize(np.clip(color, 0, 255).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def ground_haze(image, cam2world, intrinsic, color, length):
    """Fade the ground near the horizon to the haze, row by row (the cameras stand almost level)."""
    pitch = cam2world[2, 2]
    horizon = intrinsic[1, 2] + intrinsic[1, 1] * pitch
    top = max(0, int(horizon) - 8)
    rows = np.arange(top, min(HEIGHT, top + 110))
    distance = cam2world[2, 3] * intrinsic[1, 1] / np.maximum(rows + 0.5 - horizon, 0.5)
    weight = (1 - np.exp(-np.maximum(distance - 10, 0) / length))[:, None, None]
    weight[rows < horizon] = 0.0
    part = image[rows[0] : rows[-1] + 1]
    part[:] = (part * (1 - weight) + color * weight).astype(np.uint8)
