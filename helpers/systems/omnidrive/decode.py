"""The box code of OmniDrive and its inverse, and network outputs to boxes and lanes. Needs no torch."""

from typing import NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.boxes import Boxes, box_code, log_sizes, require_frame
from helpers.dataset import CLASSES
from helpers.errors import BadInput, foreign

MOST = 300  # boxes of a frame, before the range is looked at
POST_CENTER_RANGE = (-61.2, -61.2, -10.0, 61.2, 61.2, 10.0)
AREA = (-51.2, -51.2, 51.2, 51.2)  # x and y that lanes are kept within


class Lanes(NamedTuple):
    """Center lines of one frame: points [N, points, 3] in m, ego frame, and scores [N] in 0..1, best first."""

    points: np.ndarray
    scores: np.ndarray


def encode_boxes(boxes: Boxes) -> np.ndarray:
    """Box code of the network, [N,10] float32: center, log length, log width, log height, sin yaw, cos yaw, vx, vy.

    `boxes` are in the ego frame. The length, along the heading, comes first: the boxes of mmdet3d from version 1.0 on.
    """
    require_frame(boxes, "ego")
    sizes = log_sizes(boxes)[:, [1, 0, 2]]
    angles = np.sin(boxes.yaws)[:, None], np.cos(boxes.yaws)[:, None]
    return np.concatenate([boxes.centers, sizes, *angles, boxes.velocities], 1).astype(np.float32)


@typed
def decode_boxes(code: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> Boxes:
    """Inverse of `encode_boxes`: code [N,10], labels [N], scores [N] -> Boxes in the ego frame, yaw in (-pi, pi].

    Raises BadInput if the code is not [N,10].
    """
    code = box_code(code, "all_bbox_preds")
    sizes, yaws = np.exp(code[:, [4, 3, 5]]), np.arctan2(code[:, 6], code[:, 7])
    return Boxes(code[:, :3], sizes, yaws, code[:, 8:], labels, scores, "ego", CLASSES)


def decode_outputs(all_cls_scores: np.ndarray, all_bbox_preds: np.ndarray) -> Boxes:
    """Network outputs of one frame -> at most `MOST` Boxes in the ego frame, best score first.

    all_cls_scores [L,1,Q,10] raw logits, all_bbox_preds [L,1,Q,10] box codes; the last decoder level counts. The best
    (query, class) pairs by sigmoid score are taken, then those whose center leaves `POST_CENTER_RANGE` are dropped; no
    suppression and no least score, as in the public code. Raises BadInput for other shapes and for values that are not
    finite.
    """
    logits = _last("all_cls_scores", all_cls_scores, 10).ravel()
    codes = _last("all_bbox_preds", all_bbox_preds, 10)
    best = np.argsort(-logits, kind="stable")[:MOST]
    boxes = decode_boxes(codes[best // 10], best % 10, _sigmoid(logits[best]))
    low, high = np.split(np.array(POST_CENTER_RANGE), 2)
    return boxes[np.all((boxes.centers >= low) & (boxes.centers <= high), axis=1)]


@typed
def decode_lanes(logits: np.ndarray, lines: np.ndarray) -> Lanes:
    """Outputs of the map head -> Lanes: all_lane_cls_one2one [L,1,N,1], all_lane_preds_one2one [L,1,N,3 * points].

    The points lie on the line itself, in driving order; x and y are clamped to `AREA`, as in the public code. Raises
    BadInput as `decode_outputs` does.
    """
    logits = _last("all_lane_cls_one2one", logits, 1)[:, 0]
    lines = _last("all_lane_preds_one2one", lines, np.shape(lines)[-1])
    points = lines.reshape(len(logits), -1, 3)
    points[..., :2] = np.clip(points[..., :2], AREA[:2], AREA[2:])
    best = np.argsort(-logits, kind="stable")
    return Lanes(points[best], _sigmoid(logits[best]))


def _last(name, array, columns):
    """The last decoder level [N, columns] as float64; BadInput for another shape or values that are not finite."""
    with foreign(name, "numbers", "pass the network's output unchanged"):
        array = np.asarray(array, np.float64)
    if array.ndim != 4 or array.shape[1] != 1 or array.shape[3] != columns:
        expected = f"[levels,1,queries,{columns}]"
        raise BadInput(name, f"shape {array.shape}", expected, "pass the network's output unchanged")
    bad = np.count_nonzero(~np.isfinite(array[-1]))
    if bad:
        fix = "find the first bad tensor: python -m helpers divergence RIGHT.onnx YOURS.onnx"
        raise BadInput(name, f"{bad} values that are NaN or infinite", "finite values", fix)
    return array[-1, 0].astype(np.float64)


def _sigmoid(logits):
    """Without overflow."""
    return 0.5 * (1 + np.tanh(logits / 2))
