"""Detection accuracy by nuscenes-devkit: NDS, mAP and the true-positive errors, streamed over a split or a part of it.

The devkit's own loaders, filters, matching and averages do the work (`detection_cvpr_2019`); this module brings boxes
into its form. Needs no torch.
"""

import contextlib
import io

import numpy as np
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt_of_sample_tokens
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval
from tqdm.auto import tqdm

from helpers.boxes import decode_outputs, transform
from helpers.dataset import stream
from helpers.errors import BadInput

CONFIG = "detection_cvpr_2019"
ERRORS = {"mATE": "trans_err", "mASE": "scale_err", "mAOE": "orient_err", "mAVE": "vel_err", "mAAE": "attr_err"}
MOVING = 0.2  # m/s
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


def to_global(boxes, frame):
    """Lidar Boxes of `frame` -> global Boxes, without those beyond the evaluation range of their class (ego radius)."""
    if boxes.frame != "lidar":
        raise BadInput("boxes", f"in the {boxes.frame} frame", "in the lidar frame", "pass what decode_outputs returns")
    ego = transform(boxes, frame.lidar2ego, "ego")
    ranges = config_factory(CONFIG).class_range
    limits = np.array([ranges[name] for name in ego.names])
    near = np.hypot(*ego.centers[:, :2].T) <= limits
    return transform(ego[near], frame.ego2global, "global")


def submission(results):
    """Global Boxes per sample token -> dict in the nuScenes detection result format (camera only), ready for json."""
    return {
        "meta": {f"use_{name}": name == "camera" for name in ("camera", "lidar", "radar", "map", "external")},
        "results": {token: _rows(token, boxes) for token, boxes in results.items()},
    }


def _rows(token, boxes):
    if boxes.frame != "global":
        raise BadInput(f"results[{token}]", f"boxes in the {boxes.frame} frame", "the global frame", "use to_global()")
    moving = np.hypot(*boxes.velocities.T) > MOVING
    return [
        {
            "sample_token": token,
            "translation": boxes.centers[i].tolist(),
            "size": boxes.sizes[i].tolist(),
            "rotation": [np.cos(boxes.yaws[i] / 2), 0.0, 0.0, np.sin(boxes.yaws[i] / 2)],
            "velocity": boxes.velocities[i].tolist(),
            "detection_name": name,
            "detection_score": float(boxes.scores[i]),
            "attribute_name": ATTRIBUTES[name][int(moving[i])],
        }
        for i, name in enumerate(boxes.names)
    ]


class _Evaluation(DetectionEval):
    """The devkit's evaluation, on the samples of `results` alone and without result files."""

    def __init__(self, nusc, results):
        self.nusc, self.cfg, self.verbose = nusc, config_factory(CONFIG), False
        self.pred_boxes = self._prepare(EvalBoxes.deserialize(submission(results)["results"], DetectionBox))
        self.gt_boxes = self._prepare(load_gt_of_sample_tokens(nusc, list(results), DetectionBox))
        self.sample_tokens = self.gt_boxes.sample_tokens

    def _prepare(self, boxes):
        if not boxes.all:  # the devkit's filter cannot tell the kind of no box
            return boxes
        return filter_eval_boxes(self.nusc, add_center_dist(self.nusc, boxes), self.cfg.class_range)


def detection(results, dataset):
    """Score detections against the annotations of the samples in `results`.

    Args:
        results: sample token -> Boxes in the global frame; a sample without detections has `Boxes.empty("global")`.
            The samples given are the ones evaluated, so a part of a split is scored on its own ground truth.
        dataset: the Dataset that the tokens come from.
    Returns:
        NDS, mAP, mATE (m), mASE (1 - IoU), mAOE (rad), mAVE (m/s), mAAE (1 - accuracy), `AP/<class>`, frames.
        As the devkit has it, a class without ground truth counts with AP 0 and errors 1.
    Raises:
        BadInput: an unknown token, no token, boxes in another frame, more than 500 boxes in a sample.
    """
    _check(results, dataset)
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


def _check(results, dataset):
    unknown = [token for token in results if token not in set(dataset.tokens)]
    if unknown or not results:
        found = f"{len(unknown)} tokens not in the split, first {unknown[0]!r}" if unknown else "no sample"
        raise BadInput("results", found, f"sample tokens of split {dataset.split!r}", "score the split that was run")
    most = config_factory(CONFIG).max_boxes_per_sample
    for token, boxes in results.items():
        if len(boxes) > most:
            raise BadInput(f"results[{token}]", f"{len(boxes)} boxes", f"at most {most}", "keep the best scores")


def detect(run, dataset, config, progress=True, limit=None, frames=None):
    """Stream the first `limit` frames (all by default) through a network; yield (frame, Boxes in the lidar frame).

    run: callable from the input dict (image, prev_bev, use_prev_bev, can_bus, lidar2img; float32 numpy) to a dict with
    bev_embed, outputs_classes, outputs_coords. prev_bev [bev_h bev_w,1,embed_dims] is zero at the start of a scene and
    the previous bev_embed after. config also has bev_h, bev_w, embed_dims. frames: pairs of `stream(dataset, config)`
    made before, all or some; to run several networks without reading the images again.
    """
    count = len(dataset if frames is None else frames)
    count = count if limit is None else min(limit, count)
    empty_bev = np.zeros((config.bev_h * config.bev_w, 1, config.embed_dims), np.float32)
    bev = empty_bev
    pairs = zip(range(count), stream(dataset, config) if frames is None else frames, strict=False)
    for _, (frame, feeds) in tqdm(pairs, "evaluate", count, disable=not progress, unit="frame"):
        bev = bev if feeds["use_prev_bev"][0] else empty_bev
        outputs = run({**feeds, "prev_bev": bev})
        bev = np.asarray(outputs["bev_embed"])
        yield frame, decode_outputs(outputs["outputs_classes"], outputs["outputs_coords"])


def evaluate(run, dataset, config, progress=True, limit=None, frames=None):
    """Detection metrics of a network (`detect`) over a split, its first `limit` frames, or the pairs in `frames`; see
    `detection`.

    Raises BadInput as `detect` and `detection` do, also for outputs that are not finite.
    """
    found = detect(run, dataset, config, progress, limit, frames)
    return detection({frame.token: to_global(boxes, frame) for frame, boxes in found}, dataset)
