"""The ends of which motion begins: for every group of classes, paths that such an object may take. NumPy only."""

from typing import Any

import numpy as np

from helpers.arguments import array

SPEEDS = (9.0, 4.0, 1.5, 0.3)  # m/s of a usual member of each group
STEP = 0.5  # s


def plain(config: Any) -> np.ndarray:
    """Arcs and lines in place of the k-means centers that the public training computes of its data.

    float32 [groups, modes, steps, 2], m; an object's own frame as the public one has it, in which -x is ahead.
    """
    seconds = np.arange(1, config.motion_steps + 1) * STEP
    speeds = np.resize(SPEEDS, len(config.groups))
    turns = np.linspace(-0.25, 0.25, config.modes) if config.modes > 1 else np.zeros(1)  # rad/s
    pace = np.linspace(0.4, 1.2, config.modes)
    angles = turns[:, None] * seconds
    aside = np.sinc(angles / 2 / np.pi) * np.sin(angles / 2) * seconds
    shape = -np.stack([np.sinc(angles / np.pi) * seconds, aside], -1)
    return (speeds[:, None, None, None] * pace[:, None, None] * shape).astype(np.float32)


def checked(values: Any, config: Any) -> np.ndarray:
    """Anchors of the caller's own as float32 [groups, modes, steps, 2]; BadInput for another shape."""
    shape = (len(config.groups), config.modes, config.motion_steps, 2)
    array("motion anchors", values, shape)
    return np.ascontiguousarray(values, np.float32)
