"""The motion of the vehicle between two frames, as BEVFormer's deployment graph computes it."""

import math

import torch
from torch import Tensor

TINY = 1e-6  # not an addend: graph optimizers take the addition of a tiny constant for a no-op and remove it


def ego_shift(can_bus: Tensor, cell_size: tuple[float, float], bev_size: tuple[int, int]) -> Tensor:
    """Motion of the vehicle since the previous frame as a shift of the map.

    Args:
        can_bus: [B, 18]; [0:2] translation in meters in the global frame, [16] absolute yaw in radians.
        cell_size, bev_size: meters per cell and cells, each (y, x).

    Returns:
        [B, 2], (x, y) in map units (1 = the whole map). The heading is the deployment graph's: atan2, except that
        dx = 0 gives 180 degrees with the sign of dy, and that dy = 0 gives 0.
    """
    dx, dy, yaw = can_bus[:, 0], can_bus[:, 1], can_bus[:, 16]
    length = torch.sqrt(dx**2 + dy**2)
    slope = dy / torch.where(dx == 0, TINY, dx)
    heading = torch.atan(slope) + (1 - torch.sign(dx)) / 2 * torch.sign(dy) * math.pi
    angle = yaw - heading
    shift_y = length * torch.cos(angle) / cell_size[0] / bev_size[0]
    shift_x = length * torch.sin(angle) / cell_size[1] / bev_size[1]
    return torch.stack([shift_x, shift_y], -1)
