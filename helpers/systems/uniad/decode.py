"""Outputs of UniAD to tracks, map, futures and occupancy, and the box code and its inverse. Needs no torch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from helpers.arguments import between, typed
from helpers.boxes import Boxes, log_sizes, require_frame, wrap
from helpers.dataset import CLASSES
from helpers.errors import BadInput

UNCHANGED, LARGEST_LOG = "pass the network's output unchanged", 1e-3  # which is 0 but for rounding
LEAST_SCORE, MOST_OVERLAP, ON = 0.1, 0.4, 0.5  # of a lane that is painted, of a mask with what is, of a cell

Outputs = Mapping[str, np.ndarray]


class Tracked(NamedTuple):
    """Tracks of one frame, best first: boxes in the lidar frame, ids [N] int64, rows [N] of the outputs, theirs."""

    boxes: Boxes
    ids: np.ndarray
    rows: np.ndarray


class Roads(NamedTuple):
    """Map of one frame: lanes bool [kinds, H, W] (dividers, crossings, borders), instance int64 [H, W] of the lane that
    was painted there, from 1 on, drivable bool [H, W].
    """  # fmt: skip

    lanes: np.ndarray
    instance: np.ndarray
    drivable: np.ndarray


class Driven(NamedTuple):
    """All of one frame, in the lidar frame, m: boxes, ids [N] int64, paths [N, modes, T, 2], where each may be at the
    next half seconds, and chances [N, modes] of each path; plan [6, 2] of the vehicle, from the sensor on; lanes and
    drivable of `Roads`; owner int64 [T, h, w] and occupied bool [T, h, w] of cells now and later. Masks lie between low
    and high (x, y), cells of owner between -reach and reach.
    """

    boxes: Boxes
    ids: np.ndarray
    paths: np.ndarray
    chances: np.ndarray
    plan: np.ndarray
    lanes: np.ndarray
    drivable: np.ndarray
    owner: np.ndarray
    occupied: np.ndarray
    low: tuple[float, float]
    high: tuple[float, float]
    reach: float


@typed
def decode(outputs: Outputs, config: Any) -> Driven:
    """All that one frame says. Raises BadInput for other shapes and for values that are not finite."""
    tracked, roads = decode_tracks(outputs), decode_roads(outputs, config.map_classes)
    paths, chances = decode_futures(outputs)
    plan = _read(outputs, "outs_planning", (1, config.plan_steps, 2))[0]
    occupied = _read(outputs, "seg_out", (1, None, 1, None, None))[0, :, 0] > 0
    owner = decode_occupancy(outputs)
    if occupied.shape != owner.shape:
        found, expected = f"times and cells {occupied.shape}", f"those of ins_seg_out, {owner.shape}"
        raise BadInput("seg_out", found, expected, UNCHANGED)
    low, high = config.pc_range[:2], config.pc_range[3:5]
    return Driven(tracked.boxes, tracked.ids, paths[tracked.rows], chances[tracked.rows], plan, roads.lanes,
                  roads.drivable, owner, occupied, low, high, config.occupancy_range)  # fmt: skip


@typed
def encode_boxes(boxes: Boxes) -> np.ndarray:
    """Box code of the network, [N,10] float32: x, y, log w, log l, z, log h, sin yaw, cos yaw, vx, vy.

    `boxes` are in the lidar frame. z is that of the bottom, and the yaw clockwise from -y: boxes of mmdet3d before 1.0.
    """
    require_frame(boxes, "lidar")
    yaws, logs = -boxes.yaws - np.pi / 2, log_sizes(boxes)
    (x, y, z), height = boxes.centers.T, boxes.sizes[:, 2]
    columns = [x, y, *logs[:, :2].T, z - height / 2, logs[:, 2], np.sin(yaws), np.cos(yaws), *boxes.velocities.T]
    return np.stack(columns, axis=1).astype(np.float32)


@typed
def decode_tracks(outputs: Outputs) -> Tracked:
    """The tracks that one frame hands on. Raises BadInput for other shapes and for values that are not finite."""
    found = _read(outputs, "bboxes_dict_bboxes", (None, 9))
    ids, labels = (_whole(outputs, name, (len(found),)) for name in ("obj_idxes", "bboxes_dict_labels"))
    scores = _read(outputs, "bboxes_dict_scores", (len(found),))
    rows = np.flatnonzero(ids >= 0)
    x, y, z, width, length, height, yaw, *velocity = found[rows].T
    boxes = Boxes(
        np.stack([x, y, z + height / 2], 1), np.stack([width, length, height], 1), wrap(-yaw - np.pi / 2),
        np.stack(velocity, 1), labels[rows], scores[rows], "lidar", CLASSES,
    )  # fmt: skip
    return Tracked(boxes, ids[rows], rows)


@typed
def decode_roads(outputs: Outputs, kinds: int = 3) -> Roads:
    """Masks of the map head, painted one after the other, the surest first.

    How sure a lane is: its score times the square of what its mask has on average where it is on. One that is less than
    0.1, or that overlaps with what is painted by more than 0.4 of its area, is left out.
    """
    between("kinds", kinds, 1, 1000)
    masks = _read(outputs, "lane_masks", (None, None, None))
    road = _read(outputs, "drivable_mask", (1, *masks.shape[1:]))[0] > ON
    scores = _read(outputs, "lane_scores", (len(masks),))
    classes = _whole(outputs, "lane_classes", (len(masks),), 0, kinds - 1)
    on = masks > ON
    sure = scores * ((masks * on).sum((1, 2)) / (on.sum((1, 2)) + 1)) ** 2
    lanes, instance = np.zeros((kinds, *masks.shape[1:]), bool), np.zeros(masks.shape[1:], np.int64)
    painted, number = np.zeros(masks.shape[1:], bool), 0
    for index in np.argsort(-sure, kind="stable"):
        area, free = on[index].sum(), on[index] & ~painted
        if sure[index] < LEAST_SCORE or not area or (area - free.sum()) / area > MOST_OVERLAP:
            continue
        lanes[classes[index]][free] = True
        number += 1
        instance[free] = number
        painted |= free & (classes[index] > 0)  # of the public code: what is painted of class 0 hinders nothing
    return Roads(lanes, instance, road)


@typed
def decode_futures(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Where the objects of `decode_tracks`, and last the vehicle, will be, of every row of the outputs.

    Returns (paths [A + 1, modes, T, 2] m in the lidar frame, half a second apart; probabilities [A + 1, modes]). The
    vehicle's path is counted from the sensor on.
    """
    paths = _read(outputs, "traj_preds", (None, None, None, 5))[..., :2]
    centers = _read(outputs, "bboxes_dict_bboxes", (len(paths) - 1, 9))[:, :2]
    starts, logs = np.concatenate([centers, np.zeros((1, 2))]), _read(outputs, "traj_log_scores", paths.shape[:2])
    if (logs > LARGEST_LOG).any():
        raise BadInput("traj_log_scores", logs.max(), "logarithms of probabilities, up to 0", UNCHANGED)
    return paths + starts[:, None, None], np.exp(logs)


