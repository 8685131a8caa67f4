"""Pillars of BEVFormer's map, and their projection into the cameras on the host. NumPy only."""

from typing import Any

import numpy as np

PROJECTED = ("reference_points_cam", "bev_mask")  # the inputs that take the place of lidar2img


def pillars(config: Any) -> np.ndarray:
    """Points of the map's pillars in meters (LiDAR), float32 [bev_h*bev_w, pillar_points, 3]."""
    low, high = np.array(config.pc_range, np.float32).reshape(2, 3)
    return _shares(config) * (high - low) + low


def cells(config: Any) -> np.ndarray:
    """Centers (x, y) of the map's cells in map units (1 = the whole map), float32 [bev_h*bev_w, 2]."""
    return np.ascontiguousarray(_shares(config)[:, 0, :2])


def _shares(config):
    height = config.pc_range[5] - config.pc_range[2]
    z = _linspace(0.5, height - 0.5, config.pillar_points) / np.float32(height)
    y, x = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
            for size in (config.bev_h, config.bev_w))  # fmt: skip
    shares = np.stack(np.broadcast_arrays(x[:, None], y[:, None, None], z), -1)
    return shares.reshape(-1, config.pillar_points, 3)


def project(lidar2img: np.ndarray, points: np.ndarray, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What `helpers.ops.project_pillars` defines, to the last bit, in NumPy on one core.

    Args:
        lidar2img: float32 [B, cameras, 4, 4]. points: float32 [Q, P, 3], meters in the LiDAR frame.
        image_size: (height, width) in pixels.

    Returns:
        references float32 [B*cameras, Q, 1, 2*P] in image units; mask float32 [B, cameras, Q, 1].
    """
    from helpers.graph.functions.project_pillars import FEWEST, NEAREST_DEPTH  # onnx: shapes alone must not need it

    (batch, cameras), (count, each) = lidar2img.shape[:2], points.shape[:2]
    axes = np.ascontiguousarray(points.reshape(-1, 3).T)  # [3, Q*P]
    matrix = lidar2img.reshape(-1, 4, 4)[:, :, :, None]
    references = np.empty((batch * cameras, count * each, 2), np.float32)
    with np.errstate(all="ignore"):  # points behind a camera, and what is no number
        depth = _along(matrix[:, 2], axes)
        floored, inside = np.maximum(depth, np.float32(NEAREST_DEPTH)), depth > np.float32(NEAREST_DEPTH)
        for index, size in enumerate(image_size[::-1]):
            share = _along(matrix[:, index], axes) / floored / np.float32(size)
            inside &= (share > 0) & (share < 1)
            references[..., index] = share
        visible = inside.reshape(batch, cameras, count, each).any(-1, keepdims=True).astype(np.float32)
        mask = visible / np.maximum(visible.sum(1, keepdims=True), np.float32(FEWEST))
    return references.reshape(batch * cameras, count, 1, 2 * each), mask


def _along(row, axes):
    """[B*cameras, 4, 1] times (x, y, z, 1): [B*cameras, Q*P], summed in the definition's order."""
    return row[:, 0] * axes[0] + row[:, 1] * axes[1] + row[:, 2] * axes[2] + row[:, 3]


def _linspace(first, last, count):
    """As torch.linspace computes in float32: from either end to the middle."""
    steps = np.arange(count, dtype=np.float32)
    step = (np.float32(last) - np.float32(first)) / np.float32(max(count - 1, 1))
    rising, falling = np.float32(first) + step * steps, np.float32(last) - step * steps[::-1]
    return np.where(steps < count // 2 if count > 1 else True, rising, falling)
