"""What is planned without eyes: the vehicle goes on as it goes now. Each takes a frame and gives a path [6,2] in m."""

import numpy as np

from helpers.arguments import typed
from helpers.dataset import Frame
from helpers.dataset.questions import POINTS

TIMES = 0.5 * np.arange(1, POINTS + 1)  # s
ACCELERATION, VELOCITY = 4, 10  # where x stands in Frame.can_bus_pose


@typed
def constant_velocity(frame: Frame) -> np.ndarray:
    """Straight on at the speed of the CAN bus."""
    return _ahead(frame.can_bus_pose[VELOCITY] * TIMES)


@typed
def constant_acceleration(frame: Frame) -> np.ndarray:
    """Straight on at the speed and the acceleration of the CAN bus; who brakes comes to rest and stays there."""
    speed, gain = frame.can_bus_pose[VELOCITY], frame.can_bus_pose[ACCELERATION]
    times = np.minimum(TIMES, -speed / gain) if speed * gain < 0 else TIMES
    return _ahead(speed * times + gain / 2 * times**2)


def _ahead(distance):
    return np.stack([distance, np.zeros(POINTS)], -1)


BASELINES = {"constant velocity": constant_velocity, "constant acceleration": constant_acceleration}
