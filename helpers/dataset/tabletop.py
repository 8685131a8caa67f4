"""Observations of the tabletop that `python -m data_scripts.make_tabletop` writes: picture, instruction, action."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.arguments import array, typed
from helpers.dataset.images import read_image
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, read_json, stays_inside

MAKE = "python -m data_scripts.make_tabletop --force --out"
EPISODES, STATISTICS = "episodes.json", "dataset_statistics.json"


@dataclass(frozen=True, eq=False)
class Observation:
    """One step. action: the expert's, float64 [7]: dx, dy, dz in m, droll, dpitch, dyaw in radians, gripper 1 open."""

    episode: int
    step: int
    path: Path
    instruction: str
    action: np.ndarray
    reasoning: str

    def image(self) -> np.ndarray:
        """uint8 [H, W, 3] RGB; BadInput naming the file that is missing or cannot be decoded."""
        return read_image(self.path)


@dataclass(frozen=True, eq=False)
class Tabletop:
    """All observations in order, and statistics of actions by the name of the data set, as config.json keeps them."""

    observations: list[Observation]
    statistics: dict[str, Any]


@typed
def open_tabletop(dataroot: PathLike) -> Tabletop:
    """Read the tables of a tabletop; pictures are read as they are asked for.

    Raises:
        BadInput: no tabletop, or tables that are damaged.
    """
    root = as_path(dataroot)
    fix = f"{MAKE} {shlex.quote(str(root))}"
    if not (root / EPISODES).is_file():
        raise BadInput(root, "no tabletop", f"a folder with {EPISODES} and {STATISTICS}", fix)
    episodes = read_json(root / EPISODES, "the table of a tabletop's episodes", fix)
    statistics = read_json(root / STATISTICS, "statistics of actions", fix)
    try:
        found = [
            Observation(number, k, _inside(root, step["picture"], fix), _text(episode["instruction"]),
                        array("action", step["action"], (7,)).astype(np.float64), _text(step["reasoning"]))
            for number, episode in enumerate(episodes)
            for k, step in enumerate(episode["steps"])
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        said = f"{error.where} {error.found}" if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        raise BadInput(root / EPISODES, said, "episodes with their steps", fix) from error
    if not found:
        raise BadInput(root / EPISODES, "no step of any episode", "episodes with their steps", fix)
    if not isinstance(statistics, dict) or not all(isinstance(s, dict) and "action" in s for s in statistics.values()):
        raise BadInput(root / STATISTICS, "no statistics of actions", "{data set: {action: ...}}", fix)
    return Tabletop(found, statistics)


def _text(value):
    if not isinstance(value, str) or not value.strip():
        raise BadInput("instruction or reasoning", repr(value)[:80], "a text", "write one")
    return value


def _inside(root, name, fix):
    if not isinstance(name, str) or not stays_inside(name, root):
        raise BadInput(root / EPISODES, f"a picture {name!r}", "names within the folder", fix)
    return root / name
