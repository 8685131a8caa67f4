"""Accuracy of predicted paths of others, as UniAD's evaluation defines it: minADE, minFDE, miss rate, EPA. No torch.

Found objects are matched with annotated ones as for detection: the most certain first, each with the nearest of its
group that is left, closer than 2 m. The error of a match is that of its best mode; errors are averaged over recalls as
nuscenes-devkit averages the errors of true positives. Vehicles of all kinds are one group, pedestrians another.
By that protocol errors are of what was matched alone: who loses the objects whose paths it got wrong has lower ones.
EPA counts against all annotated objects, so compare networks, or precisions of one, by it.
Source: UniAD (arXiv:2212.10156); EPA is of ViP3D (arXiv:2208.01582).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.utils import cummean
from nuscenes.eval.detection.utils import category_to_detection_name

from helpers.arguments import array, typed
from helpers.boxes import Boxes
from helpers.dataset import Dataset, Frame
from helpers.errors import BadInput
from helpers.metrics import detection

STEPS = 12  # half seconds
REACH, MISSED = 2.0, 2.0  # m: of a match; from which on a path is missed
MIN_RECALL, RECALLS = 0.1, 101
VEHICLES = ("car", "truck", "construction_vehicle", "bus", "trailer", "motorcycle", "bicycle")
GROUPS = dict.fromkeys(VEHICLES, "car") | {"pedestrian": "pedestrian"}
ERRORS = ("minADE", "minFDE", "MR")


@typed
@dataclass(frozen=True, eq=False)
class Forecast:
    """Boxes and where each will be: paths [N, modes, 12, 2], places in m in the boxes' frame at the next half seconds.

    Raises BadInput for paths of another shape, not finite, or without a mode.
    """

    boxes: Boxes
    paths: np.ndarray

    def __post_init__(self):
        paths = array("Forecast.paths", self.paths, (len(self.boxes), None, STEPS, 2)).astype(np.float64)
        if not paths.shape[1]:
            raise BadInput("Forecast.paths", f"shape {paths.shape}", "one mode at least", "give a path for every box")
        object.__setattr__(self, "paths", paths)


@dataclass(frozen=True, eq=False)
class Truth:
    """An annotated object: its place [2] now and its known path [0..12, 2] in m, global, and its group."""

    place: np.ndarray
    path: np.ndarray
    group: str


@typed
def to_global(forecast: Forecast, frame: Frame) -> Forecast:
    """Lidar or ego Forecast of `frame` -> global, without boxes beyond their class's range of detection."""
    near = detection.within(forecast.boxes, frame)
    matrix = frame.ego2global @ (frame.lidar2ego if forecast.boxes.frame == "lidar" else np.eye(4))
    paths = forecast.paths[near] @ matrix[:2, :2].T + matrix[:2, 3]  # heights are not known: a tilt is dropped
    return Forecast(detection.to_global(forecast.boxes, frame), paths)


