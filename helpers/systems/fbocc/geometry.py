"""The geometry that FB-OCC takes as inputs, computed on the host from the poses of the cameras. NumPy only.

Frames: key ego (x forward, y left, z up, meters) and camera (x right, y down, z forward). `bda` turns and mirrors the
volume against the ego frame; it is the identity outside of training.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from helpers.arguments import array, typed
from helpers.errors import BadInput, check_config
from helpers.systems.fbocc.cameras import RIGID, Cameras, check_rotations

NEAREST = 1e-5  # m; what is nearer does not count as in front of a camera
BORDER = 1e-5  # of the picture's width and height


@typed
def mlp_input(cameras: Cameras) -> np.ndarray:
    """What the depth network is told about each camera, float32 [1,N,27]."""
    k, rotation, translation = cameras.intrinsics, cameras.post_rotations, cameras.post_translations
    columns = [k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]]
    for row in range(2):
        columns += [rotation[:, row, 0], rotation[:, row, 1], translation[:, row]]
    columns += [np.full(len(k), cameras.bda[i]) for i in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2))]
    pose = np.concatenate([cameras.rotations, cameras.translations[:, :, None]], 2).reshape(len(k), 12)
    return np.concatenate([np.stack(columns, 1), pose], 1).astype(np.float32)[None]


@typed
def pooling(cameras: Cameras, config: Any) -> dict[str, np.ndarray]:
    """Which depth bin of which pixel falls into which voxel; all int32.

    Returns:
        ranks_depth, ranks_feat, ranks_bev [P]: flat index into (camera, depth bin, v, u), into (camera, v, u), and into
        the volume (z, y, x), sorted by voxel and within a voxel by ranks_depth. interval_starts, interval_lengths [I]:
        the run of each voxel that has points.
    """
    check_config(config, "feature_size", "volume", "depth_bins")
    index, kept = _voxels(cameras, config)
    ranks_depth = np.flatnonzero(kept).astype(np.int32)
    order = _stable_order(index[ranks_depth])
    ranks_depth = ranks_depth[order]
    ranks_bev = index[ranks_depth]
    begins = np.ones(len(ranks_bev), bool)
    begins[1:] = ranks_bev[1:] != ranks_bev[:-1]
    starts = np.flatnonzero(begins).astype(np.int32)
    return {
        "ranks_depth": ranks_depth,
        "ranks_feat": _pixels(len(cameras.intrinsics), config.depth_bins, *config.feature_size)[ranks_depth],
        "ranks_bev": ranks_bev,
        "interval_starts": starts,
        "interval_lengths": np.diff(starts, append=len(ranks_bev)).astype(np.int32),
    }


def _voxels(cameras, config):
    """Voxel of every point of the frustums and whether it has one, flat over (camera, depth bin, v, u).

    Indices are cut towards zero, as the public code does: what lies up to one voxel below a lower bound stays in.
    """
    (height, width), size = config.feature_size, np.array(config.volume[::-1])
    pixels = np.stack(np.meshgrid(np.linspace(0, config.image_size[1] - 1, width),
                                  np.linspace(0, config.image_size[0] - 1, height)), -1).reshape(-1, 2)  # fmt: skip
    source = (pixels - cameras.post_translations[:, None, :2]) @ _transposed(
        np.linalg.inv(cameras.post_rotations[:, :2, :2])
    )
    source = np.concatenate([source, np.ones((*source.shape[:2], 1))], 2)
    turn = cameras.bda @ cameras.rotations @ np.linalg.inv(cameras.intrinsics)
    scale = 1 / config.voxel_size
    rays = np.moveaxis(source @ _transposed(turn) * scale, 2, 0).astype(np.float32)  # [3,N,H*W], voxels per meter
    start = (cameras.translations @ cameras.bda.T - np.array(config.pc_range[:3])) * scale
    low, high, step = config.depth_range
    depth = np.arange(low, high, step, dtype=np.float32)[:, None]
    index, kept = np.zeros(1, np.int32), np.ones(1, bool)
    for axis in (2, 1, 0):
        position = rays[axis][:, None] * depth
        position += start[:, axis, None, None].astype(np.float32)
        inside = (position > -1) & (position < size[axis])
        with np.errstate(invalid="ignore"):
            cell = position.astype(np.int32)
        index, kept = index * np.int32(size[axis]) + cell, kept & inside
    return index.ravel(), kept.ravel()


@lru_cache(maxsize=8)
def _pixels(cameras, bins, height, width):
    """Flat index into (camera, v, u) of every entry of (camera, depth bin, v, u), int32."""
    pixels = np.arange(cameras * height * width, dtype=np.int32).reshape(cameras, 1, height * width)
    return np.repeat(pixels, bins, 1).ravel()


def _stable_order(keys):
    """np.argsort(keys, kind="stable") of non-negative int32: by their halves, which NumPy sorts by radix."""
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    return order[np.argsort((keys[order] >> 16).astype(np.uint16), kind="stable")]


def _transposed(matrices):
    return np.swapaxes(matrices, -1, -2)


@typed
def projection(cameras: Cameras, config: Any) -> dict[str, np.ndarray]:
    """Where the anchors of every cell of the map stand in every picture.

    Returns:
        reference_points_cam float32 [N,1,Q,A,2], (u, v) in 0..1 of the network's picture; bev_query_depth float32
        [N,1,Q,A,1] in m; per_cam_mask_list bool [N,1,Q,A], whether the anchor is in front of the camera and inside.
    """
    check_config(config, "pillar_points", "bev_size", "pc_range")
    centers = _centers(config)
    turn = cameras.intrinsics @ _transposed(cameras.rotations)
    shift = -(turn @ cameras.translations[:, :, None])[:, :, 0]
    turn = turn @ np.linalg.inv(cameras.bda)
    x, y, z = (turn[:, :, axis, None] * centers[axis] for axis in range(3))  # [N,3,cells of the axis]
    start = (z + shift[:, :, None])[:, :, None, None]
    u, v, depth = np.moveaxis(((y[:, :, :, None, None] + start) + x[:, :, None, :, None]).astype(np.float32), 1, 0)
    near = 1 / np.maximum(depth, np.float32(NEAREST))
    u, v = u * near, v * near
    out = np.empty((*u.shape, 2), np.float32)
    mask = depth > NEAREST
    post, (height, width) = cameras.post_rotations, config.image_size
    for axis, extent in enumerate((width, height)):
        a, b, c = (_per_camera(column / extent) for column in (post[:, axis, 0], post[:, axis, 1],
                                                               cameras.post_translations[:, axis]))  # fmt: skip
        place = u * a + c if axis == 0 else v * b + c
        other = b if axis == 0 else a
        if other.any():
            place += (v if axis == 0 else u) * other
        out[..., axis] = place
        mask &= (place > BORDER) & (place < 1 - BORDER)
    count, anchors = len(turn), config.pillar_points
    return {
        "bev_query_depth": depth.reshape(count, 1, -1, anchors, 1),
        "reference_points_cam": out.reshape(count, 1, -1, anchors, 2),
        "per_cam_mask_list": mask.reshape(count, 1, -1, anchors),
    }


def _per_camera(column):
    return column.astype(np.float32)[:, None, None, None]


def _centers(config):
    """Centers of the cells along x and y, and of the anchors along z, in m."""
    low, high = np.array(config.pc_range[:3]), np.array(config.pc_range[3:])
    counts = (config.bev_size[1], config.bev_size[0], config.pillar_points)
    return [a + (np.arange(n) + 0.5) * (b - a) / n for a, b, n in zip(low, high, counts, strict=True)]


@typed
def gathering(mask: np.ndarray, config: Any) -> dict[str, np.ndarray]:
    """Which cells of the map each camera is asked for, and the empty buffers that the graph gathers them into.

    Args:
        mask: per_cam_mask_list, bool [N,1,Q,A].
    Returns:
        indexes int64 [1,N,M], ascending, then zeros; M is the largest number of cells that a camera sees, at least 1.
        queries_rebatch [1,N,M,C], reference_points_rebatch [1,N,M,A,2], bev_query_depth_rebatch [1,N,M,A,1]: zeros.
    """
    check_config(config, "pillar_points", "channels", "bev_size")
    mask = array("mask", mask, (None, 1, config.bev_size[0] * config.bev_size[1], config.pillar_points), "truth")
    if not len(mask):
        raise BadInput("mask", "no camera", "at least one", "pass per_cam_mask_list of `projection`")
    seen = mask[:, 0].any(-1)
    counts, anchors = seen.sum(1), config.pillar_points
    most = max(int(counts.max()), 1)
    indexes = np.zeros((1, len(seen), most), np.int64)
    indexes[0][np.arange(most) < counts[:, None]] = np.nonzero(seen)[1]
    shapes = {
        "queries_rebatch": (config.channels,),
        "reference_points_rebatch": (anchors, 2),
        "bev_query_depth_rebatch": (anchors, 1),
    }
    return {"indexes": indexes} | {
        name: np.zeros((1, len(seen), most, *shape), np.float32) for name, shape in shapes.items()
    }


@lru_cache(maxsize=8)
def map_references(rows: int, columns: int) -> np.ndarray:
    """Centers (x, y) of the map's cells in 0..1, float32 [1,Q,1,2], row by row."""
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    return np.stack([x, y], -1).reshape(1, -1, 1, 2).astype(np.float32)