@typed
def decode_occupancy(outputs: Outputs) -> np.ndarray:
    """Which vehicle occupies a cell, int64 [T, H, W], 0 where none does, numbered from 1 on without gaps."""
    owner = _whole(outputs, "ins_seg_out", (1, None, None, None), 0)
    if not owner.size:
        raise BadInput("ins_seg_out", f"shape {owner.shape}", "[1,T,H,W], none of them 0", UNCHANGED)
    found, numbers = np.unique(owner[0], return_inverse=True)
    return numbers.reshape(owner.shape[1:]) + (found[0] != 0)


def _read(outputs, name, shape):
    """An output as float64; BadInput for another shape, in which None is any, and for values that are not finite."""
    if name not in outputs:
        raise BadInput("outputs", f"{', '.join(map(str, outputs)) or 'none'}", f"an output {name}", UNCHANGED)
    array = np.asarray(outputs[name])
    if array.dtype.kind not in "iufb":
        raise BadInput(name, array.dtype, "numbers", UNCHANGED)
    if array.ndim != len(shape) or any(want not in (None, size) for want, size in zip(shape, array.shape, strict=True)):
        expected = "[" + ",".join("any" if size is None else str(size) for size in shape) + "]"
        raise BadInput(name, f"shape {array.shape}", expected, UNCHANGED)
    if bad := np.count_nonzero(~np.isfinite(array)):
        fix = "find the first bad tensor: python -m helpers divergence RIGHT.onnx YOURS.onnx"
        raise BadInput(name, f"{bad} values that are NaN or infinite", "finite values", fix)
    return array.astype(np.float64)


def _whole(outputs, name, shape, least=-(2**53), most=2**53):
    """An output as int64, raises as `_read`, and for what is no whole number or not from `least` to `most`."""
    array = _read(outputs, name, shape)
    if wrong := array[(array != np.floor(array)) | (array < least) | (array > most)].tolist():
        raise BadInput(name, wrong[0], f"whole numbers from {least} to {most}", UNCHANGED)
    return array.astype(np.int64)