@typed
def errors(paths: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """minADE and minFDE in m and MR, 0 or 1, of one object: each by the mode that is best for it.

    Args:
        paths: [modes, T, 2] in m. truth: [t, 2], the steps that are known, t up to T; for none all three are 0.

    A path is missed if every mode is at some step more than 2 m away.
    """
    paths, truth = array("paths", paths, (None, None, 2)), array("truth", truth, (None, 2))
    if not len(truth):
        return dict.fromkeys(ERRORS, 0.0)
    if len(truth) > paths.shape[1] or not len(paths):
        expected = f"at most {paths.shape[1]} steps, and one mode at least"
        raise BadInput("truth", f"{len(truth)} steps, {len(paths)} modes", expected, "pass as many as were predicted")
    away = np.linalg.norm(paths[:, : len(truth)] - truth, axis=-1)
    return {
        "minADE": float(away.mean(1).min()),
        "minFDE": float(away[:, -1].min()),
        "MR": float(away.max(1).min() > MISSED),
    }


@typed
def score(results: Mapping, dataset: Dataset) -> dict[str, float]:
    """Score predicted paths against the annotations of the samples in `results`.

    Args:
        results: sample token -> Forecast in the global frame.
    Returns:
        for each group, `car` and `pedestrian`: `minADE/<group>` and `minFDE/<group>` (m), `MR/<group>` and
        `EPA/<group>`, and `matched/<group>`, a number; errors are NaN where nothing is matched, EPA where nothing is
        annotated. And frames.
    Raises:
        BadInput: as `detection.score`, for Forecasts.
    """
    for token, found in results.items():
        if not isinstance(found, Forecast):
            raise BadInput(f"results[{token}]", type(found).__name__, "helpers.metrics.motion.Forecast", "give paths")
    detection.check({token: found.boxes for token, found in results.items()}, dataset)
    if wrong := [token for token, found in results.items() if found.boxes.frame != "global"]:
        raise BadInput(
            f"results[{wrong[0]}]", f"the {results[wrong[0]].boxes.frame} frame", "global", "use to_global()"
        )
    truths = {token: list(known(dataset, token)) for token in results}
    table: dict[str, float] = {}
    for group in dict.fromkeys(GROUPS.values()):
        true = {token: [one for one in row if one.group == group] for token, row in truths.items()}
        for name, value in measures(true, {token: _of(found, group) for token, found in results.items()}).items():
            table[f"{name}/{group}"] = value
    return table | {"frames": len(results)}


def known(dataset: Dataset, token: str) -> Iterator[Truth]:
    """The annotated objects of a sample within the range of their group on which there are points, and their paths."""
    nusc, ranges = dataset.nusc, config_factory(detection.CONFIG).class_range
    sample = nusc.get("sample", token)
    pose = nusc.get("ego_pose", nusc.get("sample_data", sample["data"]["LIDAR_TOP"])["ego_pose_token"])
    for name in sample["anns"]:
        row = nusc.get("sample_annotation", name)
        group = GROUPS.get(category_to_detection_name(row["category_name"]) or "")
        place, ego = np.array(row["translation"][:2]), np.array(pose["translation"][:2])
        if group and row["num_lidar_pts"] + row["num_radar_pts"] and np.linalg.norm(place - ego) < ranges[group]:
            yield Truth(place, _path(nusc, row), group)


def _path(nusc, row):
    places = []
    while row["next"] and len(places) < STEPS:
        row = nusc.get("sample_annotation", row["next"])
        places.append(row["translation"][:2])
    return np.array(places, np.float64).reshape(-1, 2)


def _of(found, group):
    return Forecast(found.boxes[mask := np.array([GROUPS.get(n) == group for n in found.boxes.names], bool)],
                    found.paths[mask])  # fmt: skip


def measures(true: Mapping[str, list[Truth]], found: Mapping[str, Forecast]) -> dict[str, float]:
    """The measures of one group, from what is annotated and what is found in every sample."""
    total = sum(map(len, true.values()))
    rows, good = _matched(true, found), _matched(true, found, ends=True)
    matched, hits = (sum(row is not None for _, row in each) for each in (rows, good))
    table = {name: _over_recalls(rows, total, name) if matched else float("nan") for name in ERRORS}
    accuracy = (hits - 0.5 * (len(rows) - matched)) / (total + 1e-5) if total else float("nan")
    return table | {"EPA": accuracy, "matched": matched}


def _matched(true, found, ends=False):
    """[(score, errors of a match or None)] of what is found, the most certain first.

    ends: a match has to end closer than 2 m as well; it leaves its object to others if it does not.
    """
    listed = [(found[token].boxes.scores[i], token, i) for token in found for i in range(len(found[token].boxes))]
    order = sorted(range(len(listed)), key=lambda k: (listed[k][0], k), reverse=True)
    rows, taken = [], set()
    for certainty, token, i in (listed[k] for k in order):
        place, paths = found[token].boxes.centers[i, :2], found[token].paths[i]
        away = [(float(np.linalg.norm(one.place - place)), k) for k, one in enumerate(true[token])
                if (token, k) not in taken]  # fmt: skip
        distance, k = min(away, default=(np.inf, -1))
        one: Any = errors(paths, true[token][k].path) if distance < REACH else None
        if one and ends and not (len(true[token][k].path) and one["minFDE"] < MISSED):
            one = None
        if one:
            taken.add((token, k))
        rows.append((certainty, one))
    return rows


def _over_recalls(rows, total, name):
    """The mean of the running mean of an error over the recalls from 10 percent to the largest that is reached."""
    recall = np.cumsum([row is not None for _, row in rows]) / total
    certainty = np.interp(np.linspace(0, 1, RECALLS), recall, [score for score, _ in rows], right=0)
    scores, values = zip(*((score, row[name]) for score, row in rows if row), strict=True)
    running = np.interp(certainty[::-1], scores[::-1], cummean(np.array(values))[::-1])[::-1]
    first, reached = round(100 * MIN_RECALL) + 1, np.flatnonzero(certainty)
    last = reached[-1] if len(reached) else 0
    return float(running[first : last + 1].mean()) if last >= first else 1.0
