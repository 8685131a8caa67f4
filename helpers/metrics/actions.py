"""What a policy's actions are worth: the error of each dimension, and whether its arm arrives."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from helpers.arguments import array, typed
from helpers.errors import BadInput

Act = Callable[[Sequence[np.ndarray], Sequence[str]], Sequence[np.ndarray | None]]


class Errors(NamedTuple):
    """l1: mean absolute error of each dimension, float64 [n], over the actions that there are.
    refused: share of the observations for which there was none.

    Who refuses what it would get wrong has the lower l1: compare policies by l1 only where no more is refused. `reach`
    counts every episode, with or without actions.
    """

    l1: np.ndarray
    refused: float


class Reached(NamedTuple):
    """tips: where the tip was at each step of each episode, float64 [episodes, steps + 1, 3] in m, unmoved after the
    end. success: bool [episodes]. used: steps until the gripper closed, or all, int64 [episodes].
    """

    tips: np.ndarray
    success: np.ndarray
    used: np.ndarray


@typed
def errors(found: Sequence[np.ndarray | None], right: np.ndarray) -> Errors:
    """Predicted actions, None where there is none, against the expert's [N, n].

    Raises:
        BadInput: another number of actions, another number of dimensions, no action at all, or one that is not finite.
    """
    right = array("actions of the expert", right, (None, None))
    there = [row for row, action in enumerate(found) if action is not None]
    if len(found) != len(right) or not there:
        expected = f"{len(right)}, one at least that is an action"
        raise BadInput("actions", f"{len(found)}, of which {len(there)} are actions", expected, "give all of them")
    actions = np.stack([array("actions", found[row], (right.shape[1],)) for row in there])
    return Errors(np.abs(actions - right[there]).mean(0), 1 - len(there) / len(right))


@typed
def reach(act: Act, scenes: Sequence[Any], render: Callable[[Any, int], np.ndarray], steps: int = 7) -> Reached:
    """Let a policy move the arm in each scene until it closes the gripper, or for `steps` actions.

    Args:
        act: pictures uint8 [H, W, 3] and instructions -> actions, all episodes at once; where it gives None the arm
            stays where it is.
        scenes: with `instruction`, `tip` float64 [3], `closed`, `succeeded` and `after(action)`.
        render: scene and a number -> its picture.
    """
    scenes = list(scenes)
    tips, used = [[scene.tip] for scene in scenes], np.full(len(scenes), steps)
    for step in range(steps):
        moving = [row for row, scene in enumerate(scenes) if not scene.closed]
        if moving:
            pictures = [render(scenes[row], 1000 * step + row) for row in moving]
            actions = act(pictures, [scenes[row].instruction for row in moving])
            for row, action in zip(moving, actions, strict=True):
                scenes[row] = scenes[row] if action is None else scenes[row].after(action)
                used[row] = step + 1
        for row, scene in enumerate(scenes):
            tips[row].append(scene.tip)
    return Reached(np.array(tips), np.array([scene.succeeded for scene in scenes]), used)
