"""Furnishes a scene: parked vehicles and works along the curb, traffic in the lanes, people, houses and trees."""

from functools import partial

import numpy as np

from . import geometry, scenery
from .agents import make, pick
from .item import Item
from .route import Motion
from .streets import LANE, Streets

DECK = ["works", "bus", "roadblock", "motorcycles", "works", "trailer", "roadblock", "bicycles", "car"]
LENGTHS = {"car": 5.2, "truck": 8.0, "bus": 11.8, "trailer": 11.6, "works": 15.5, "roadblock": 8.5}


class Furnisher:
    """Adds items to a scene; static ones only where nothing stands yet."""

    def __init__(self, scene, streets, rng):
        self.scene, self.streets, self.rng, self.route = scene, streets, rng, scene.route
        self.items, self.taken = [], []

    def stand(self, kind, s, d, turn=0.0, margin=0.25, **options):
        """A static agent at arc length s, offset d, turned by `turn` from the direction of the road."""
        meshes, size, category = make(self.rng, kind, **options)
        return self.place(meshes, size, s, d, turn, margin, category)

    def place(self, meshes, size, s, d, turn=0.0, margin=0.25, category=None):
        """A static item, if there is room; says whether there was."""
        x, y, yaw = (float(v) for v in self.route.at(s, d))
        yaw += turn
        corners = geometry.footprint(x, y, yaw, size[1], size[0])
        if self.taken and geometry.overlaps(corners, np.array(self.taken), margin):
            return False
        self.taken.append(corners)
        self.items.append(Item(meshes, size, lambda t: (x, y, yaw), category))
        return True

    def move(self, kind, path, traveled, **options):
        """An agent whose arc length and offset are path(t) -> (s, d, turn)."""
        meshes, size, category = make(self.rng, kind, **options)

        def pose(t):
            s, d, turn = path(t)
            x, y, yaw = self.route.at(s, d)
            return float(x), float(y), float(yaw + turn)

        kind_name = "rider" if options.get("rider") and kind in ("bicycle", "motorcycle") else "moving"
        stride = 1.5 if len(meshes) > 1 else 0.0
        self.items.append(Item(meshes, size, pose, category, kind_name, False, stride, traveled))
        return size

    def curb(self, side, first):
        """Parked vehicles, works, cycles, cones and barriers along one side, from group `first` of the deck on."""
        s = self.rng.uniform(2.0, 8.0)
        while s < self.route.length - 6:
            kind = DECK[first % len(DECK)]
            s, first = self._group(kind, s, side * self.streets.parking, side) + self.rng.uniform(1.5, 3.5), first + 1

    def _free(self, s, length):
        return all(self.streets.clear(v) for v in np.linspace(s, s + length, 6))

    def _group(self, kind, s, d, side):
        """One group from arc length s on, moved on past the side street and the crossing; returns where it ends."""
        rng, heading, base = self.rng, 0.0 if side < 0 else np.pi, LENGTHS.get(kind, 6.5)
        while s < self.route.length and not self._free(s, base):
            s += 2.5
        if kind in ("car", "truck", "bus", "trailer"):
            self.stand(kind, s + base / 2, d + rng.uniform(-0.1, 0.1), heading + rng.uniform(-0.03, 0.03))
        elif kind == "works":
            self.stand(
                "excavator", s + base / 2, d + side * 0.5, heading + pick(rng, [0.0, np.pi]) + rng.uniform(-0.05, 0.05)
            )
            for k in np.arange(0.6, base / 2, 1.8):
                self.stand("cone", s + k, d - side * 1.33)
            for k in np.arange(base / 2 + 1.0, base, 2.6):
                self.stand("barrier", s + k, d - side * 1.25, side * np.pi / 2)
            for k in (1.6, base - 1.6):
                self.stand("barrier", s + k, d + side * 0.35, 0.0 if k < base / 2 else np.pi)
            self.stand("pedestrian", s + 3.0, d, rng.uniform(-3, 3), worker=True)
        elif kind == "motorcycles":
            for k in (0.8, 2.4, 4.0):
                self.stand("motorcycle", s + k, d + side * 0.3, heading + side * -1.1 + rng.uniform(-0.15, 0.15))
        elif kind == "bicycles":
            for k in (0.6, 1.9, 3.2, 4.5):
                self.stand(
                    "bicycle",
                    s + k,
                    d + side * 0.45,
                    heading + side * pick(rng, [-1.2, 1.9]) + rng.uniform(-0.15, 0.15),
                )
        else:
            for k in (1.3, 3.9, 6.5):
                self.stand("barrier", s + k, d - side * 0.9, side * np.pi / 2 + rng.uniform(-0.06, 0.06))
            for k in (0.4, 2.4, 4.4, 6.4, 8.0):
                self.stand("cone", s + k, d + rng.uniform(0.1, 0.6) * side)
        return s + base

    def traffic(self, scene):
        """Streams of vehicles and cyclists, in the direction of the ego and against it.

        Where the ego stops at the crossing, all streams share its motion (mirrored if they come towards it), so that
        nobody stands on the crossing and nobody runs into another.
        """
        rng, st = self.rng, self.streets
        fleet = ["car", "bus", "motorcycle", "car", "trailer", "truck", "motorcycle", "bus", "car", "trailer"]

        def pace(low, high):
            return scene.motion if scene.stop else Motion(scene.cruise * rng.uniform(low, high), scene.duration)

        meet = 2 * st.crossing - scene.start if scene.stop else scene.start + rng.uniform(15, 35)
        for lane in range(st.lanes):
            own = -(lane + 0.5) * LANE
            mine = abs(own - st.ego_lane) < 0.1
            self._streams(
                fleet,
                scene.start,
                own,
                (17.0, -17.0) if mine else (13.0, -3.0),
                scene.motion if mine else pace(1.1, 1.2),
                1.0,
            )
            self._streams(fleet, meet, -own, (6.0, -14.0), pace(0.9, 1.15), -1.0)
        self._streams(["bicycle"] * 12, scene.start, -st.bike, (13.0, -2.0), pace(0.6, 0.8), 1.0)
        self._streams(["bicycle"] * 12, meet, st.bike, (6.0, -14.0), pace(0.6, 0.8), -1.0)

    def _streams(self, fleet, s0, d, gaps, pace, ahead):
        """Vehicles in a lane at offset d on both sides of the point s0 + ahead * pace, the first ones at `gaps`."""
        for gap, sign in zip(gaps, (1, -1), strict=True):
            queue = list(self.rng.permutation(fleet))
            while queue and 4.0 < s0 + gap < self.route.length + 60:
                gap = self._link(queue.pop(), s0, d, gap, sign, pace, ahead) + sign * self.rng.uniform(5.0, 13.0)

    def _link(self, kind, s0, d, gap, sign, pace, ahead):
        """One vehicle (a trailer comes with its truck) whose near end is at `gap`; returns its far end."""
        turn = 0.0 if ahead > 0 else np.pi
        chain = [kind] if kind != "trailer" else ["trailer", "truck"] if ahead * sign > 0 else ["truck", "trailer"]
        for part in chain:
            length = LENGTHS.get(part, 2.2)
            middle = gap + sign * length / 2
            path = lambda t, m=middle: (s0 + m + ahead * pace.distance(t), d, turn)  # noqa: E731
            self.move(part, path, pace.distance, rider=part in ("motorcycle", "bicycle"))
            gap += sign * length
        return gap

    def _ahead(self, kind, s, d, speed):
        """A rider or walker at constant speed along the road; a negative speed goes against it."""
        path = lambda t: (s + speed * t, d, 0.0 if speed > 0 else np.pi)  # noqa: E731
        self.move(kind, path, lambda t: abs(speed) * (t + 8.0), rider=True)

    def walkers(self, scene):
        """People on both sidewalks, and some on the zebra crossing while the ego waits."""
        rng, st = self.rng, self.streets
        for side in (-1, 1):
            for track, direction in ((1.9, 1), (2.8, -1)):
                s, speed = rng.uniform(0, 12), direction * rng.uniform(0.9, 1.5)
                while s < self.route.length:
                    self._ahead("pedestrian", s, side * (st.curb + track), speed)
                    s += rng.uniform(6.0, 20.0)
            for s in np.arange(rng.uniform(4, 12), self.route.length, 17.0):
                self.stand("pedestrian", s, side * (st.curb + 4.2), rng.uniform(-3.1, 3.1))
        if scene.stop:
            for k, offset in enumerate((-1.0, 0.2, 1.2)):
                self._cross(st.crossing + offset, scene.stop[0] - 2.0 + 0.7 * k)

    def _cross(self, s, begin):
        """A walker over the zebra crossing from time `begin` on."""
        walked = lambda t: 1.75 * np.clip(t - begin, 0, 12)  # noqa: E731
        path = lambda t: (s, walked(t) - self.streets.curb - 0.8, np.pi / 2)  # noqa: E731
        self.move("pedestrian", path, lambda t: walked(t) + 1.0, rider=True)

    def side_traffic(self):
        """The side street: cars that wait on one side, works behind barriers on the other."""
        st, side = self.streets, pick(self.rng, [-1, 1])
        for k in range(2):
            self.stand("car", st.street + side * 2.2, side * (st.curb + 6.4 + 6.5 * k), -side * np.pi / 2)
        turn = side * np.pi / 2
        for k in (-2.9, 0.0, 2.9):
            self.stand("barrier", st.street + k, -side * (st.curb + 4.4), turn)
            self.stand("cone", st.street + k + 1.2, -side * (st.curb + 3.7))
        self.stand("excavator", st.street, -side * (st.curb + 8.6), turn + self.rng.uniform(-0.3, 0.3))

    def background(self, scene):
        """Houses, trees, hedges, lamps and signs."""
        st, lit = self.streets, scene.light.lit
        for side in (-1, 1):
            for s in np.arange(5.0 + 3 * (side > 0), self.route.length, 27.0):
                if abs(s - st.street) > st.side + 4:
                    arm = partial(scenery.lamp, lit > 0.3)
                    self.place([arm], (0.3, 0.3, 7.4), s, side * (st.curb + 0.6), -side * np.pi / 2)
            for s in np.arange(self.rng.uniform(8, 14), self.route.length, 13.5):
                if abs(s - st.street) > st.side + 4:
                    self._tree(s, side * (st.curb + 0.8))
            turn = 0.0 if side < 0 else np.pi
            plate = partial(scenery.sign, int(self.rng.integers(2)))
            self.place([plate], (0.6, 0.2, 2.85), st.crossing + side * 3.0, side * (st.curb + 0.5), turn)
            s = -40.0
            while s < self.route.length + 40:
                s += self._plot(s, side, lit)

    def _tree(self, s, d, margin=0.25):
        height = float(self.rng.uniform(4.5, 8.0))
        tree = partial(scenery.tree, height, int(self.rng.integers(1 << 30)))
        self.place([tree], (0.4, 0.4, height), s, d, 0.0, margin)

    def _plot(self, s, side, lit):
        """A house or a piece of park behind the sidewalk from arc length s on; returns its width."""
        rng, st, width = self.rng, self.streets, self.rng.uniform(9, 19)
        if rng.random() < 0.22:
            for _ in range(5):
                self._tree(s + rng.uniform(0, width), side * (st.back + rng.uniform(2, 14)), 2.0)
            size = (0.9, width * 0.8, rng.uniform(0.9, 1.5))
            self.place([partial(scenery.hedge, size[1], size[2])], size, s + width / 2, side * (st.back + 0.8))
        elif abs(s + width / 2 - st.street) > st.side + width / 2 + 3.5:
            depth, height, seed = rng.uniform(9, 14), rng.uniform(5.5, 17.0), int(rng.integers(1 << 30))
            house = partial(scenery.building, width, depth, height, lit, seed)
            d = side * (st.back + rng.uniform(1.0, 3.0) + depth / 2)
            self.place([house], (depth + 0.04, width + 0.04, height), s + width / 2, d, 0.0, 0.05)
        return width + pick(rng, [0.15, 0.15, 2.5, 5.0])


def build(scene, rng):
    """Streets and items of a scene."""
    lanes = 1 if rng.random() < 0.7 or scene.stop else 2
    ego_lane = -LANE * (lanes - 0.5 if rng.random() < 0.5 else 0.5)
    if scene.stop:
        crossing = scene.start + float(scene.motion.distance(scene.stop[0] + 1.0)) + 8.5
    else:
        crossing = scene.start + rng.uniform(20, 60)
    streets = Streets(rng, scene.route, lanes, ego_lane, crossing, crossing + pick(rng, [-14.0, 14.0]))
    work = Furnisher(scene, streets, rng)
    work.side_traffic()
    first = int(rng.integers(len(DECK)))
    for side in (-1, 1):
        work.curb(side, first + (side > 0) * 2)
    work.background(scene)
    work.traffic(scene)
    work.walkers(scene)
    return streets, work.items
