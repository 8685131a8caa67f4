"""One scene: the road, the ego motion, the agents of all ten classes and the scenery, all from the scene's own seed."""

import hashlib
from dataclasses import dataclass

import numpy as np

from . import layout, route
from .item import PERIOD

ANNOTATION_RANGE = 75.0


@dataclass(frozen=True)
class Light:
    """Light of a scene; colors BGR 0..255, `sun` a unit vector towards the sun, shares 0..1."""

    name: str
    sun: tuple
    direct: tuple
    ambient: tuple
    zenith: tuple
    horizon: tuple
    shadow: float
    lit: float
    clouds: float


DAY = Light(
    name="day",
    sun=(0.45, 0.35, 0.82),
    direct=(0.56, 0.61, 0.63),
    ambient=(0.72, 0.68, 0.65),
    zenith=(205, 145, 85),
    horizon=(235, 215, 190),
    shadow=0.5,
    lit=0.02,
    clouds=0.5,
)
OVERCAST = Light(
    name="overcast",
    sun=(0.2, -0.3, 0.933),
    direct=(0.24, 0.24, 0.24),
    ambient=(0.84, 0.83, 0.82),
    zenith=(200, 190, 180),
    horizon=(222, 218, 212),
    shadow=0.25,
    lit=0.1,
    clouds=0.9,
)
DUSK = Light(
    name="dusk",
    sun=(-0.78, 0.5, 0.375),
    direct=(0.28, 0.42, 0.58),
    ambient=(0.58, 0.49, 0.47),
    zenith=(120, 72, 58),
    horizon=(105, 145, 222),
    shadow=0.35,
    lit=0.45,
    clouds=0.35,
)
LIGHTS = (DAY, DAY, OVERCAST, DUSK)


def generator(seed, *names):
    """A random generator that depends on the seed and the names only."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


class World:
    """A scene of `frames` key frames, `PERIOD` s apart from time 0.

    Args:
        name: scene name; with the seed it fixes everything.
        frames: number of key frames.
        seed: the seed of the data set.
    """

    def __init__(self, name, frames, seed):
        rng = generator(seed, "world", name)
        self.name, self.frames, self.duration = name, frames, (frames - 1) * PERIOD
        self.light = LIGHTS[int(generator(seed, "mood", name).integers(len(LIGHTS)))]
        self.times = np.arange(frames) * PERIOD
        stops = rng.random() < 0.35
        self.stop = (2.2, 8.6) if stops else None
        self.cruise = float(rng.uniform(5.0, 7.5) if stops else rng.uniform(4.5, 10.5))
        self.motion = route.Motion(self.cruise, self.duration, self.stop, 0.0 if stops else 0.08, rng.uniform(0, 6))
        self.start = 85.0
        traveled = float(self.motion.distance(self.duration))
        self.route = route.random_route(rng, self.start + traveled + 110.0)
        self.streets, self.items = layout.build(self, rng)
        self.agents = [i for i, item in enumerate(self.items) if item.category]

    def ego(self, t):
        """Pose (x, y, yaw) of the ego frame in the global frame at time t."""
        x, y, yaw = self.route.at(self.start + self.motion.distance(t), self.streets.ego_lane)
        return float(x), float(y), float(yaw)

    def ego_curvature(self, t):
        """Curvature in 1/m of the ego path at time t."""
        bend = np.interp(self.start + self.motion.distance(t), self.route.s, self.route.curvature)
        return bend / (1.0 - self.streets.ego_lane * bend)

    def ego_speed(self, t):
        """Speed in m/s of the ego along its own path at time t."""
        bend = np.interp(self.start + self.motion.distance(t), self.route.s, self.route.curvature)
        return self.motion.speed(t) * (1.0 - self.streets.ego_lane * bend)

    def in_range(self, t):
        """Indices of the agents within ANNOTATION_RANGE of the ego at time t."""
        x, y, _ = self.ego(t)
        poses = [self.items[i].pose(t) for i in self.agents]
        return [i for i, p in zip(self.agents, poses, strict=True) if np.hypot(p[0] - x, p[1] - y) < ANNOTATION_RANGE]
