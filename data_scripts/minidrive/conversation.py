"""Questions and answers about a key frame, all from the world's true geometry, in the file layout of OmniDrive's data.

conv/SPLIT/TOKEN.json and vqa/SPLIT/TOKEN.json hold lists of {"question", "answer"}, desc/SPLIT/TOKEN.json an object
{"description", "action"}, keywords/SPLIT/TOKEN.json a text. Only what is annotated and mostly visible is spoken of.
"""

import numpy as np

from helpers.dataset.questions import PLANNING_QUESTION, planning_answer, points_of

from . import geometry
from .item import PERIOD

VALIDATION = ("scene-0103", "scene-0916")
STEPS, NEAR, SHOWN = 6, 30.0, 0.4  # points of a path; m around the ego; least visible share of what is spoken of
BODY, AHEAD = (4.084, 1.85), 0.5 + 0.985793  # m: length and width of the ego, its center before the rear axle
CREEP = 2.0  # m/s
NAMES = {
    **{"vehicle.car": "car", "vehicle.truck": "truck", "vehicle.bus.rigid": "bus", "vehicle.trailer": "trailer"},
    **{
        "vehicle.construction": "construction vehicle",
        "vehicle.motorcycle": "motorcycle",
        "vehicle.bicycle": "bicycle",
    },
    **{"human.pedestrian.adult": "pedestrian", "human.pedestrian.construction_worker": "worker"},
    **{"movable_object.barrier": "barrier", "movable_object.trafficcone": "cone"},
}
LIGHT = {"day": "It is a clear day.", "overcast": "The sky is overcast.", "dusk": "It is dusk, the sun is low."}
TURNS = ("follow the road to the left", "follow the road to the right", "go straight on")
CHANGES = {"left": (1.0, 3.5), "right": (1.0, -5.0), "faster": (2.0, 0.0), "stop": (0.0, 0.0)}


def split_of(name):
    """The folder of a scene's files: val for the scenes of the devkit's mini_val, else train."""
    return "val" if name in VALIDATION else "train"


def path(world, t, factor=1.0, shift=0.0):
    """Where the ego is at the next STEPS half seconds, [STEPS,2] in m in its frame at time t (x forward, y left).

    factor: of the distance traveled; 0 brakes to a stop within the path. shift: m to the left, reached at the end.
    A path that is not the true one, nor a stop, moves on at CREEP at least.
    """
    later = t + PERIOD * np.arange(1, STEPS + 1)
    s0 = world.start + world.motion.distance(t)
    traveled = world.start + world.motion.distance(later) - s0
    if not factor:
        share = np.arange(1, STEPS + 1) / STEPS
        traveled, factor = float(world.motion.speed(t)) * STEPS * PERIOD * (share - share**2 / 2), 1.0
    elif factor != 1 or shift:
        traveled = np.maximum(traveled, CREEP * (later - t))
    x, y, _ = world.route.at(s0 + factor * traveled, world.streets.ego_lane + shift * np.arange(1, STEPS + 1) / STEPS)
    return _to_ego(world, t, np.stack([x, y], -1))


def command(points):
    """0 where the path ends 2 m or more to the left, 1 to the right, else 2: the rule of OmniDrive's labels."""
    return 0 if points[-1, 1] >= 2 else 1 if points[-1, 1] <= -2 else 2


def _to_ego(world, t, points):
    x, y, yaw = world.ego(t)
    return (points - (x, y)) @ geometry.rotation_z(yaw)[:2, :2]


def along(route, points):
    """Arc lengths and offsets [n], left positive, of ground points [n,2] within the length of the road."""
    nearest = ((points[:, None] - route.line[None]) ** 2).sum(-1).argmin(1)
    rest, yaw = points - route.line[nearest], route.yaw[nearest]
    s = route.s[nearest] + rest[:, 0] * np.cos(yaw) + rest[:, 1] * np.sin(yaw)
    return s, rest[:, 1] * np.cos(yaw) - rest[:, 0] * np.sin(yaw)


class View:
    """What can be told of a scene at key frame k, at which `seen` are {item: (LiDAR points, visible share)}."""

    def __init__(self, world, k, seen):
        self.world, self.k, self.t = world, k, float(world.times[k])
        told = [i for i, (_, share) in seen.items() if share >= SHOWN and world.items[i].category in NAMES]
        self.items = [world.items[i] for i in told]
        self.places = np.array([item.pose(self.t)[:2] for item in self.items]).reshape(-1, 2)
        self.ego = _to_ego(world, self.t, self.places)
        self.path = path(world, self.t)
        self.speed = float(world.ego_speed(self.t))
        self.speeds = [float(world.ego_speed(self.t + PERIOD * j)) for j in range(STEPS + 1)]
        self._around = [world.items[i] for i in world.in_range(self.t)]
        self._bodies = {}

    def bodies(self, j):
        """(items, footprints [n,4,2]) of all agents around, j half seconds later."""
        if j not in self._bodies:
            poses = np.array([item.pose(self.t + PERIOD * j) for item in self._around]).reshape(-1, 3)
            sizes = np.array([item.size for item in self._around]).reshape(-1, 3)
            self._bodies[j] = geometry.footprint(*poses.T, sizes[:, 1], sizes[:, 0])
        return self._around, self._bodies[j]

    def near(self):
        """Counts in words of what is within NEAR m, by name."""
        names = [NAMES[item.category] for item, far in zip(self.items, self.distances(), strict=True) if far < NEAR]
        counts = sorted(((names.count(name), name) for name in set(names)), key=lambda pair: (-pair[0], pair[1]))
        return _listed([_counted(count, name) for count, name in counts]) if counts else "nothing"

    def distances(self):
        """Distance in m of each thing from the ego."""
        return np.hypot(*self.ego.T)

    def leader(self):
        """(item, distance in m) of the nearest vehicle before the ego in its lane, or None."""
        if not len(self.items):
            return None
        s, d = along(self.world.route, self.places)
        gap = s - self.world.start - float(self.world.motion.distance(self.t))
        kinds = np.array([item.category.startswith("vehicle") for item in self.items])
        before = np.flatnonzero(kinds & (np.abs(d - self.world.streets.ego_lane) < 1.5) & (gap > 0) & (gap < 50))
        best = min(before, key=lambda i: gap[i], default=None)
        return None if best is None else (self.items[best], float(gap[best]))

    def pace(self):
        """What happens to the speed over the path."""
        if max(self.speeds) < 0.3:
            return "stay at rest"
        change = self.speeds[-1] - self.speeds[0]
        return "speed up" if change > 1 else "slow down" if change < -1 else "keep the speed"

    def crossing(self):
        """Meters to the zebra crossing ahead, or None."""
        gap = self.world.streets.crossing - self.world.start - float(self.world.motion.distance(self.t))
        return gap if 0 < gap < 40 else None


