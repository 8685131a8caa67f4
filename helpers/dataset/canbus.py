"""What networks take of the CAN bus, from pose messages in order of time. Needs no torch.

A message: utime in microseconds; accel m/s2, rotation_rate rad/s and vel m/s, [3] each; orientation (w, x, y, z).
"""

from typing import Any

import numpy as np
from nuscenes.eval.common.utils import quaternion_yaw
from pyquaternion import Quaternion

MOTION = ("accel", "rotation_rate", "vel")


def can_bus_vector(poses: list[dict], timestamp: int, ego_pose: dict) -> np.ndarray:
    """The [18] float64 vector of BEVFormer (layout: `Frame.can_bus`), absolute.

    Acceleration, rotation rate and velocity come from the first pose message after the sample's time stamp (the last
    message if there is none): the off-by-one of the public info converter that the published weights were trained
    with. Position, orientation and yaw are those of the ego pose. Without messages the middle part is zero.
    """
    rotation = Quaternion(ego_pose["rotation"])
    degrees = np.degrees(quaternion_yaw(rotation)) % 360
    after = _around(poses, timestamp)[1]
    motion = np.concatenate([after[name] for name in MOTION]) if after else np.zeros(9)
    return np.array([*ego_pose["translation"], *rotation.elements, *motion, np.radians(degrees), degrees])


def pose_vector(poses: list[dict], timestamp: int) -> np.ndarray:
    """The [13] float64 vector of OmniDrive (layout: `Frame.can_bus_pose`); zeros without messages.

    The orientation is that of the last message up to the sample's time stamp, the rest that of the first one after it:
    so the public converter has it.
    """
    before, after = _around(poses, timestamp)
    return np.concatenate([before["orientation"], *(after[name] for name in MOTION)]) if after else np.zeros(13)


def _around(poses: list[dict], timestamp: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last message up to a time and the first one after it; the first or last one where there is none."""
    if not poses:
        return {}, {}
    number = next((k for k, pose in enumerate(poses) if pose["utime"] > timestamp), len(poses))
    return poses[max(number - 1, 0)], poses[min(number, len(poses) - 1)]
