"""A frame to the inputs of BEVFormer, and its rules for the previous frame. Needs no torch."""

import numpy as np

from helpers.dataset import Frame, preprocess
from helpers.systems import base


def inputs(frame: Frame, previous: Frame | None, config: base.Config) -> dict[str, np.ndarray]:
    """Network inputs of one frame, float32, all but the state prev_bev.

    Args:
        frame: `helpers.dataset.Frame`.
        previous: the frame before, or None; a frame of another scene counts as None.
    Returns:
        image [1,6,3,H,W]; use_prev_bev [1], 1 with history; can_bus [18] with position (m) and yaw (degrees) relative
        to the previous frame, zero without history; lidar2img [1,6,4,4] into pixels of the scaled picture.
    """
    scale = config.image_scale
    before = previous if previous is not None and previous.scene == frame.scene else None
    can_bus = frame.can_bus.copy()
    can_bus[:3] = can_bus[:3] - before.can_bus[:3] if before else 0
    can_bus[17] = can_bus[17] - before.can_bus[17] if before else 0
    return {
        "image": preprocess(frame.images(), config)[None],
        "use_prev_bev": np.array([before is not None], np.float32),
        "can_bus": can_bus.astype(np.float32),
        "lidar2img": (np.diag([scale, scale, 1, 1]) @ frame.lidar2img).astype(np.float32)[None],
    }
