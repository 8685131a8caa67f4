"""Tracks to score: those of a data set's annotations, spoiled in one way or another, and random ones."""

import numpy as np
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.eval.tracking.data_classes import TrackingBox
from pyquaternion import Quaternion

from helpers.boxes import Boxes
from helpers.metrics.tracking import CONFIG, Tracks

NAMES = tuple(sorted(config_factory(CONFIG).tracking_names))
SPOILS = ("exact", "shuffled", "jitter", "sparse", "switched", "silent", "spurious", "alike")


def annotated(dataset, spoil, seed=0):
    """Sample token -> global Tracks of the annotations, spoiled."""
    random, numbers, results = np.random.default_rng(seed), {}, {}
    for k, token in enumerate(dataset.tokens):
        rows = [dataset.nusc.get("sample_annotation", one) for one in dataset.nusc.get("sample", token)["anns"]]
        rows = [(row, category_to_detection_name(row["category_name"])) for row in rows]
        rows = [(row, name) for row, name in rows if name in NAMES]
        ids = np.array([numbers.setdefault(row["instance_token"], len(numbers)) for row, _ in rows], np.int64)
        centers = np.array([row["translation"] for row, _ in rows], np.float64).reshape(-1, 3)
        scores = 0.3 + 0.6 * np.random.default_rng(ids[0] if len(ids) else 0).random(len(rows))
        kept = np.ones(len(rows), bool)
        if spoil == "shuffled":
            ids = random.permutation(ids)
        elif spoil == "jitter":
            centers[:, :2] += random.normal(0, 0.8, (len(rows), 2))
        elif spoil == "sparse":
            kept = random.random(len(rows)) > 0.4
        elif spoil == "switched":
            ids = ids + 1000 * (k % 4 >= 2)
        elif spoil == "silent":
            kept[:] = False
        elif spoil == "alike":
            scores[:] = 0.5
        sizes = np.array([row["size"] for row, _ in rows], np.float64).reshape(-1, 3)
        yaws = np.array([quaternion_yaw(Quaternion(row["rotation"])) for row, _ in rows])
        labels = np.array([NAMES.index(name) for _, name in rows], np.int64)
        boxes = Boxes(centers, sizes, yaws, np.zeros((len(rows), 2)), labels, scores, "global", NAMES)[kept]
        tracks = Tracks(boxes, ids[kept])
        results[token] = _with_spurious(tracks, random, k) if spoil == "spurious" and len(boxes) else tracks
    return results


def _with_spurious(tracks, random, k):
    """Each box a second time some meters aside, of an id of its own."""
    boxes, count = tracks.boxes, len(tracks.boxes)
    twice = boxes[np.r_[np.arange(count), np.arange(count)]]
    twice.centers[count:, :2] += random.uniform(-5, 5, (count, 2))
    twice.scores[count:] = random.uniform(0.2, 0.9, count)
    return Tracks(twice, np.r_[tracks.ids, 10_000 + 100 * k + np.arange(count)])


def random_scenes(seed, scenes=3, frames=15):
    """(true, found), each {scene: {time: [TrackingBox]}} of cars that come and go, and of tracks that lose them."""
    config_factory(CONFIG)  # names the classes that a TrackingBox may have
    random, true, found = np.random.default_rng(seed), {}, {}
    for scene in range(scenes):
        places, steps = random.uniform(0, 12, (6, 2)), random.normal(0, 0.6, (6, 2))
        shift = random.integers(0, 9, 6)
        true[str(scene)], found[str(scene)] = {}, {}
        for time in range(frames):
            places += steps
            seen = [k for k in range(6) if shift[k] <= time < shift[k] + 9]
            held = [k for k in seen if random.random() < 0.75]
            names = [(k + (random.random() < 0.15) * random.integers(1, 6)) % 6 for k in held]
            true[str(scene)][time] = [_box(places[k], f"o{k}") for k in seen]
            boxes = {}
            for k, name in zip(held, names, strict=True):
                boxes.setdefault(name, _box(places[k] + random.normal(0, 0.7, 2), f"t{name}", 0.2 + 0.1 * name))
            if random.random() < 0.5:
                boxes[6] = _box(random.uniform(0, 12, 2), "t6", 0.55)
            found[str(scene)][time] = list(boxes.values())
    return true, found


def _box(place, name, score=-1.0):
    return TrackingBox(translation=(*place, 0.0), tracking_id=name, tracking_name="car", tracking_score=float(score))
