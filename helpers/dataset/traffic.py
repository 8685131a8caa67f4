"""Where the annotated vehicles around a frame are now and at the next key frames. Needs no torch."""

import numpy as np
from nuscenes.eval.common.utils import quaternion_yaw
from pyquaternion import Quaternion

from helpers.dataset.frame import Frame
from helpers.dataset.nuscenes import FUTURE, Dataset

VEHICLE = "vehicle."  # ten categories of nuScenes, numbers 8 to 17


def vehicles(dataset: Dataset, frame: Frame) -> list[np.ndarray]:
    """Boxes at this key frame and the next `FUTURE` ones: [n,5] float64 each: x, y in m, heading in rad, length and
    width in m, in this frame's ego.

    Those of the vehicles that are annotated now; at a later key frame, those of them that are still annotated there.
    """
    nusc, global2ego = dataset.nusc, np.linalg.inv(frame.ego2global)
    turn = np.arctan2(global2ego[1, 0], global2ego[0, 0])
    sample, known, found = nusc.get("sample", frame.token), None, []
    while sample and len(found) <= FUTURE:
        rows = [nusc.get("sample_annotation", token) for token in sample["anns"]]
        rows = [row for row in rows if row["category_name"].startswith(VEHICLE)]
        known = {row["instance_token"] for row in rows} if known is None else known
        boxes = [
            (*row["translation"], quaternion_yaw(Quaternion(row["rotation"])), row["size"][1], row["size"][0])
            for row in rows
            if row["instance_token"] in known
        ]
        table = np.array(boxes, np.float64).reshape(-1, 6)
        table[:, :3] = table[:, :3] @ global2ego[:3, :3].T + global2ego[:3, 3]
        table[:, 3] += turn
        found.append(np.delete(table, 2, axis=1))
        sample = nusc.get("sample", sample["next"]) if sample["next"] else None
    return found + [np.zeros((0, 5))] * (FUTURE + 1 - len(found))
