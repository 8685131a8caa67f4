"""Which annotated objects are the same from frame to frame, and where vehicles will be. Needs no torch."""

import numpy as np
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name
from pyquaternion import Quaternion

from helpers.dataset.frame import Frame
from helpers.dataset.nuscenes import FUTURE, Dataset

VEHICLE = "vehicle."  # ten categories of nuScenes, numbers 8 to 17


def vehicles(dataset: Dataset, frame: Frame) -> list[np.ndarray]:
    """Boxes at this key frame and the next `FUTURE` ones: [n,5] float64 each: x, y in m, heading in rad, length and
    width in m, in this frame's ego. Of a key frame that is not there, none.

    Those of the vehicles that are annotated now; at a later key frame, those of them that are still annotated there.
    """
    found = [boxes for boxes, _ in followed(dataset, frame)]
    return found + [np.zeros((0, 5))] * (FUTURE + 1 - len(found))


def followed(dataset: Dataset, frame: Frame) -> list[tuple[np.ndarray, np.ndarray]]:
    """(boxes as `vehicles` gives them, numbers [n] int64) at this key frame and at those of the next that are there.

    A vehicle keeps its number, as `numbered` has it.
    """
    nusc, global2ego = dataset.nusc, np.linalg.inv(frame.ego2global)
    turn = np.arctan2(global2ego[1, 0], global2ego[0, 0])
    sample, known, found = nusc.get("sample", frame.token), None, []
    while sample and len(found) <= FUTURE:
        rows = [nusc.get("sample_annotation", token) for token in sample["anns"]]
        rows = [row for row in rows if row["category_name"].startswith(VEHICLE)]
        if known is None:
            known = {row["instance_token"]: _number(nusc, row) for row in rows}
        rows = [row for row in rows if row["instance_token"] in known]
        boxes = [
            (*row["translation"], quaternion_yaw(Quaternion(row["rotation"])), row["size"][1], row["size"][0])
            for row in rows
        ]
        table = np.array(boxes, np.float64).reshape(-1, 6)
        table[:, :3] = table[:, :3] @ global2ego[:3, :3].T + global2ego[:3, 3]
        table[:, 3] += turn
        numbers = np.array([known[row["instance_token"]] for row in rows], np.int64)
        found.append((np.delete(table, 2, axis=1), numbers))
        sample = nusc.get("sample", sample["next"]) if sample["next"] else None
    return found


def numbered(dataset: Dataset, frame: Frame) -> np.ndarray:
    """Numbers [N] int64, from 1 on, of the objects of `frame.boxes`: the same in all frames of a data set."""
    return np.array([_number(dataset.nusc, row) for row in annotated(dataset, frame)], np.int64)


def annotated(dataset: Dataset, frame: Frame) -> list[dict]:
    """The rows of sample_annotation that `frame.boxes` is made of, in its order."""
    rows = [dataset.nusc.get("sample_annotation", one) for one in dataset.nusc.get("sample", frame.token)["anns"]]
    return [row for row in rows if category_to_detection_name(row["category_name"])]


def _number(nusc, row):
    return nusc.getind("instance", row["instance_token"]) + 1
