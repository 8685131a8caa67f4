"""The box code of BEVFormer and its inverse, and network outputs to boxes. Needs no torch."""

from collections.abc import Mapping

import numpy as np

from helpers.arguments import typed
from helpers.boxes import Boxes, box_code, log_sizes, require_frame, wrap
from helpers.dataset import CLASSES
from helpers.errors import BadInput

MOST = 300  # boxes of a frame, before the range is looked at
POST_CENTER_RANGE = (-61.2, -61.2, -10.0, 61.2, 61.2, 10.0)
FIND = "find the first bad tensor: python -m helpers divergence RIGHT.onnx YOURS.onnx"
CHOSEN = ("scores", "labels", "boxes", "inside")  # outputs of a graph that decodes its boxes itself


def encode_boxes(boxes: Boxes) -> np.ndarray:
    """Box code of the network, [N,10] float32: cx, cy, log w, log l, cz, log h, sin yaw, cos yaw, vx, vy.

    `boxes` are in the lidar frame. The code's yaw is the one of the LiDAR boxes of mmdet3d before version 1.0:
    clockwise from -y, so yaw_code = -yaw - pi/2 (and the same to go back).
    """
    require_frame(boxes, "lidar")
    yaws = -boxes.yaws - np.pi / 2
    logs = log_sizes(boxes)
    columns = [
        *(boxes.centers[:, :2].T),
        *(logs[:, :2].T),
        boxes.centers[:, 2],
        logs[:, 2],
        np.sin(yaws),
        np.cos(yaws),
        *(boxes.velocities.T),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


@typed
def decode_boxes(code: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> Boxes:
    """Inverse of `encode_boxes`: code [N,10], labels [N], scores [N] -> Boxes in the lidar frame, yaw in (-pi, pi].

    Raises BadInput if the code is not [N,10].
    """
    code = box_code(code, "outputs_coords")
    yaws = wrap(-np.arctan2(code[:, 6], code[:, 7]) - np.pi / 2)
    sizes = np.exp(code[:, [2, 3, 5]])
    return Boxes(code[:, [0, 1, 4]], sizes, yaws, code[:, 8:10], labels, scores, "lidar", CLASSES)


def decode_outputs(
    outputs_classes: np.ndarray,
    outputs_coords: np.ndarray,
    max_num: int = MOST,
    post_center_range: tuple[float, ...] = POST_CENTER_RANGE,
) -> Boxes:
    """Network outputs of one frame -> at most `max_num` Boxes in the lidar frame, best score first.

    outputs_classes [L,1,Q,10] raw logits, outputs_coords [L,1,Q,10] box codes with metric centers; the last decoder
    level counts. The best `max_num` (query, class) pairs by sigmoid score are taken, then those whose center leaves
    `post_center_range` (x, y, z minimum, then maximum, m) are dropped; no suppression, as in BEVFormer's NMSFreeCoder.
    Raises BadInput for other shapes and for values that are not finite.
    """
    classes, coords = np.asarray(outputs_classes), np.asarray(outputs_coords)
    for name, array in (("outputs_classes", classes), ("outputs_coords", coords)):
        if array.ndim != 4 or array.shape[1] != 1 or array.shape[3] != 10:
            raise BadInput(name, f"shape {array.shape}", "[levels,1,queries,10]", "pass the network's output unchanged")
        _check_finite(name, array[-1])
    logits = classes[-1, 0].astype(np.float64).ravel()
    best = np.argsort(-logits, kind="stable")[:max_num]
    scores = 0.5 * (1 + np.tanh(logits[best] / 2))  # sigmoid, without overflow
    boxes = decode_boxes(coords[-1, 0, best // 10], best % 10, scores)
    low, high = np.split(np.asarray(post_center_range, np.float64), 2)
    return boxes[np.all((boxes.centers >= low) & (boxes.centers <= high), axis=1)]


def decode_chosen(outputs: Mapping[str, np.ndarray]) -> Boxes:
    """What `helpers.systems.bevformer.selection` put into the graph -> the Boxes that `decode_outputs` makes.

    outputs: scores [1,M], labels [1,M], boxes [1,M,9], inside [1,M] of one frame. Raises BadInput for values that are
    not finite.
    """
    if lacking := sorted(set(CHOSEN) - outputs.keys()):
        raise BadInput("outputs", f"without {', '.join(lacking)}", f"{', '.join(CHOSEN)}", "pass the graph's outputs")
    scores, labels, boxes, inside = (outputs[name][0] for name in CHOSEN)
    if (scores < 0).any():
        raise BadInput("outputs_classes, outputs_coords", "values that are NaN or infinite", "finite values", FIND)
    for name, array in (("scores", scores), ("boxes", boxes)):
        _check_finite(name, array)
    found = Boxes(boxes[:, :3], boxes[:, 3:6], boxes[:, 6], boxes[:, 7:], labels, scores, "lidar", CLASSES)
    return found[inside]


def _check_finite(name, array):
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise BadInput(name, f"{bad} values that are NaN or infinite", "finite values", FIND)
