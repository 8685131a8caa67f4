"""From solids in front of a camera to pixels of its picture."""

import numpy as np

from .rig import WIDTH

NEAR = 0.25  # m; polygons are cut at this depth
SHIFT = 4  # binary places of a pixel's coordinates
FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))


def clip(points, focal=1266.0):
    """A polygon [k,3] in camera coordinates clipped to the near plane and a generous view cone."""
    wide = 1.5 * WIDTH / focal
    for normal, offset in (
        ((0.0, 0.0, 1.0), -NEAR),
        ((1.0, 0.0, wide), 0.0),
        ((-1.0, 0.0, wide), 0.0),
        ((0.0, 1.0, wide), 0.0),
        ((0.0, -1.0, wide), 0.0),
    ):
        value = points @ np.asarray(normal) + offset
        inside = value >= 0
        if inside.all():
            continue
        if not inside.any():
            return points[:0]
        following, value2 = np.roll(points, -1, axis=0), np.roll(value, -1)
        crossing = inside != (value2 >= 0)
        share = np.where(crossing, value / np.where(crossing, value - value2, 1.0), 0.0)
        cut = points + share[:, None] * (following - points)
        out = np.stack([points, cut], 1).reshape(-1, 3)
        points = out[np.stack([inside, crossing], 1).ravel()]
    return points


def pixels(points, intrinsic):
    """Camera coordinates [k,3] to fixed-point pixels [k,2] for OpenCV."""
    uv = points[:, :2] / points[:, 2:] * (intrinsic[0, 0], intrinsic[1, 1]) + intrinsic[:2, 2]
    return np.rint(uv * (1 << SHIFT)).astype(np.int32)


def corners(bounds):
    """All corners [S*8,3] of axis-aligned boxes [S,2,3]."""
    choose = (np.arange(8)[:, None] >> (2, 1, 0)) & 1
    return np.concatenate([b[choose, (0, 1, 2)] for b in bounds])
