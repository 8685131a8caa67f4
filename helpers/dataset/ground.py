"""What lies and stands on the ground around the lidar, as masks of cells: lines of the road, the road, vehicles.

Rows of a mask run along y, columns along x of the lidar frame; row 0 and column 0 are at the least y and x. Needs no
torch.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from helpers.arguments import typed
from helpers.dataset.frame import Frame
from helpers.dataset.nuscenes import Dataset
from helpers.dataset.roadmap import Roadmap
from helpers.dataset.traffic import followed

FINE = 4  # parts of a cell along each axis, in which outlines are drawn
SHIFT = 4  # binary digits behind the point of what OpenCV draws


class Grid(NamedTuple):
    """A grid of cells in the lidar frame: least and greatest x and y in m, and its (rows, columns)."""

    low: tuple[float, float]
    high: tuple[float, float]
    size: tuple[int, int]

    def places(self, points: np.ndarray) -> np.ndarray:
        """Points [n,2], x and y in m, in fine pixels as OpenCV takes them, int32 [n,1,2]."""
        low, high = np.array(self.low), np.array(self.high)
        pixels = (points - low) / (high - low) * self.size[::-1] * FINE - 0.5  # of a pixel's middle
        return np.rint(np.clip(pixels, -1e6, 1e6) * (1 << SHIFT)).astype(np.int32)[:, None]

    def canvas(self) -> np.ndarray:
        """Zeros in fine pixels, uint8."""
        return np.zeros((self.size[0] * FINE, self.size[1] * FINE), np.uint8)

    def cells(self, canvas: np.ndarray) -> np.ndarray:
        """How much of every cell is drawn, from 0 to 1, [rows, columns]."""
        rows, columns = self.size
        return (canvas > 0).reshape(rows, FINE, columns, FINE).mean((1, 3))


@typed
def lines(roadmap: Roadmap, frame: Frame, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(lanes bool [3,rows,columns]: cells with a divider, the outline of a crossing, the border of a road; drivable
    bool [rows,columns]: cells of which half or more is).
    """
    masks = [grid.canvas() for _ in range(3)]
    for line in roadmap.dividers:
        cv2.polylines(masks[0], [grid.places(_near(line, frame))], False, 1, 1, cv2.LINE_8, SHIFT)
    for ring in (ring for area in roadmap.crossings for ring in area):
        cv2.polylines(masks[1], [grid.places(_near(ring, frame))], True, 1, 1, cv2.LINE_8, SHIFT)
    road = np.pad(_filled(roadmap.roads, frame, grid), 1, mode="edge")  # the grid's own border is none of a road
    masks[2] = cv2.morphologyEx(road, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    drivable = grid.cells(_filled(roadmap.drivable, frame, grid)) >= 0.5
    return np.stack([grid.cells(mask) > 0 for mask in masks]), drivable


@typed
def vehicles(dataset: Dataset, frame: Frame, grid: Grid, steps: int) -> np.ndarray | None:
    """Number of the vehicle that a cell's middle lies in, int64 [steps,rows,columns], 0 for none; now and at the next
    key frames, as `helpers.dataset.traffic.followed` numbers them. None where not all of these are there.
    """
    known = followed(dataset, frame)[:steps]
    if len(known) < steps:
        return None
    middles = np.stack(
        np.meshgrid(*(_middles(*axis) for axis in zip(grid.low, grid.high, grid.size[::-1], strict=True)))
    )
    heights = np.zeros((1, middles[0].size))
    points = np.concatenate([middles.reshape(2, -1), heights, heights + 1]).T @ frame.lidar2ego.T
    found = np.zeros((steps, points.shape[0]), np.int64)
    for owner, (boxes, numbers) in zip(found, known, strict=True):
        for (x, y, yaw, length, width), number in zip(boxes, numbers, strict=True):
            cosine, sine = np.cos(yaw), np.sin(yaw)
            ahead, aside = points[:, 0] - x, points[:, 1] - y
            inside = np.abs(cosine * ahead + sine * aside) <= length / 2
            owner[inside & (np.abs(cosine * aside - sine * ahead) <= width / 2)] = number
    return found.reshape(steps, *grid.size)


def _middles(low, high, count):
    return low + (np.arange(count) + 0.5) * (high - low) / count


def _near(points: np.ndarray, frame: Frame) -> np.ndarray:
    """Places on the ground under the vehicle, [n,2] m, global -> x and y in the lidar frame."""
    matrix = np.linalg.inv(frame.ego2global @ frame.lidar2ego)
    ground = np.insert(points, 2, frame.ego2global[2, 3], axis=1)
    return ground @ matrix[:2, :3].T + matrix[:2, 3]


def _filled(areas: Iterable[Sequence[np.ndarray]], frame: Frame, grid: Grid) -> np.ndarray:
    """Fine pixels that lie in any of these areas."""
    whole = grid.canvas()
    for outline, *holes in areas:
        area = grid.canvas()
        cv2.fillPoly(area, [grid.places(_near(outline, frame))], 1, cv2.LINE_8, SHIFT)
        for hole in holes:
            cv2.fillPoly(area, [grid.places(_near(hole, frame))], 0, cv2.LINE_8, SHIFT)
        whole |= area
    return whole
