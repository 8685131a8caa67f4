"""Detection accuracy by nuscenes-devkit: NDS, mAP and the true-positive errors, streamed over a split or a part of it.

The devkit's own loaders, filters, matching and averages do the work (`detection_cvpr_2019`); this module brings boxes
into its form. Needs no torch.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt_of_sample_tokens
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval

from helpers.arguments import typed
from helpers.boxes import Boxes, require_frame, transform
from helpers.dataset import Dataset, Frame
from helpers.errors import BadInput
from helpers.metrics.driven import Run, decoded, driven
from helpers.sequence import Step

CONFIG = "detection_cvpr_2019"
ERRORS = {"mATE": "trans_err", "mASE": "scale_err", "mAOE": "orient_err", "mAVE": "vel_err", "mAAE": "attr_err"}
MOVING = 0.2  # m/s
FAR = float("inf")
ALLOWED = {"centers": (-FAR, FAR, ""), "sizes": (0, FAR, " above 0"), "yaws": (-FAR, FAR, ""),
           "velocities": (-FAR, FAR, ""), "scores": (-1e-9, 1 + 1e-9, " from 0 to 1")}  # fmt: skip
META = {f"use_{name}": name == "camera" for name in ("camera", "lidar", "radar", "map", "external")}  # of a submission
# (attribute at rest, attribute when moving), the rule of BEVFormer's result formatter
ATTRIBUTES = {
    "car": ("vehicle.parked", "vehicle.moving"),
    "truck": ("vehicle.parked", "vehicle.moving"),
    "construction_vehicle": ("vehicle.parked", "vehicle.moving"),
    "bus": ("vehicle.stopped", "vehicle.moving"),
    "trailer": ("vehicle.parked", "vehicle.moving"),
    "barrier": ("", ""),
    "motorcycle": ("cycle.without_rider", "cycle.with_rider"),
    "bicycle": ("cycle.without_rider", "cycle.with_rider"),
    "pedestrian": ("pedestrian.standing", "pedestrian.moving"),
    "traffic_cone": ("", ""),
}


@typed
def to_global(boxes: Boxes, frame: Frame) -> Boxes:
    """Lidar or ego Boxes of `frame` -> global Boxes, without those beyond their class's range (`within`).

    Raises BadInput for boxes in another frame, of another class set than the ten of `ATTRIBUTES`, or not finite.
    """
    near = within(boxes, frame)
    return transform(_in_ego(boxes, frame)[near], frame.ego2global, "global")


@typed
def within(boxes: Boxes, frame: Frame) -> np.ndarray:
    """Which Boxes of `frame` are within their class's range, a radius around the ego: bool [N]; raises so too."""
    _require_classes(boxes, "boxes")
    _require_numbers(boxes, "boxes")
    ego, ranges = _in_ego(boxes, frame), config_factory(CONFIG).class_range
    return np.hypot(*ego.centers[:, :2].T) <= np.array([ranges[name] for name in ego.names])


def _in_ego(boxes, frame):
    if boxes.frame == "ego":
        return boxes
    require_frame(boxes, "lidar")
    return transform(boxes, frame.lidar2ego, "ego")


def submission(results: dict[str, Boxes]) -> dict:
    """Global Boxes per sample token -> dict in the nuScenes detection result format (camera only), ready for json."""
    return {
        "meta": dict(META),
        "results": {token: _rows(token, boxes) for token, boxes in results.items()},
    }


def placed(token: str, boxes: Boxes) -> list[dict[str, Any]]:
    """What a submission says of where each box is, whether it is a detection or a track. BadInput if not global."""
    if boxes.frame != "global":
        raise BadInput(f"results[{token}]", f"boxes in the {boxes.frame} frame", "the global frame", "use to_global()")
    return [
        {
            "sample_token": token,
            "translation": boxes.centers[i].tolist(),
            "size": boxes.sizes[i].tolist(),
            "rotation": [np.cos(boxes.yaws[i] / 2), 0.0, 0.0, np.sin(boxes.yaws[i] / 2)],
            "velocity": boxes.velocities[i].tolist(),
        }
        for i in range(len(boxes))
    ]


def _rows(token, boxes):
    moving = np.hypot(*boxes.velocities.T) > MOVING
    found = zip(placed(token, boxes), boxes.names, boxes.scores, moving, strict=True)
    return [
        place
        | {
            "detection_name": name,
            "detection_score": float(score),
            "attribute_name": ATTRIBUTES[name][int(is_moving)],
        }
        for place, name, score, is_moving in found
    ]


