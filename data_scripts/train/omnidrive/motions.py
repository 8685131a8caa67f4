"""A scene driven faster or slower along its road: what the language model hears of the motion, and where it leads.

The way and what the CAN bus tells belong together, whatever is seen; so one picture serves many of them.
"""

import copy
from typing import Any

import numpy as np

from data_scripts.minidrive import canbus, geometry
from data_scripts.minidrive.conversation import command, path
from data_scripts.minidrive.item import PERIOD
from data_scripts.minidrive.route import Motion
from data_scripts.minidrive.world import World
from helpers.systems.omnidrive.config import KEPT_MOTIONS, MOTION

FACTORS = (0.7, 1.3)  # of the distance traveled
NEXT = 0.02  # s from one message of the CAN bus to the next


class Scaled(Motion):
    """A motion whose distances from where it is at time t are `factor` times as long."""

    def __init__(self, motion: Motion, t: float, factor: float) -> None:
        self.of, self.here, self.factor = motion, float(motion.distance(t)), factor

    def distance(self, t):
        return self.here + self.factor * (self.of.distance(t) - self.here)

    def speed(self, t):
        return self.factor * self.of.speed(t)

    def acceleration(self, t):
        return self.factor * self.of.acceleration(t)


def variants(world: World, k: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What is heard [count, 74] and the ways [count, 6, 2] in m of ego at key frame k; the first is the true one."""
    t = float(world.times[k])
    factors = [1.0, *rng.uniform(*FACTORS, count - 1)]
    worlds = [scaled(world, t, factor) for factor in factors]
    return np.stack([heard(each, k) for each in worlds]), np.stack([path(each, t) for each in worlds])


def scaled(world: World, t: float, factor: float) -> World:
    """The same world with another motion of the ego."""
    made: Any = copy.copy(world)
    made.motion = Scaled(world.motion, t, factor)
    return made


def heard(world: World, k: int) -> np.ndarray:
    """What the detection head makes its last token of at key frame k of a drive from the first on, float64 [74]:
    command and CAN bus now and at the frames before, newest first, then the poses of these in the ego frame.
    """
    moments = [k - back for back in range(KEPT_MOTIONS + 1) if k >= back]
    driven = np.zeros((KEPT_MOTIONS + 1, MOTION))
    driven[: len(moments)] = [told(world, PERIOD * moment) for moment in moments]
    now = geometry.pose_matrix(*world.ego(PERIOD * k))
    poses = [np.linalg.inv(now) @ geometry.pose_matrix(*world.ego(PERIOD * moment)) for moment in moments[1:]]
    if k == 0:
        poses = [np.eye(4), np.zeros((4, 4))]  # points of the head's own, and none
    elif k == 1:
        poses *= KEPT_MOTIONS  # those points were put down where the first frame was
    return np.concatenate([driven.ravel(), *(pose.ravel() for pose in poses)])


def told(world: World, t: float) -> np.ndarray:
    """The command, and the 13 numbers of the CAN bus as `Frame.can_bus_pose` has them."""
    after = canbus.state(world, t + NEXT)
    gravity, turning = [*after["accel"], canbus.GRAVITY], [0.0, 0.0, after["yaw_rate"]]
    orientation = canbus.state(world, t)["orientation"]
    return np.array([command(path(world, t)), *orientation, *gravity, *turning, after["speed"], 0.0, 0.0])
