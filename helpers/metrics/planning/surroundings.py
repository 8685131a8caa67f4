"""What a path can run into: rasters of vehicles and of the road, 100 m x 100 m around the vehicle, cells of 0.1 m.

Cell [i, j] has its middle at y = -49.95 + 0.1 i, x = -49.95 + 0.1 j in m of ego. The body is a box before
the rear axle. For collisions it turns about the axle with the way of each step of 1 m or more, and stands straight at
shorter ones; for the road boundary it turns about its own middle with the way of every step: so the published
evaluation does it, and numbers compare only if all do it alike.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from helpers.dataset import Dataset, Frame
from helpers.dataset.traffic import vehicles

REACH, CELL, CELLS = 50.0, 0.1, 1000  # m from the vehicle to each side, m, cells to a side
LENGTH, WIDTH, AHEAD = 4.084, 1.85, 0.5 + 0.985793  # m: the body, and its middle before the rear axle
OUTLINE = (4.08, 1.85)  # m: the body where it is held against the road
STEP = 1.0  # m of a step from which on it gives the body a direction


@dataclass(frozen=True, eq=False)
class Surroundings:
    """occupied: bool [6,1000,1000], cells of vehicles at the next six half seconds. road: bool [1000,1000]."""

    occupied: np.ndarray
    road: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, frame: Frame) -> "Surroundings":
        """What surrounds a frame; raises as `Dataset.roadmap`."""
        later = vehicles(dataset, frame)[1:]
        occupied = np.stack([raster([corners(*box) for box in boxes]) for boxes in later])
        return cls(occupied, _road(dataset.roadmap(frame).drivable, frame.ego2global))

    def collisions(self, path: np.ndarray) -> np.ndarray:
        """Whether the body meets a vehicle at each step of a path [6,2] in m: bool [6]."""
        steps = np.diff(path, axis=0, prepend=np.zeros((1, 2)))
        turns = np.where(np.hypot(*steps.T) < STEP, 0.0, np.arctan2(steps[:, 1], steps[:, 0]))
        return np.array([self._meets(*step) for step in zip(self.occupied, path, turns, strict=True)])

    def off_road(self, path: np.ndarray) -> tuple[np.ndarray, bool]:
        """Whether the body is beside the road at each step of a path [6,2], bool [6], and whether it is so now."""
        steps = np.diff(path, axis=0, prepend=np.zeros((1, 2)))
        turns = np.arctan2(steps[:, 1], steps[:, 0])
        boxes = [(AHEAD, 0.0, 0.0), *((x + AHEAD, y, turn) for (x, y), turn in zip(path, turns, strict=True))]
        found = [bool((raster([corners(*box, *OUTLINE)]) & ~self.road).any()) for box in boxes]
        return np.array(found[1:]), found[0]

    @staticmethod
    def _meets(occupied, place, turn):
        c, s = np.cos(turn), np.sin(turn)
        body = np.rint(BODY @ np.array([[c, s], [-s, c]]) + (CELLS - 1) / 2)
        cells = np.clip((place / CELL + body).astype(np.int32), 0, CELLS - 1)
        return bool(occupied[cells[:, 1], cells[:, 0]].any())


def corners(x: float, y: float, yaw: float, length: float, width: float) -> np.ndarray:
    """Corners [4,2] in m of a box whose middle, heading and size are given."""
    along, across = np.array((1, -1, -1, 1)) * length / 2, np.array((1, 1, -1, -1)) * width / 2
    c, s = np.cos(yaw), np.sin(yaw)
    return np.stack([x + c * along - s * across, y + s * along + c * across], -1)


def raster(rings: list[np.ndarray]) -> np.ndarray:
    """Cells, bool [1000,1000], that polygons [n,2] in m of ego touch."""
    mask = np.zeros((CELLS, CELLS), np.uint8)
    for ring in rings:
        cv2.fillPoly(mask, [_cells(ring)], 1)
    return mask > 0


def _cells(ring):
    return np.rint(np.clip((ring + REACH) / CELL, -1e6, 1e6)).astype(np.int32)


def _road(areas, ego2global):
    global2ego, mask = np.linalg.inv(ego2global), np.zeros((CELLS, CELLS), bool)
    for outline, *holes in areas:
        rings = [ring @ global2ego[:2, :2].T + global2ego[:2, 3] for ring in (outline, *holes)]
        area = np.zeros((CELLS, CELLS), np.uint8)
        cv2.fillPoly(area, [_cells(rings[0])], 1)
        for hole in rings[1:]:
            cv2.fillPoly(area, [_cells(hole)], 0)
        mask |= area > 0
    return mask


def _body():
    """Cells [n,2] (x, y) of the body against the rear axle, those whose middles lie in the box."""
    low = (np.array([AHEAD - LENGTH / 2, -WIDTH / 2]) + REACH) / CELL - 0.5
    high = (np.array([AHEAD + LENGTH / 2, WIDTH / 2]) + REACH) / CELL - 0.5
    x, y = (np.arange(np.ceil(low[k]), np.floor(high[k]) + 1) for k in (0, 1))
    return np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2) - (CELLS - 1) / 2


BODY = _body()
