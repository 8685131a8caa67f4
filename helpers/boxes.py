"""3D boxes: the ten nuScenes classes, the network's box code and its inverse, frames, corners, projection.

Frames are right-handed with z up, in metres: `lidar` is the LIDAR_TOP sensor (x right, y forward), `ego` the vehicle
(x forward, y left), `global` the map. A yaw is an angle in radians about +z of the stated frame, 0 along +x.
Needs numpy only.
"""

from dataclasses import dataclass

import numpy as np

from helpers.errors import BadInput

CLASSES = (
    "car",
    "truck",
    "construction_vehicle",
    "bus",
    "trailer",
    "barrier",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "traffic_cone",
)
CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
FRAMES = ("lidar", "ego", "global")
POST_CENTER_RANGE = (-61.2, -61.2, -10.0, 61.2, 61.2, 10.0)
MIN_DEPTH = 1e-5

_COLUMNS = {"centers": 3, "sizes": 3, "yaws": None, "velocities": 2, "labels": None, "scores": None}
# Signs of (length, width, height) per corner, in the order of nuscenes-devkit.
_CORNER_SIGNS = np.array(
    [[1, 1, 1], [1, -1, 1], [1, -1, -1], [1, 1, -1], [-1, 1, 1], [-1, -1, 1], [-1, -1, -1], [-1, 1, -1]]
)


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes in one frame.

    centers [N,3] float64, m, centre of gravity; sizes [N,3] float64, m, (width, length, height), length along the
    heading; yaws [N] float64, rad; velocities [N,2] float64, m/s along the frame's x and y; labels [N] int64 into
    `CLASSES`; scores [N] float64 (1 for ground truth); frame one of `FRAMES`. `boxes[mask or indices]` selects.
    Raises BadInput for arrays of another shape or an unknown frame.
    """

    centers: np.ndarray
    sizes: np.ndarray
    yaws: np.ndarray
    velocities: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    frame: str = "lidar"

    def __post_init__(self):
        if self.frame not in FRAMES:
            raise BadInput("Boxes.frame", repr(self.frame), f"one of {FRAMES}", "name the frame the boxes are in")
        count = len(self.centers)
        for name, columns in _COLUMNS.items():
            array = np.asarray(getattr(self, name), np.int64 if name == "labels" else np.float64)
            shape = (count,) if columns is None else (count, columns)
            if count == 0 and array.size == 0:
                array = array.reshape(shape)
            if array.shape != shape:
                raise BadInput(f"Boxes.{name}", f"shape {array.shape}", f"shape {shape}", "give one row per box")
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls, frame="lidar"):
        return cls(*([[]] * len(_COLUMNS)), frame)

    def __len__(self):
        return len(self.centers)

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            index = [index]
        return Boxes(*(getattr(self, name)[index] for name in _COLUMNS), self.frame)

    @property
    def names(self):
        """Class name of each box, list[str]."""
        return [CLASSES[label] for label in self.labels]


def encode(boxes):
    """Box code of the network, [N,10] float32: cx, cy, log w, log l, cz, log h, sin yaw, cos yaw, vx, vy.

    `boxes` are in the lidar frame. The code's yaw is the one of the LiDAR boxes of mmdet3d before version 1.0:
    clockwise from -y, so yaw_code = -yaw - pi/2 (and the same to go back).
    """
    require_frame(boxes, "lidar")
    yaws = -boxes.yaws - np.pi / 2
    logs = np.log(boxes.sizes)
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


def decode(code, labels, scores):
    """Inverse of `encode`: code [N,10], labels [N], scores [N] -> Boxes in the lidar frame, yaw in (-pi, pi].

    Raises BadInput if the code is not [N,10].
    """
    code = np.asarray(code, np.float64)
    if code.ndim != 2 or code.shape[1] != 10:
        raise BadInput("box code", f"shape {code.shape}", "[N,10]", "pass one decoder level of outputs_coords")
    yaws = wrap(-np.arctan2(code[:, 6], code[:, 7]) - np.pi / 2)
    return Boxes(code[:, [0, 1, 4]], np.exp(code[:, [2, 3, 5]]), yaws, code[:, 8:10], labels, scores, "lidar")


def decode_outputs(outputs_classes, outputs_coords, max_num=300, post_center_range=POST_CENTER_RANGE):
    """Network outputs of one frame -> at most `max_num` Boxes in the lidar frame, best score first.

    outputs_classes [L,1,Q,10] raw logits, outputs_coords [L,1,Q,10] box codes with metric centres; the last decoder
    level counts. The best `max_num` (query, class) pairs by sigmoid score are taken, then those whose centre leaves
    `post_center_range` (x, y, z minimum, then maximum, m) are dropped; no suppression, as in BEVFormer's NMSFreeCoder.
    Raises BadInput for other shapes and for values that are not finite.
    """
    classes, coords = np.asarray(outputs_classes), np.asarray(outputs_coords)
    for name, array in (("outputs_classes", classes), ("outputs_coords", coords)):
        if array.ndim != 4 or array.shape[1] != 1 or array.shape[3] != 10:
            raise BadInput(name, f"shape {array.shape}", "[levels,1,queries,10]", "pass the network's output unchanged")
        bad = np.count_nonzero(~np.isfinite(array[-1]))
        if bad:
            raise BadInput(name, f"{bad} values that are NaN or infinite", "finite values", "find the first bad tensor")
    logits = classes[-1, 0].astype(np.float64).ravel()
    best = np.argsort(-logits, kind="stable")[:max_num]
    scores = 0.5 * (1 + np.tanh(logits[best] / 2))  # sigmoid, without overflow
    boxes = decode(coords[-1, 0, best // 10], best % 10, scores)
    low, high = np.split(np.asarray(post_center_range, np.float64), 2)
    return boxes[np.all((boxes.centers >= low) & (boxes.centers <= high), axis=1)]


def transform(boxes, matrix, frame):
    """Move boxes by a rigid [4,4] matrix into `frame`.

    The heading and the velocity turn as vectors in the xy plane; what a tilted frame lifts out of it is dropped.
    """
    rotation, translation = np.asarray(matrix)[:3, :3], np.asarray(matrix)[:3, 3]
    headings = np.stack([np.cos(boxes.yaws), np.sin(boxes.yaws)], axis=1) @ rotation[:2, :2].T
    return Boxes(
        boxes.centers @ rotation.T + translation,
        boxes.sizes,
        np.arctan2(headings[:, 1], headings[:, 0]),
        boxes.velocities @ rotation[:2, :2].T,
        boxes.labels,
        boxes.scores,
        frame,
    )


def corners(boxes):
    """[N,8,3] m in the boxes' frame, ordered as nuscenes-devkit does: 0-3 front, 4-7 back; 2, 3, 6, 7 at the bottom."""
    width, length, height = boxes.sizes.T
    local = _CORNER_SIGNS * np.stack([length, width, height], axis=1)[:, None] / 2
    cos, sin = np.cos(boxes.yaws)[:, None], np.sin(boxes.yaws)[:, None]
    x, y, z = np.moveaxis(local, 2, 0)
    return np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=2) + boxes.centers[:, None]


def project(points, lidar2img):
    """Lidar points [N,3] m through lidar2img [4,4] -> (uv [N,2] pixels, depth [N] m).

    A point is in front of the camera where depth > 1e-5; the depth that divides is floored there, as in BEVFormer.
    """
    points = np.asarray(points, np.float64)
    image = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ np.asarray(lidar2img, np.float64)[:3].T
    depth = image[:, 2]
    return image[:, :2] / np.maximum(depth, MIN_DEPTH)[:, None], depth


def wrap(angles):
    """Angles in radians brought into (-pi, pi]."""
    return np.pi - np.mod(np.pi - np.asarray(angles), 2 * np.pi)


def require_frame(boxes, frame):
    if boxes.frame != frame:
        raise BadInput("boxes", f"in the {boxes.frame} frame", f"in the {frame} frame", "use transform() first")