class _Evaluation(DetectionEval):
    """The devkit's evaluation, on the samples of `results` alone and without result files."""

    def __init__(self, nusc, results):
        self.nusc, self.cfg, self.verbose = nusc, config_factory(CONFIG), False
        self.pred_boxes = self._prepare(EvalBoxes.deserialize(submission(results)["results"], DetectionBox))
        self.gt_boxes = self._prepare(load_gt_of_sample_tokens(nusc, list(results), DetectionBox))
        self.sample_tokens = self.gt_boxes.sample_tokens
        if not self.gt_boxes.all:
            found = f"no box of the classes scored, within their ranges, in {len(results)} samples"
            where, expected = f"sample_annotation of {nusc.version} in {nusc.dataroot}", "annotations to score against"
            fix = "take a split that is annotated: nuScenes keeps the annotations of its test split"
            raise BadInput(where, found, expected, fix)

    def _prepare(self, boxes):
        if not boxes.all:  # the devkit's filter cannot tell the kind of no box
            return boxes
        return filter_eval_boxes(self.nusc, add_center_dist(self.nusc, boxes), self.cfg.class_range)


@typed
def score(results: dict[str, Boxes], dataset: Dataset) -> dict[str, float]:
    """Score detections against the annotations of the samples in `results`.

    Args:
        results: sample token -> Boxes in the global frame; a sample without detections has `Boxes.empty("global")`.
            The samples given are the ones evaluated, so a part of a split is scored on its own ground truth.
        dataset: the Dataset that the tokens come from.
    Returns:
        NDS, mAP, mATE (m), mASE (1 - IoU), mAOE (rad), mAVE (m/s), mAAE (1 - accuracy), `AP/<class>`, frames.
        As the devkit has it, a class without ground truth counts with AP 0 and errors 1, and errors are of what was
        found alone: who loses the boxes that it got wrong has lower errors, and may have the higher NDS. mAP is over
        classes and recalls that do not depend on what was found, so hold it beside NDS where two networks, or two
        precisions of one, are compared.
    Raises:
        BadInput: an unknown token, no token, boxes in another frame or of other classes, more than 500 in a sample,
            boxes that are not finite, scores outside 0 to 1, sizes not above 0, no annotation to score against.
    """
    check(results, dataset)
    with contextlib.redirect_stderr(io.StringIO()):  # the devkit draws its own progress bar
        metrics, _ = _Evaluation(dataset.nusc, results).evaluate()
    errors = metrics.tp_errors
    return {
        "NDS": float(metrics.nd_score),
        "mAP": float(metrics.mean_ap),
        **{name: errors[key] for name, key in ERRORS.items()},
        **{f"AP/{name}": float(ap) for name, ap in metrics.mean_dist_aps.items()},
        "frames": len(results),
    }


def check(results: dict[str, Boxes], dataset: Dataset) -> None:
    """BadInput for what `score` refuses of its arguments."""
    unknown = [token for token in results if token not in set(dataset.tokens)]
    if unknown or not results:
        found = f"{len(unknown)} tokens not in the split, first {unknown[0]!r}" if unknown else "no sample"
        raise BadInput("results", found, f"sample tokens of split {dataset.split!r}", "score the split that was run")
    most = config_factory(CONFIG).max_boxes_per_sample
    for token, boxes in results.items():
        _require_classes(boxes, f"results[{token}]")
        _require_numbers(boxes, f"results[{token}]")
        if len(boxes) > most:
            raise BadInput(f"results[{token}]", f"{len(boxes)} boxes", f"at most {most}", "keep the best scores")


def _require_classes(boxes, where):
    if not isinstance(boxes, Boxes):
        raise BadInput(where, f"{type(boxes).__name__}", "helpers.boxes.Boxes", "take the metrics of the system's task")
    unknown = [name for name in boxes.classes if name not in ATTRIBUTES]
    if unknown:
        found = f"{len(boxes.classes)} classes, among them {', '.join(unknown[:3])}"
        fix = "score with the metrics of the system's task, or map the labels to these classes"
        raise BadInput(where, found, f"the classes of {CONFIG}: {', '.join(ATTRIBUTES)}", fix)


def _require_numbers(boxes, where):
    """BadInput for what the devkit would drop in silence, skip in its means or not take at all."""
    for name, (least, most, words) in ALLOWED.items():
        values = getattr(boxes, name)
        good = (least < values) & (values < most)  # NaN is not
        if not good.all():
            expected = f"finite numbers{words}"
            found = f"{name} with {values[~good][0]} ({(~good).sum()} of {values.size} values unusable)"
            raise BadInput(where, found, expected, "look at the network's outputs and how they are decoded")


@typed
def detect(
    run: Run, steps: Iterable[Step], config: Any, progress: bool = True, total: int | None = None
) -> Iterator[tuple[Frame, Boxes]]:
    """Run a network over frames in order, its states carried within a scene; yield (frame, Boxes in the lidar frame).

    Arguments are those of `helpers.metrics.driven.decoded`.
    """
    return decoded(run, steps, config, progress, total)


@typed
def evaluate(
    run: Run, dataset: Dataset, config: Any, steps: Iterable[Step] | None = None, progress: bool = True
) -> dict[str, float]:
    """Detection metrics (`score`) of a network over a split, or over those `steps` of it that are given.

    Raises BadInput as `detect`, `to_global` and `score` do, also for outputs that are not finite.
    """
    found = driven(run, dataset, config, steps, progress)
    return score({frame.token: to_global(boxes, frame) for frame, boxes in found}, dataset)
