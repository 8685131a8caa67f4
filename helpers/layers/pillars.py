"""Pillars of a bird's-eye map: where its cells stand, of a configuration's pc_range, bev_h, bev_w, pillar_points.

NumPy only.
"""

from typing import Any

import numpy as np


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


def _linspace(first, last, count):
    """As torch.linspace computes in float32: from either end to the middle."""
    steps = np.arange(count, dtype=np.float32)
    step = (np.float32(last) - np.float32(first)) / np.float32(max(count - 1, 1))
    rising, falling = np.float32(first) + step * steps, np.float32(last) - step * steps[::-1]
    return np.where(steps < count // 2 if count > 1 else True, rising, falling)