@typed
def history_grid(
    motion: np.ndarray, config: Any, bda: np.ndarray | None = None, history_bda: np.ndarray | None = None
) -> np.ndarray:
    """Where every voxel was in the volume of the frame before, float32 [1,Y,X,Z,3]: x, y, z in -1..1 over the centers.

    Args:
        motion: [4,4], this frame's ego to that of the frame before.
        bda, history_bda: [3,3], augmentation of the volume now and then.
    """
    check_config(config, "voxel_size", "volume", "pc_range")
    motion = array("motion", motion, (4, 4))
    check_rotations("motion", motion[:3, :3])
    if not np.allclose(motion[3], (0, 0, 0, 1), atol=RIGID):
        raise BadInput("motion", f"last row {motion[3].tolist()}", "0, 0, 0, 1", "pass a motion of points as columns")
    for name, turn in (("bda", bda), ("history_bda", history_bda)):
        if turn is not None and np.linalg.matrix_rank(array(name, turn, (3, 3))) < 3:
            raise BadInput(name, "a singular matrix", "a turn of the volume", "leave it out")
    low, size = np.array(config.pc_range[:3]), np.array(config.volume[::-1])
    to_meters = _homogeneous(np.diag(config.voxel_size), low)
    flow = np.linalg.inv(to_meters) @ _homogeneous(history_bda) @ motion @ np.linalg.inv(_homogeneous(bda)) @ to_meters
    flow = flow[:3] / (size[:, None] - 1) * 2
    flow[:, 3] -= 1
    x, y, z = (np.arange(count)[:, None] * flow[:, axis] for axis, count in enumerate(size))
    grid = (y[:, None, None] + x[None, :, None]) + (z + flow[:, 3])
    return grid.astype(np.float32)[None]


def _homogeneous(turn=None, shift=None):
    matrix = np.eye(4)
    if turn is not None:
        matrix[:3, :3] = turn
    if shift is not None:
        matrix[:3, 3] = shift
    return matrix
