"""Tracking accuracy as nuScenes defines it: AMOTA, AMOTP and the measures at the best threshold. No torch.

Loading, filters, scores of whole tracks and the filling of gaps are nuscenes-devkit's (`tracking_nips_2019`). What it
counts with py-motmetrics and pandas is counted here without them, to the same numbers; `write` makes the file that its
own `TrackingEval` reads.
"""

from collections.abc import Mapping

import numpy as np
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.tracking.data_classes import TrackingBox

from helpers.arguments import typed
from helpers.dataset import Dataset
from helpers.errors import BadInput
from helpers.metrics import detection
from helpers.metrics.tracking.matching import follow, measures
from helpers.metrics.tracking.scenes import annotations, by_time, prepared, views
from helpers.metrics.tracking.tracks import CONFIG, Tracks, submission, to_global, write

__all__ = ["CONFIG", "NAMES", "Tracks", "score", "submission", "to_global", "write"]

AVERAGED = {"AMOTA": ("motar", "amota"), "AMOTP": ("motp", "amotp")}  # name -> (of a threshold, worst)
SUMMED = ("mt", "ml", "tp", "fp", "fn", "ids", "frag")  # over classes; the others are averaged
NAMES = {"recall": "recall", "mota": "MOTA", "motp": "MOTP", "ids": "IDS", "frag": "FRAG", "tp": "TP", "fp": "FP",
         "fn": "FN", "mt": "MT", "ml": "ML", "faf": "FAF", "tid": "TID", "lgd": "LGD"}  # fmt: skip


@typed
def score(results: Mapping, dataset: Dataset) -> dict[str, float]:
    """Score tracks against the annotations of the samples in `results`.

    Args:
        results: sample token -> Tracks in the global frame; a sample without any has none in them. The samples given
            are the ones evaluated, so a part of a split is scored on its own ground truth.
    Returns:
        AMOTA, AMOTP (m) over 40 recalls; and at the threshold of the best MOTA, each class its own: recall, MOTA, MOTP
        (m), IDS, FRAG, TP, FP, FN, MT, ML, FAF (per 100 frames), TID and LGD (s); `AMOTA/<class>`; frames. Means over
        classes with ground truth, or sums of what is counted. As the devkit has it, a class that is never found counts
        with the worst in the means, but with nothing in the sums IDS, FRAG and FP: who loses it has fewer of them, so
        compare networks, or precisions of one, by AMOTA and AMOTP, whose classes and recalls are those of the labels.
    Raises:
        BadInput: as `detection.score`, for Tracks.
    """
    _check(results, dataset)
    config = config_factory(CONFIG)
    found = EvalBoxes.deserialize(submission(results)["results"], TrackingBox)
    true = annotations(results, dataset.nusc, config.tracking_names)
    true, found = (prepared(boxes, dataset.nusc, config) for boxes in (true, found))
    if not true.all:
        expected = "annotations of classes that are tracked, within their ranges"
        raise BadInput("results", f"none in {len(results)} samples", expected, "take a split that is annotated")
    true, found = by_time(true, dataset.nusc), by_time(found, dataset.nusc, averaged=True)
    rows = {name: _class(views(true, found, name), config) for name in config.class_names}
    return _summary({name: row for name, row in rows.items() if row}) | {"frames": len(results)}


def _check(results, dataset):
    for token, tracks in results.items():
        if not isinstance(tracks, Tracks):
            raise BadInput(f"results[{token}]", type(tracks).__name__, "helpers.metrics.tracking.Tracks", "give ids")
    detection.check({token: tracks.boxes for token, tracks in results.items()}, dataset)


def _class(scenes, config):
    """Measures of one class, by nuScenes' names; none without ground truth."""
    objects = [(scene, name) for scene, views in enumerate(scenes) for view in views for name in view.objects]
    if not objects:
        return {}
    _, scores = follow(scenes, config.dist_th_tp)
    thresholds = _thresholds(scores, len(objects), config)
    at = {t: measures(follow([[v.above(t) for v in views] for views in scenes], config.dist_th_tp)[0])
          for t in set(thresholds[~np.isnan(thresholds)])}  # fmt: skip
    unknown = dict.fromkeys(("mota", *(measure for measure, _ in AVERAGED.values())), float("nan"))
    rows = [at.get(threshold, unknown) for threshold in thresholds]
    means = {}
    for name, (measure, worst) in AVERAGED.items():
        values = np.array([row[measure] for row in rows], np.float64)
        means[name] = float(np.where(np.isnan(values), config.metric_worst[worst], values).mean())
    if at:
        best = rows[int(np.nanargmax([row["mota"] for row in rows]))]
    else:
        best = config.metric_worst | {"ml": len(set(objects)), "fn": len(objects)} | dict.fromkeys(
            ("fp", "ids", "frag"), float("nan"))  # fmt: skip
    return means | {name: best[name] for name in NAMES}


def _thresholds(scores, objects, config):
    """The score at each of the hypothetical recalls, highest recall first; NaN where it is not reached."""
    wanted = np.linspace(config.min_recall, 1, config.num_thresholds).round(12)[::-1]
    if not scores:
        return np.full(len(wanted), np.nan)
    reached = np.arange(1, len(scores) + 1) / objects
    found = np.interp(wanted, reached, np.sort(scores)[::-1], right=0)
    return np.where(wanted > reached.max(), np.nan, found)


def _summary(rows):
    table = {name: np.array([row[name] for row in rows.values()], np.float64) for name in (*AVERAGED, *NAMES)}
    known = {name: values[~np.isnan(values)] for name, values in table.items()}
    totals = {name: float(values.sum() if name in SUMMED else values.mean() if len(values) else np.nan)
              for name, values in known.items()}  # fmt: skip
    each = {f"AMOTA/{name}": row["AMOTA"] for name, row in rows.items()}
    return {NAMES.get(name, name): value for name, value in totals.items()} | each
