"""The task of a network that does all of driving, by every measure: tracks, map, motion, occupancy, plan. No torch."""

from typing import Any

import numpy as np

from helpers.arguments import array, between
from helpers.dataset import Dataset, Frame, ground
from helpers.evaluate.tasks import Detection, Results, Task, defined, of_sample, read
from helpers.evaluate.tasks import boxes as of_kept
from helpers.metrics import detection, future_occupancy, lanes, motion, tracking
from helpers.metrics.planning import coarse, summary
from helpers.sequence import Arrays

PLANNED = 6  # half seconds


class Driving(Task):
    """Scored by `helpers.metrics`: detection, tracking, lanes, motion, future_occupancy and planning.coarse.

    What is decoded has boxes, ids, paths, plan, lanes, drivable, owner, occupied, low, high and reach, as
    `helpers.systems.uniad.decode.Driven` has them.
    """

    headlines = (
        "AMOTA", "AMOTP", "IoU-lane", "IoU/drivable", "minADE/car", "minFDE/car", "MR/car", "EPA/car", "IoU-n", "IoU-f",
        "VPQ-n", "VPQ-f", "L2/at@3s", "L2/mean@3s", "collision/at@3s", "collision/mean@3s", "NDS", "mAP",
    )  # fmt: skip
    names = (*Detection.names, "ids", "paths")

    def keep(self, frame: Frame, found: Any, dataset: Dataset) -> Arrays:
        """Boxes with ids and paths in the global frame; counts of the map and, of frames whose future is annotated, of
        the occupancy; and of those whose own future is known, what the plan is worth, else no number.
        """
        near = detection.within(found.boxes, frame)
        forecast = motion.to_global(motion.Forecast(found.boxes, found.paths), frame)
        kept = Detection().keep(frame, found.boxes, dataset) | {"ids": found.ids[near], "paths": forecast.paths}
        return kept | {
            "map": self._map(frame, found, dataset),
            "future": self._future(frame, found, dataset),
            "plan": self._plan(frame, found, dataset),
        }

    def _map(self, frame, found, dataset):
        """Cells [5, 2] of lines and road, in both and in either."""
        grid = ground.Grid(found.low, found.high, found.drivable.shape)
        return lanes.counts(found.lanes, found.drivable, *ground.lines(dataset.roadmap(frame), frame, grid))

    def _future(self, frame, found, dataset):
        """Counts [1, 2, 6], or [0, 2, 6] of a frame whose future is not all there; cells of 0.5 m, as published."""
        steps, rows, _ = found.owner.shape
        size = round(2 * found.reach / future_occupancy.CELL)
        grid = ground.Grid((-found.reach,) * 2, (found.reach,) * 2, (size, size))
        label = ground.vehicles(dataset, frame, grid, steps)
        if label is None:
            return np.zeros((0, len(future_occupancy.RANGES), len(future_occupancy.COLUMNS)))
        nearest = np.minimum((np.arange(size) + 0.5) * rows / size, rows - 1).astype(int)
        owner, occupied = (array[:, nearest][:, :, nearest] for array in (found.owner, found.occupied))
        return future_occupancy.counts(owner, label, occupied)[None]

    def _plan(self, frame, found, dataset):
        """Measures [1, 12], or [0, 12] of a frame whose own future is not known."""
        if len(frame.future_path) < PLANNED:
            return np.zeros((0, len(MEASURES)))
        path = found.plan @ frame.lidar2ego[:2, :2].T  # the way of the sensor, along the axes of the vehicle
        row = coarse.measure(path, frame, coarse.occupied(dataset, frame))
        return np.array([[row[name] for name in MEASURES]])

    def total(self, results: Results, dataset: Dataset) -> dict[str, float]:
        """All measures of all frames by name; those that nothing defines are left out."""
        kept = dict(results)
        rows = {token: {name: read(arrays, name, token) for name in self.names} for token, arrays in kept.items()}
        boxes = {token: of_kept(arrays, token) for token, arrays in kept.items()}
        tracks, forecasts = {}, {}
        for token, row in rows.items():
            with of_sample(token):
                tracks[token] = tracking.Tracks(boxes[token], row["ids"])
                forecasts[token] = motion.Forecast(boxes[token], row["paths"])
        told = {name: [_told(arrays, name, token) for token, arrays in kept.items()] for name in TOLD}
        found = detection.score(boxes, dataset)
        found |= tracking.score(tracks, dataset) | motion.score(forecasts, dataset)
        found |= lanes.rates(np.sum(told["map"], 0))
        future, plans = (np.concatenate(told[name]) for name in ("future", "plan"))
        if len(future):
            found |= future_occupancy.rates(future.sum(0))
        if len(plans):
            found |= summary([dict(zip(MEASURES, plan.tolist(), strict=True)) for plan in plans])
        return defined(found) | {"frames": len(kept)}


def _told(arrays, name, token):
    """Counts or measures of a sample; BadInput for another shape, for NaN, and for one below 0."""
    with of_sample(token):
        found = array(name, read(arrays, name, token), TOLD[name])
        between(f"the least of {name}", float(found.min(initial=0)), 0, np.inf)
    return found


MEASURES = tuple(
    f"{name}/{way}@{second}s" for name in ("L2", "collision") for second in coarse.SECONDS for way in ("at", "mean")
)
TOLD = {
    "map": (len(lanes.ROWS), 2),
    "future": (None, len(future_occupancy.RANGES), len(future_occupancy.COLUMNS)),
    "plan": (None, len(MEASURES)),
}