def conversation(view):
    """The pairs of conv/."""
    leader, crossing = view.leader(), view.crossing()
    ahead = "There is none within 50 m."
    if leader:
        item, gap = leader
        ahead = f"A {NAMES[item.category]}, {gap:.1f} m ahead, at {item.speed(view.t):.1f} m/s."
    return [
        _pair(f"What is within {NEAR:.0f} m of you?", f"{view.near()}."),
        _pair("Which vehicle is ahead in your lane?", ahead),
        _pair("How fast are you?", f"{view.speed:.1f} m/s."),
        _pair("Is a zebra crossing ahead?", "No." if crossing is None else f"Yes, in {crossing:.1f} m."),
    ]


def description(view):
    """The object of desc/."""
    lanes = _counted(2 * view.world.streets.lanes, "lane")
    told = f"You drive on a street with {lanes}. {LIGHT[view.world.light.name]} Within {NEAR:.0f} m: {view.near()}."
    return {"description": told, "action": f"{action(view).capitalize()}."}


def action(view):
    """The text of keywords/: the way and the pace."""
    return f"{TURNS[command(view.path)]}, {view.pace()}"


def outcome(view, points):
    """What would happen first on a path [STEPS,2] in the ego's frame: a text from the true geometry."""
    world, (x, y, yaw) = view.world, view.world.ego(view.t)
    turn = geometry.rotation_z(yaw)[:2, :2]
    places = np.concatenate([[(x, y)], points @ turn.T + (x, y)])
    for j in range(1, STEPS + 1):
        step = places[j] - places[j - 1]
        yaw = float(np.arctan2(step[1], step[0])) if np.hypot(*step) > 0.1 else yaw
        center = places[j] + AHEAD * np.array((np.cos(yaw), np.sin(yaw)))
        body, moment = geometry.footprint(*center, yaw, *BODY), f"after {PERIOD * j:.1f} s"
        items, others = view.bodies(j)
        close = np.flatnonzero(np.abs(others.mean(1) - center).max(1) < 12)
        for i in (i for i in close if geometry.overlaps(body, others[i : i + 1])):
            return f"You would hit a {NAMES[items[i].category]} {moment}."
        s, d = along(world.route, body)
        beside = np.abs(s - world.streets.street) < world.streets.side
        if (np.abs(d)[~beside] > world.streets.curb).any():
            return f"You would leave the road {moment}."
        if d.min() > 0:
            return f"You would be in the oncoming lane {moment}."
    return "Nothing would happen."


def questions(view, rng):
    """The pairs of vqa/: the planned path where all of it is known, what to look out for, two other paths."""
    pairs = []
    if view.k + STEPS < view.world.frames:
        pairs.append(_pair(PLANNING_QUESTION, planning_answer(view.path)))
    watch = sorted(zip(view.distances(), range(len(view.items)), strict=True))[:3]
    named = [f"the {NAMES[view.items[i].category]} {_where(view.ego[i])}" for far, i in watch if far < NEAR]
    pairs.append(_pair("What do you look out for?", f"{_listed(named)}." if named else "Nothing is near."))
    pairs.append(_pair("What do you do next?", f"{action(view).capitalize()}."))
    for name in rng.choice([*CHANGES], 2, replace=False):
        other = path(view.world, view.t, *CHANGES[name])
        pairs.append(_pair(f"What happens on the path {points_of(other)}?", outcome(view, other)))
    return pairs


def files(world, k, seen, rng):
    """{folder: content} of the four files of key frame k."""
    view = View(world, k, seen)
    pairs = {"conv": conversation(view), "vqa": questions(view, rng)}
    return pairs | {"desc": description(view), "keywords": action(view)}


def _pair(question, answer):
    return {"question": question, "answer": answer[0].upper() + answer[1:]}


def _counted(count, name):
    plural = {"bus": "buses"}.get(name, f"{name}s")
    return f"{count} {name if count == 1 else plural}"


def _listed(words):
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])


def _where(point):
    """A place in words and meters, from a point in the ego's frame."""
    side = "to the left" if point[1] > 2 else "to the right" if point[1] < -2 else "in line with you"
    return f"{abs(point[0]):.1f} m {'ahead' if point[0] >= 0 else 'behind'}, {side}"
