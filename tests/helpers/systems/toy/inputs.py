"""A frame to the inputs of the toy."""

import numpy as np

from helpers.dataset import preprocess

LEFT, RIGHT, STRAIGHT = 0, 1, 2


def inputs(frame, previous, config):
    """image [1,6,3,H,W]; command [1] int64, where the road goes; velocity [1,2] m/s, zero where a scene begins."""
    sideways = frame.future_path[-1, 1] if len(frame.future_path) else 0
    command = STRAIGHT if abs(sideways) < 1 else LEFT if sideways > 0 else RIGHT
    return {
        "image": preprocess(frame.images(), config)[None],
        "command": np.array([command], np.int64),
        "velocity": np.float32([[0, 0] if previous is None else frame.can_bus[13:15]]),
    }
