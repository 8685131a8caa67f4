"""Planned paths as UniAD's evaluation holds them against others: cells of 0.5 m, a body that never turns.

L2 and collisions are told in both conventions: "at" a time alone (UniAD), and the mean over the steps up to it (ST-P3).
A step at which the driver's own path meets a vehicle counts as none. The body is 4.084 m x 1.85 m, its middle 0.5 m
before the lidar. Source: UniAD (arXiv:2212.10156), evaluation of planning. No torch.
"""

import cv2
import numpy as np

from helpers.arguments import array, typed
from helpers.dataset import Dataset, Frame
from helpers.dataset.questions import POINTS
from helpers.dataset.traffic import vehicles
from helpers.errors import BadInput
from helpers.metrics.planning.surroundings import AHEAD, LENGTH, REACH, WIDTH, corners

CELL, CELLS = 0.5, 200  # m, cells to a side
LIDAR, MIDDLE = AHEAD - 0.5, 0.5  # m: the lidar before the rear axle, and the body's middle before the lidar
SECONDS = (1, 2, 3)


@typed
def occupied(dataset: Dataset, frame: Frame) -> np.ndarray:
    """Cells of vehicles at the next six half seconds, bool [6, 200, 200], around the place of the lidar now.

    Cell [i, j] has its middle -49.75 + 0.5 i before the lidar and -49.75 + 0.5 j to its right, in m along the axes of
    ego. The vehicles are those of `helpers.dataset.traffic`.
    """
    return np.stack([_raster([corners(*box) for box in boxes]) for boxes in vehicles(dataset, frame)[1:]])


def _raster(rings):
    mask = np.zeros((CELLS, CELLS), np.uint8)
    for ring in rings:
        cells = (_from_lidar(ring - (LIDAR, 0.0)) + REACH) / CELL
        cv2.fillPoly(mask, [np.rint(np.clip(cells, -1e6, 1e6)).astype(np.int32)[:, ::-1]], 1)  # OpenCV: column, row
    return mask > 0


def _from_lidar(points):
    """Points [..., 2], x forward and y left, as forward and right."""
    return points * (1.0, -1.0)


@typed
def collisions(path: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Whether the body meets an occupied cell at each step of a path [6, 2] in m of ego: bool [6].

    cells: bool [6, 200, 200] of `occupied`. Raises BadInput for other shapes, or a path that is not finite.
    """
    path = array("path", path, (POINTS, 2))
    cells = np.asarray(cells)
    if cells.dtype != bool or cells.shape != (POINTS, CELLS, CELLS):
        found = f"{cells.dtype} {list(cells.shape)}"
        raise BadInput("cells", found, f"bool [{POINTS}, {CELLS}, {CELLS}]", "pass occupied(dataset, frame)")
    body = np.clip(_from_lidar(path)[:, None] / CELL, -1e6, 1e6) + BODY
    rows, columns = np.moveaxis(np.clip(body.astype(np.int32), 0, CELLS - 1), -1, 0)
    return cells[np.arange(POINTS)[:, None], rows, columns].any(axis=1)


@typed
def measure(path: np.ndarray, frame: Frame, cells: np.ndarray) -> dict[str, float]:
    """What one path [6, 2] is worth: `L2/at@Ks`, `L2/mean@Ks` in m, `collision/at@Ks`, `collision/mean@Ks`, K 1 to 3.

    `helpers.metrics.planning.summary` makes means over frames of it.

    Raises:
        BadInput: as `collisions`, or a frame whose future is not known.
    """
    if len(frame.future_path) != POINTS:
        found = f"{len(frame.future_path)} key frames after this one"
        raise BadInput(f"frame {frame.token}", found, f"{POINTS}", "score the frames whose future is known")
    distance = np.hypot(*(array("path", path, (POINTS, 2)) - frame.future_path).T)
    hit = collisions(path, cells) & ~collisions(frame.future_path, cells)
    row = {}
    for name, values in (("L2", distance), ("collision", hit.astype(np.float64))):
        for second in SECONDS:
            row[f"{name}/at@{second}s"] = float(values[2 * second - 1])
            row[f"{name}/mean@{second}s"] = float(values[: 2 * second].mean())
    return row


def _body():
    """Cells [n, 2] of the body where it is now: those whose middles lie in the box."""
    x = np.arange(CELLS) * CELL - REACH + CELL / 2
    ahead = np.flatnonzero(np.abs(x - MIDDLE) <= LENGTH / 2)
    aside = np.flatnonzero(np.abs(x) <= WIDTH / 2)
    return np.stack(np.meshgrid(ahead, aside, indexing="ij"), -1).reshape(-1, 2)


BODY = _body()
