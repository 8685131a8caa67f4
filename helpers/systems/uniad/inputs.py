"""A frame to the inputs of UniAD. Needs no torch."""

from typing import Any

import numpy as np

from helpers.arguments import typed
from helpers.dataset import Frame, preprocess, seconds_of_sequence
from helpers.dataset.frame import earlier
from helpers.errors import check_config

COMMANDS = (1, 0, 2)  # left, right and straight on of a frame, as the network numbers them


@typed
def inputs(frame: Frame, previous: Frame | None, config: Any) -> dict[str, np.ndarray]:
    """Network inputs of one frame, all but the states, in the types of `config.input_types()`.

    Args:
        frame: `helpers.dataset.Frame`.
        previous: the frame before, or None; a frame of another scene counts as None, but that its position and yaw are
            those that the motion of an "absolute" beginning is counted from, as in the public evaluation.

    Returns:
        As `Config.input_shapes` has them. `timestamp` counts seconds from the first frame of the sequence.
    """
    check_config(config, "image_scale", "image_size", "bgr", "first_motion", "input_types")
    pictures = preprocess(frame.images(), config)
    found = told(frame, previous, config)
    found["img"] = np.ascontiguousarray((pictures[:, ::-1] if config.bgr else pictures)[None], np.float32)
    return {name: found[name] for name in config.input_types() if name in found}


def told(frame: Frame, previous: Frame | None, config: Any) -> dict[str, np.ndarray]:
    """What `inputs` gives but for the pictures, which are not opened."""
    before = earlier(frame, previous)
    lidar2global, scale = frame.ego2global @ frame.lidar2ego, config.image_scale
    found = {
        "timestamp": [seconds_of_sequence(frame, before)],
        "l2g_r_mat": lidar2global[None, :3, :3].transpose(0, 2, 1),
        "l2g_t": lidar2global[None, :3, 3],
        "img_metas_can_bus": motion(frame, previous, before, config),
        "img_metas_lidar2img": (np.diag([scale, scale, 1, 1]) @ frame.lidar2img)[None],
        "command": [COMMANDS[frame.command]],
        "use_prev_bev": [before is not None],
    }
    types = config.input_types()
    return {name: np.ascontiguousarray(array, types[name]) for name, array in found.items()}


def motion(frame: Frame, previous: Frame | None, before: Frame | None, config: Any) -> np.ndarray:
    """can_bus [18] with position (m) and yaw (degrees) relative to the frame before; where a scene begins 0, or what
    `config.first_motion` says.
    """
    found, since = frame.can_bus.copy(), before
    if config.first_motion == "absolute":
        since = previous
    elif before is None:
        found[[0, 1, 2, 17]] = 0
    if since is not None:
        found[[0, 1, 2, 17]] -= since.can_bus[[0, 1, 2, 17]]
    return found
