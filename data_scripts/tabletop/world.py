"""What stands on the table, where the tip of the arm is, and the expert that moves it."""

from dataclasses import dataclass, field, replace

import numpy as np

COLORS = ("red", "green", "blue", "yellow", "purple", "orange")
KINDS = ("cube", "ball", "can")
VERBS = ("reach", "touch", "move to", "go to")
HEIGHT = 0.05  # of every thing
BASE = np.array([0.0, 0.42])  # of the arm, x and y
REACH = ((-0.22, 0.22), (-0.16, 0.2))  # x and y where things stand
SHARE = 0.6  # of what is left, which the expert goes in one action
STEP = 0.3  # m at most along an axis in one action
NEAR = 0.03  # m from the target, where the expert closes the gripper
REACHED = 0.05  # m from the target, within which a closed gripper counts as success
SLIP = 0.003  # m, deviation of where the tip comes to rest


@dataclass(frozen=True)
class Thing:
    """color and kind are words of the instructions; x, y in m."""

    color: str
    kind: str
    x: float
    y: float

    @property
    def name(self) -> str:
        return f"{self.color} {self.kind}"

    @property
    def top(self) -> np.ndarray:
        """The point that is to be reached, float64 [3] in m."""
        return np.array([self.x, self.y, HEIGHT])


@dataclass(frozen=True)
class State:
    """The table at one moment. tip: float64 [3] in m. target: index of the thing that the instruction names."""

    things: tuple[Thing, ...]
    target: int
    verb: str
    tip: np.ndarray = field(compare=False)
    closed: bool = False

    @property
    def instruction(self) -> str:
        return f"{self.verb} the {self.things[self.target].name}"

    @property
    def distance(self) -> float:
        """From the tip to the target, in m."""
        return float(np.linalg.norm(self.things[self.target].top - self.tip))

    @property
    def succeeded(self) -> bool:
        """Whether the gripper is closed at the target."""
        return self.closed and self.distance < REACHED

    def expert(self) -> np.ndarray:
        """The right action, float64 [7]: dx, dy, dz in m, droll, dpitch, dyaw in radians, gripper 1 open, 0 closed.

        Straight to the target, by `SHARE` of what is left. The wrist turns with the arm's bearing and reach.
        """
        step = SHARE * (self.things[self.target].top - self.tip)
        before, after = (point[:2] - BASE for point in (self.tip, self.tip + step))
        yaw = np.arctan2(after[0], -after[1]) - np.arctan2(before[0], -before[1])
        pitch = np.linalg.norm(after) - np.linalg.norm(before)
        return np.array([*step, -0.5 * yaw, pitch, yaw, float(self.distance > NEAR)])

    def after(self, action: np.ndarray, random: np.random.Generator | None = None) -> "State":
        """The state after an action; the tip slips a little if there is a generator, and stays above the table."""
        slip = random.normal(0, SLIP, 3) if random is not None else 0.0
        tip = self.tip + np.clip(action[:3], -STEP, STEP) + slip
        tip = np.clip(tip, (-0.3, -0.25, 0.02), (0.3, 0.3, 0.3))
        return replace(self, tip=tip, closed=bool(action[6] < 0.5))


def drawn(random: np.random.Generator, things: int = 3) -> State:
    """A state at the beginning of an episode: things of different colors, apart, and the tip anywhere above them."""
    places: list[np.ndarray] = []
    while len(places) < things:
        place = np.array([random.uniform(*limits) for limits in REACH])
        if all(np.linalg.norm(place - other) > 0.1 for other in places):
            places.append(place)
    colors = sorted(random.choice(len(COLORS), things, replace=False))
    kinds = random.integers(len(KINDS), size=things)
    stand = tuple(
        Thing(COLORS[color], KINDS[kind], *map(float, place))
        for color, kind, place in zip(colors, kinds, places, strict=True)
    )
    tip = np.array([random.uniform(-0.22, 0.22), random.uniform(-0.18, 0.22), random.uniform(0.06, 0.22)])
    return State(stand, int(random.integers(things)), VERBS[random.integers(len(VERBS))], tip)
