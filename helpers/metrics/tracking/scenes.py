"""What is scored, as nuscenes-devkit loads and filters it, by scene and time."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.eval.tracking.data_classes import TrackingBox, TrackingConfig
from nuscenes.eval.tracking.loaders import interpolate_tracks

from helpers.metrics.tracking.matching import View

Scenes = dict[str, dict[int, list[TrackingBox]]]


def annotations(tokens: Iterable[str], nusc: NuScenes, names: Iterable[str]) -> EvalBoxes:
    """The annotated boxes of the samples, with the instance as id."""
    boxes = EvalBoxes()
    for token in tokens:
        rows = [nusc.get("sample_annotation", name) for name in nusc.get("sample", token)["anns"]]
        known = [(row, category_to_detection_name(row["category_name"])) for row in rows]
        boxes.add_boxes(token, [_annotation(token, row, name) for row, name in known if name in names])
    return boxes


def _annotation(token, row, name):
    return TrackingBox(
        sample_token=token,
        translation=row["translation"],
        size=row["size"],
        rotation=row["rotation"],
        num_pts=row["num_lidar_pts"] + row["num_radar_pts"],
        tracking_id=row["instance_token"],
        tracking_name=name,
    )


def prepared(boxes: EvalBoxes, nusc: NuScenes, config: TrackingConfig) -> EvalBoxes:
    """The boxes within their range that lidar or radar points lie on, by the devkit's filter."""
    if not boxes.all:  # the devkit's filter cannot tell the kind of no box
        return boxes
    return filter_eval_boxes(nusc, add_center_dist(nusc, boxes), config.class_range)


def by_time(boxes: EvalBoxes, nusc: NuScenes, averaged: bool = False) -> Scenes:
    """{scene: {timestamp: boxes}} of all key frames of the scenes, with gaps of tracks filled by the devkit.

    averaged: a track's boxes get the mean of their scores, before gaps are filled.
    """
    scenes = {}
    for token in boxes.sample_tokens:
        sample = nusc.get("sample", token)
        times = scenes.setdefault(sample["scene_token"], {})
        if not times:
            times.update((time, []) for time in _timestamps(nusc, sample["scene_token"]))
        times[sample["timestamp"]] = boxes[token]
    for times in scenes.values():
        if averaged:
            _average(box for row in times.values() for box in row)
        interpolate_tracks(times)
    return scenes


def _timestamps(nusc, scene):
    """Time stamps of the key frames of a scene, in order."""
    token = nusc.get("scene", scene)["first_sample_token"]
    while token:
        sample = nusc.get("sample", token)
        yield sample["timestamp"]
        token = sample["next"]


def _average(boxes):
    tracks = defaultdict(list)
    for box in boxes:
        tracks[box.tracking_id].append(box)
    for track in tracks.values():
        mean = float(np.mean([box.tracking_score for box in track]))
        for box in track:
            box.tracking_score = mean


def views(true: Scenes, found: Scenes, name: str) -> list[list[View]]:
    """Views of one class, by scene and frame."""
    return [
        [_view(boxes, found[scene][time], name) for time, boxes in frames.items()] for scene, frames in true.items()
    ]


def _view(objects, tracks, name):
    objects, tracks = ([box for box in boxes if box.tracking_name == name] for boxes in (objects, tracks))
    ids, places = zip(
        *(
            (
                [box.tracking_id for box in boxes],
                np.array([box.translation[:2] for box in boxes], np.float64).reshape(-1, 2),
            )
            for boxes in (objects, tracks)
        ),
        strict=True,
    )
    return View(ids[0], places[0], ids[1], places[1], np.array([box.tracking_score for box in tracks], np.float64))
