"""Boxes with identities, and nuScenes' file of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.eval.common.config import config_factory

from helpers.arguments import array, typed
from helpers.boxes import Boxes
from helpers.dataset import Frame
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic
from helpers.metrics import detection

CONFIG = "tracking_nips_2019"


@typed
@dataclass(frozen=True, eq=False)
class Tracks:
    """Boxes and the identity of each, int64 [N], which an object keeps throughout a scene.

    Raises BadInput for ids of another number or kind, or an id twice.
    """

    boxes: Boxes
    ids: np.ndarray

    def __post_init__(self):
        ids = np.asarray(self.ids) if len(self.ids) else np.zeros(0, np.int64)
        ids = array("Tracks.ids", ids, (len(self.boxes),), "whole")
        if ids.size and ids.max() > np.iinfo(np.int64).max:
            raise BadInput("Tracks.ids", ids.max(), "ids below 2^63", "give every object a smaller id")
        values, times = np.unique(ids, return_counts=True)
        if (times > 1).any():
            found = f"id {values[times > 1][0]} on {times.max()} boxes"
            raise BadInput("Tracks.ids", found, "each id once in a frame", "give every box an id of its own")
        object.__setattr__(self, "ids", ids.astype(np.int64))


@typed
def to_global(tracks: Tracks, frame: Frame) -> Tracks:
    """Lidar or ego Tracks of `frame` -> global ones, without those beyond their class's range of detection."""
    near = detection.within(tracks.boxes, frame)
    return Tracks(detection.to_global(tracks.boxes, frame), tracks.ids[near])


def submission(results: Mapping[str, Tracks]) -> dict[str, Any]:
    """Global Tracks per sample token -> dict in the nuScenes tracking result format (camera only), ready for json.

    Boxes of classes that are not tracked (barriers, cones, construction vehicles) are left out.
    """
    for token, tracks in results.items():
        if not isinstance(tracks, Tracks):
            raise BadInput(f"results[{token}]", type(tracks).__name__, "helpers.metrics.tracking.Tracks", "give ids")
    names = config_factory(CONFIG).tracking_names
    return {
        "meta": dict(detection.META),
        "results": {token: _rows(token, tracks, names) for token, tracks in results.items()},
    }


def _rows(token, tracks, names):
    boxes = tracks.boxes
    found = zip(detection.placed(token, boxes), tracks.ids, boxes.names, boxes.scores, strict=True)
    return [
        place | {"tracking_id": str(number), "tracking_name": name, "tracking_score": float(score)}
        for place, number, name, score in found
        if name in names
    ]


@typed
def write(results: Mapping, out: PathLike) -> Path:
    """Write `submission(results)` as the JSON file that nuscenes-devkit's `TrackingEval` reads; returns its path."""
    out = as_path(out)
    content = json.dumps(submission(results))
    with atomic(out) as part:
        part.write_text(content)
    return out
