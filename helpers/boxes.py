"""3D boxes: frames, corners, projection.

Frames are right-handed with z up, in meters: `lidar` is the LIDAR_TOP sensor (x right, y forward), `ego` the vehicle
(x forward, y left), `global` the map. A yaw is an angle in radians about +z of the stated frame, 0 along +x.
Needs numpy only.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from helpers.arguments import array, typed
from helpers.errors import BadInput, foreign

FRAMES = ("lidar", "ego", "global")
MIN_DEPTH = 1e-5

_COLUMNS = {"centers": 3, "sizes": 3, "yaws": None, "velocities": 2, "labels": None, "scores": None}
# Signs of (length, width, height) per corner, in the order of nuscenes-devkit.
_CORNER_SIGNS = np.array(
    [[1, 1, 1], [1, -1, 1], [1, -1, -1], [1, 1, -1], [-1, 1, 1], [-1, -1, 1], [-1, -1, -1], [-1, 1, -1]]
)


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes in one frame.

    centers [N,3] float64, m, center of gravity; sizes [N,3] float64, m, (width, length, height), length along the
    heading; yaws [N] float64, rad; velocities [N,2] float64, m/s along the frame's x and y; labels [N] int64 into
    `classes`; scores [N] float64 (1 for ground truth); frame one of `FRAMES`; classes the names that labels stand for,
    () where they have none. `boxes[mask or indices]` selects.
    Raises BadInput for arrays of another shape, an unknown frame, or a label beyond the classes.
    """

    centers: np.ndarray
    sizes: np.ndarray
    yaws: np.ndarray
    velocities: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    frame: str = "lidar"
    classes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.frame not in FRAMES:
            raise BadInput("Boxes.frame", repr(self.frame), f"one of {FRAMES}", "name the frame the boxes are in")
        with foreign("Boxes.centers", "numbers [N, 3]", "give one row per box"):
            count = len(self.centers)
        for name, columns in _COLUMNS.items():
            array = _numbers(f"Boxes.{name}", getattr(self, name), name == "labels")
            shape = (count,) if columns is None else (count, columns)
            if count == 0 and array.size == 0:
                array = array.reshape(shape)
            if array.shape != shape:
                raise BadInput(f"Boxes.{name}", f"shape {array.shape}", f"shape {shape}", "give one row per box")
            object.__setattr__(self, name, array)
        beyond = self.labels[(self.labels < 0) | (self.labels >= len(self.classes))]
        if self.classes and len(beyond):
            raise BadInput(
                "Boxes.labels", beyond[0], f"0 to {len(self.classes) - 1}", "pass the class set of the labels"
            )

    @classmethod
    def empty(cls, frame: str = "lidar", classes: tuple[str, ...] = ()) -> "Boxes":
        """No boxes in that frame."""
        none, pairs, triples = np.zeros(0), np.zeros((0, 2)), np.zeros((0, 3))
        return cls(triples, triples, none, pairs, none, none, frame, classes)

    def __len__(self) -> int:
        return len(self.centers)

    def __getitem__(self, index: Any) -> "Boxes":
        if isinstance(index, (int, np.integer)):
            index = [index]
        return replace(self, **{name: getattr(self, name)[index] for name in _COLUMNS})

    @property
    def names(self) -> list[str]:
        """Class name of each box; BadInput where the labels have no names."""
        if len(self) and not self.classes:
            raise BadInput("Boxes.classes", "none", "a name for every label", "pass classes=... where boxes are made")
        return [self.classes[label] for label in self.labels]


@typed
def transform(boxes: Boxes, matrix: np.ndarray, frame: str) -> Boxes:
    """Move boxes by a rigid [4,4] matrix into `frame`.

    The heading and the velocity turn as vectors in the xy plane; what a tilted frame lifts out of it is dropped.
    """
    matrix = array("matrix", matrix, (4, 4))
    rotation, translation = matrix[:3, :3], matrix[:3, 3]
    headings = np.stack([np.cos(boxes.yaws), np.sin(boxes.yaws)], axis=1) @ rotation[:2, :2].T
    return replace(
        boxes,
        centers=boxes.centers @ rotation.T + translation,
        yaws=np.arctan2(headings[:, 1], headings[:, 0]),
        velocities=boxes.velocities @ rotation[:2, :2].T,
        frame=frame,
    )


@typed
def corners(boxes: Boxes) -> np.ndarray:
    """[N,8,3] m in the boxes' frame, ordered as nuscenes-devkit does: 0-3 front, 4-7 back; 2, 3, 6, 7 at the bottom."""
    width, length, height = boxes.sizes.T
    local = _CORNER_SIGNS * np.stack([length, width, height], axis=1)[:, None] / 2
    cos, sin = np.cos(boxes.yaws)[:, None], np.sin(boxes.yaws)[:, None]
    x, y, z = np.moveaxis(local, 2, 0)
    return np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=2) + boxes.centers[:, None]


@typed
def project(points: np.ndarray, lidar2img: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lidar points [N,3] m through lidar2img [4,4] -> (uv [N,2] pixels, depth [N] m).

    A point is in front of the camera where depth > 1e-5; the depth that divides is floored there, as in BEVFormer.
    """
    points, matrix = array("points", points, (None, 3)), array("lidar2img", lidar2img, (4, 4))
    image = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.astype(np.float64)[:3].T
    depth = image[:, 2]
    return image[:, :2] / np.maximum(depth, MIN_DEPTH)[:, None], depth


@typed
def in_picture(points: np.ndarray, lidar2img: np.ndarray, width: int, height: int) -> np.ndarray:
    """Whether a picture of width x height pixels holds lidar points [N,3] m: bool [N], by lidar2img [4,4]."""
    pixels, depth = project(points, lidar2img)
    return (depth > 0) & ((pixels >= 0) & (pixels < (width, height))).all(axis=1)


@typed
def wrap(angles: np.ndarray) -> np.ndarray:
    """Angles in radians brought into (-pi, pi]."""
    return np.pi - np.mod(np.pi - np.asarray(angles), 2 * np.pi)


def require_frame(boxes: Boxes, frame: str) -> None:
    """BadInput unless the boxes are in `frame`."""
    if boxes.frame != frame:
        raise BadInput("boxes", f"in the {boxes.frame} frame", f"in the {frame} frame", "use transform() first")


@typed
def log_sizes(boxes: Boxes) -> np.ndarray:
    """Natural logarithms [N,3] of the sizes; raises BadInput for one that is not above 0."""
    if not (boxes.sizes > 0).all():
        least = boxes.sizes.min()
        raise BadInput("Boxes.sizes", least, "lengths above 0", "leave out boxes without a size")
    return np.log(boxes.sizes)


def box_code(code: Any, output: str) -> np.ndarray:
    """A network's code of boxes, [N,10], as float64; BadInput for anything else, which names the `output` to pass."""
    with foreign("box code", "numbers [N,10]", "pass one decoder level of the outputs"):
        code = np.asarray(code, np.float64)
    if code.ndim != 2 or code.shape[1] != 10:
        raise BadInput("box code", f"shape {code.shape}", "[N,10]", f"pass one decoder level of {output}")
    return code


def _numbers(where, values, whole):
    """As float64, or int64 if they are to be `whole`."""
    expected, fix = "whole numbers" if whole else "numbers", "give one row per box"
    with foreign(where, expected, fix):
        found = np.asarray(values)
    if found.dtype.kind not in "biuf" or (whole and not np.array_equal(found, np.floor(found))):
        raise BadInput(where, f"{found.dtype} {list(found.shape)}", expected, fix)
    return found.astype(np.int64 if whole else np.float64)
