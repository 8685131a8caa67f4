"""LIDAR_TOP: rays against the ground and the solids of every item, without motion distortion."""

import numpy as np

from . import geometry
from .rig import LIDAR

BEAMS, AZIMUTHS, RANGE = 32, 540, 70.0
ELEVATION = np.radians(np.linspace(-30.67, 10.67, BEAMS))


def sweep(scene, ego2global, rng):
    """One turn of the LiDAR.

    Args:
        scene: render.Scene at the time of the sweep.
        ego2global: [4,4].
        rng: generator for range noise (1.5 cm).

    Returns:
        points [n,5] float32 in the LiDAR frame (x right, y forward, z up): x, y, z in m, intensity 0..255, ring index.
    """
    lidar2global = ego2global @ LIDAR.sensor2ego
    origin = lidar2global[:3, 3]
    azimuth = -np.pi + (np.arange(AZIMUTHS) + 0.5) * 2 * np.pi / AZIMUTHS
    flat = np.stack([np.cos(azimuth), np.sin(azimuth)], -1)
    rays = np.empty((AZIMUTHS, BEAMS, 3))
    rays[..., :2] = flat[:, None] * np.cos(ELEVATION)[None, :, None]
    rays[..., 2] = np.sin(ELEVATION)
    distance = np.full((AZIMUTHS, BEAMS), np.inf)
    down = rays[..., 2] < 0
    distance[down] = -origin[2] / rays[..., 2][down]
    intensity = np.full((AZIMUTHS, BEAMS), 12.0)
    for i in _near(scene, origin):
        columns = _columns(scene, i, origin)
        hit = _hits(scene, i, origin, rays[columns])
        closer = hit < distance[columns]
        rows, beams = np.nonzero(closer)
        distance[columns[rows], beams] = hit[closer]
        intensity[columns[rows], beams] = _brightness(scene, i)
    distance += rng.normal(0.0, 0.015, distance.shape)
    keep = (distance < RANGE) & (distance > 1.0)
    points = origin + rays[keep] * distance[keep][:, None]
    local = (points - origin) @ lidar2global[:3, :3]
    ring = np.broadcast_to(np.arange(BEAMS), keep.shape)[keep]
    return np.column_stack([local, intensity[keep], ring]).astype(np.float32)


def _near(scene, origin):
    away = np.hypot(*(scene.poses[:, :2] - origin[:2]).T)
    return np.flatnonzero(away < RANGE + scene.radius)


def _columns(scene, i, origin):
    """Azimuth columns that can meet item i."""
    corners = scene.footprints[i] - origin[:2]
    crown = scene.radius[i] if scene.sizes[i, 2] > 4 and scene.sizes[i, 0] < 1 else 0.4
    center = scene.poses[i, :2] - origin[:2]
    middle = np.arctan2(center[1], center[0])
    off = (np.arctan2(corners[:, 1], corners[:, 0]) - middle + np.pi) % (2 * np.pi) - np.pi
    slack = np.arctan2(crown, max(np.hypot(*center) - crown, 0.5)) + 2 * np.pi / AZIMUTHS
    if np.ptp(off) > np.pi:
        return np.arange(AZIMUTHS)
    first, last = ((middle + v + np.pi) / (2 * np.pi) * AZIMUTHS for v in (off.min() - slack, off.max() + slack))
    return np.unique(np.arange(int(np.floor(first)), int(np.ceil(last)) + 1) % AZIMUTHS)


def _hits(scene, i, origin, rays):
    """Distance [c,b] along the rays to the nearest solid of item i, inf where there is none (slab test)."""
    turn, shift = scene.matrices[i][:3, :3], scene.matrices[i][:3, 3]
    start, direction = turn.T @ (origin - shift), rays @ turn
    bounds = scene.meshes[i].bounds
    enter, leave = np.float32(0.0), np.float32(np.inf)
    for axis in range(3):
        slope = direction[..., axis, None].astype(np.float32)
        slope = np.where(np.abs(slope) < 1e-7, np.float32(1e-7), slope)
        a, b = ((bounds[:, side, axis] - start[axis]).astype(np.float32) / slope for side in (0, 1))
        enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    return np.where((enter <= leave) & (enter > 0), enter, np.inf).min(-1)


def _brightness(scene, i):
    return float(scene.meshes[i].colors[0].mean() * 0.4 + 5.0)


def points_in_boxes(points, lidar2global, poses, sizes):
    """Number of points [n,3+] (LiDAR frame) inside each box; poses [m,3] (x, y, yaw), sizes [m,3] (w, l, h)."""
    world = points[:, :3].astype(float) @ lidar2global[:3, :3].T + lidar2global[:3, 3]
    counts = []
    for (x, y, yaw), (width, length, height) in zip(poses, sizes, strict=True):
        reach = np.hypot(width, length) / 2
        close = world[(np.abs(world[:, 0] - x) <= reach) & (np.abs(world[:, 1] - y) <= reach)]
        local = (close - (x, y, 0.0)) @ geometry.rotation_z(yaw)
        inside = (
            (np.abs(local[:, 0]) <= length / 2)
            & (np.abs(local[:, 1]) <= width / 2)
            & (local[:, 2] >= 0)
            & (local[:, 2] <= height)
        )
        counts.append(int(inside.sum()))
    return counts
