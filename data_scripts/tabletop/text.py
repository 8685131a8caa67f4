"""What a policy is to say before it acts, in the fields of embodied chain of thought (arXiv:2407.08693)."""

import numpy as np

from data_scripts.tabletop.render import project
from data_scripts.tabletop.world import HEIGHT, State

CELL = 4  # pixels; positions are told in columns and rows of so many
LEAST = 0.02  # m, below which a direction is not named
WAYS = (("left", "right"), ("backward", "forward"), ("down", "up"))


def reasoning(state: State) -> str:
    """One line: things and their places, which one is meant, the move, where the gripper is, the tag of the action."""
    named = [f"{thing.name} {_place((thing.x, thing.y, HEIGHT / 2))}" for thing in state.things]
    fields = {
        "VISIBLE OBJECTS": " ".join(named),
        "SUBTASK": named[state.target],
        "MOVE": move(state.expert()),
        "GRIPPER POSITION": _place(state.tip),
    }
    return " ".join(f"{name}: {told}" for name, told in fields.items()) + " ACTION:"


def move(action: np.ndarray) -> str:
    """The directions of an action in words."""
    named = [ways[int(value > 0)] for value, ways in zip(action[:3], WAYS, strict=True) if abs(value) > LEAST]
    if action[6] < 0.5:
        named.append("close")
    return " ".join(named) or "stay"


def _place(point):
    column, row = (project(np.array(point))[0] // CELL).astype(int).clip(0, 31)
    return f"[{column}, {row}]"
