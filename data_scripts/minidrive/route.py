"""The road as a curve and motion along it: arc length s, lateral offset d (left positive)."""

import numpy as np

STEP = 0.5


class Route:
    """A center line with curvature that changes smoothly, shifted so that all of it has positive coordinates.

    Args:
        curvature [n]: 1/m at arc length 0, STEP, 2 STEP, ... ; left bends are positive.
        heading: initial direction in radians.
        margin: least x and y of the line in m.
    """

    def __init__(self, curvature, heading=0.0, margin=90.0):
        self.curvature = np.convolve(np.pad(curvature, 20, mode="edge"), np.ones(41) / 41, "valid")
        self.s = np.arange(len(self.curvature)) * STEP
        self.length = float(self.s[-1])
        self.yaw = heading + np.concatenate([[0.0], np.cumsum((self.curvature[1:] + self.curvature[:-1]) / 2 * STEP)])
        middle = (self.yaw[1:] + self.yaw[:-1]) / 2
        line = np.stack([np.cos(middle), np.sin(middle)], -1) * STEP
        line = np.concatenate([np.zeros((1, 2)), np.cumsum(line, 0)])
        self.line = line - line.min(0) + margin
        self.extent = self.line.max(0) + margin

    def at(self, s, d=0.0):
        """Position x, y and direction yaw at arc length `s` and offset `d` (broadcast); straight beyond the ends."""
        s = np.asarray(s, float)
        inside = np.clip(s, 0.0, self.length)
        x, y = (np.interp(inside, self.s, self.line[:, k]) for k in (0, 1))
        yaw = np.interp(inside, self.s, self.yaw)
        beyond = s - inside
        return (
            x + beyond * np.cos(yaw) - d * np.sin(yaw),
            y + beyond * np.sin(yaw) + d * np.cos(yaw),
            yaw,
        )

    def band(self, s0, s1, d0, d1):
        """Ground polygon [k,3] between arc lengths s0 < s1 and offsets d0 < d1."""
        s = np.unique(np.concatenate([[s0], np.arange(np.ceil(s0 / 2) * 2, s1, 2.0), [s1]]))
        right, left = np.stack(self.at(s, d0)[:2], -1), np.stack(self.at(s, d1)[:2], -1)
        return np.insert(np.concatenate([right, left[::-1]]), 2, 0.0, axis=1)


def random_route(rng, length):
    """A route of at least `length` m: straights and alternating bends of 65 to 160 m radius."""
    pieces, total, sign = [], 0.0, rng.choice([-1.0, 1.0])
    bend = rng.random() < 0.5
    while total < length:
        if bend:
            radius, angle = rng.uniform(65.0, 160.0), rng.uniform(0.35, 0.95)
            run, value, sign = radius * angle, sign / radius, -sign
        else:
            run, value = rng.uniform(35.0, 80.0), 0.0
        pieces.append(np.full(round(run / STEP), value))
        total, bend = total + run, not bend
    return Route(np.concatenate(pieces)[: int(length / STEP)], heading=rng.uniform(-np.pi, np.pi))


class Motion:
    """Distance traveled over time, with an optional stop.

    Args:
        cruise: speed in m/s.
        duration: last time of interest in s.
        stop: (time at rest from, time at rest to) or None; braking at 2.2 and starting at 1.8 m/s^2.
        ripple: share by which the speed sways.
    """

    def __init__(self, cruise, duration, stop=None, ripple=0.0, phase=0.0):
        self.t = np.arange(-4.0, duration + 4.0, 0.01)
        speed = cruise * (1.0 + ripple * np.sin(0.6 * self.t + phase))
        if stop is not None:
            limit = np.where(self.t < stop[0], 2.2 * (stop[0] - self.t), 1.8 * (self.t - stop[1]))
            speed = np.minimum(speed, np.maximum(limit, 0.0))
            kernel = np.hanning(61) / np.hanning(61).sum()
            smooth = np.convolve(np.pad(speed, 30, mode="edge"), kernel, "valid")
            speed = np.where((self.t > stop[0] + 0.3) & (self.t < stop[1] - 0.3), 0.0, smooth)
        self.v = speed
        traveled = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * 0.01)])
        self.s = traveled - np.interp(0.0, self.t, traveled)
        self.a = np.gradient(speed, 0.01)

    def distance(self, t):
        """Meters since time 0."""
        return np.interp(t, self.t, self.s)

    def speed(self, t):
        """Meters per second."""
        return np.interp(t, self.t, self.v)

    def acceleration(self, t):
        """Meters per second squared."""
        return np.interp(t, self.t, self.a)
