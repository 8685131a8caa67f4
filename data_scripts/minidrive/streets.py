"""The cross-section of the road and everything flat that is painted on the ground."""

from itertools import pairwise

import numpy as np

from .route import STEP

LANE, BIKE, PARKING, STRIP, SIDEWALK = 3.5, 1.5, 3.1, 1.3, 4.8
ASPHALT, PARKED, BIKE_LANE, CURB, PAVING, GRASS = (
    (92, 90, 88),
    (100, 98, 96),
    (84, 88, 104),
    (158, 160, 162),
    (150, 154, 160),
    (62, 112, 88),
)
WHITE, YELLOW = (225, 225, 225), (70, 190, 230)


class Streets:
    """Offsets (m from the center line, on one side) and ground polygons of the scene.

    Attributes:
        ego_lane: lateral offset of the ego lane.
        edge: driving lanes end; parking: center of the parking lane; curb: sidewalk begins; back: sidewalk ends.
        crossing: arc length of the zebra crossing, street: arc length of the side street.
        bands: list of (ground polygon [k,3], color) in painting order.
        marks: list of (list of quads [4,3], color) in painting order.
    """

    def __init__(self, rng, route, lanes, ego_lane, crossing, street):
        self.route, self.lanes, self.ego_lane, self.crossing, self.street = route, lanes, ego_lane, crossing, street
        self.edge = lanes * LANE
        self.bike = self.edge + BIKE / 2
        self.parking = self.edge + BIKE + PARKING / 2
        self.curb = self.edge + BIKE + PARKING
        self.back = self.curb + 0.25 + SIDEWALK
        self.side = 4.5
        self.bands, self.marks = [], []
        self._bands(rng)
        self._marks()

    def clear(self, s, margin=4.0):
        """Whether arc length `s` is away from the side street and the zebra crossing."""
        return abs(s - self.street) > self.side + margin and abs(s - self.crossing) > margin + 0.5

    def side_street(self, half, reach):
        """Ground rectangle [4,3] of the side street: `half` wide on each side of its axis, `reach` m long each way."""
        x, y, yaw = (float(v) for v in self.route.at(self.street))
        corners = np.array([(half, reach), (-half, reach), (-half, -reach), (half, -reach)])
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        return np.insert(corners @ turn.T + (x, y), 2, 0.0, axis=1)

    def drivable(self):
        """Ground polygons [k,3] where vehicles may drive: the map image."""
        return [self.route.band(0.0, self.route.length, -self.curb, self.curb), self.side_street(self.side, 60.0)]

    def _bands(self, rng):
        route, end = self.route, self.route.length
        add = lambda d0, d1, color: self.bands.append((route.band(0.0, end, d0, d1), color))  # noqa: E731
        add(-self.back, self.back, PAVING)
        self.bands.append((self.side_street(self.side + 3.2, 60.0), PAVING))
        self.bands.append((self.side_street(self.side + 0.2, 60.0), CURB))
        add(-self.curb - 0.25, self.curb + 0.25, CURB)
        add(-self.curb, self.curb, PARKED)
        self.bands.append((self.side_street(self.side, 60.0), ASPHALT))
        add(-self.edge - BIKE, self.edge + BIKE, BIKE_LANE)
        add(-self.edge, self.edge, ASPHALT)
        for _ in range(int(end / 9)):
            s, d = rng.uniform(0, end), rng.uniform(-self.edge, self.edge - 1.5)
            tone = rng.uniform(0.84, 1.08)
            patch = route.band(s, s + rng.uniform(1.5, 6.0), d, d + rng.uniform(0.8, 2.4))
            self.bands.append((patch, tuple(c * tone for c in ASPHALT)))
        for s in np.arange(6.0, end, 27.0):
            x, y, _ = self.route.at(s, rng.uniform(-self.edge + 0.6, self.edge - 0.6))
            ring = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            lid = np.stack([x + 0.35 * np.cos(ring), y + 0.35 * np.sin(ring), np.zeros(12)], -1)
            self.bands.append((lid, (64, 64, 66)))

    def _quads(self, starts, run, d, width):
        return [self.route.band(s, s + run, d - width / 2, d + width / 2) for s in starts]

    def _solid(self, d, width):
        """A line along the road that ends before the crossing and the side street."""
        gaps = sorted([(self.street, self.side + 0.5), (self.crossing, 3.4)])
        stops = [0.0] + [v for s, half in gaps for v in (s - half, s + half)] + [self.route.length]
        lines = []
        for a, b in zip(stops[::2], stops[1::2], strict=True):
            cuts = pairwise([*np.arange(a, b, 24.0), b])
            lines += [self.route.band(p, q, d - width / 2, d + width / 2) for p, q in cuts]
        return lines

    def _marks(self):
        end = self.route.length
        free = lambda s: abs(s - self.street) > self.side + 1.5 and abs(s - self.crossing) > 3.2  # noqa: E731
        dashes = [s for s in np.arange(0.0, end - 4, 8.0) if free(s + 1.5)]
        self.marks.append((self._solid(-0.15, 0.13) + self._solid(0.15, 0.13), YELLOW))
        white = []
        for side in (-1, 1):
            for k in range(1, self.lanes):
                white += self._quads(dashes, 3.0, side * k * LANE, 0.14)
            white += self._solid(side * self.edge, 0.15)
            white += self._quads(dashes, 2.0, side * (self.edge + BIKE), 0.1)
            for s in np.arange(3.0, end - 1, 7.5):
                if self.clear(s):
                    white.append(self.route.band(s, s + 0.12, *sorted((side * (self.edge + BIKE), side * self.curb))))
            white.append(
                self.route.band(
                    self.crossing - side * 3.4 - 0.2,
                    self.crossing - side * 3.4 + 0.2,
                    *sorted((-side * 0.4, -side * self.edge)),
                )
            )
        for d in np.arange(-self.curb + 0.3, self.curb - 0.4, 1.0):
            white.append(self.route.band(self.crossing - 1.8, self.crossing + 1.8, d, d + 0.5))
        self.marks.append((white, WHITE))


def road_bounds(route):
    """Width and height in m of a map that holds the whole route."""
    return np.ceil(route.extent / STEP) * STEP
