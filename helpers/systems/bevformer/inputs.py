"""A frame to the inputs of BEVFormer, and its rules for the previous frame. Needs no torch."""

from typing import Any

import numpy as np

from helpers.arguments import array, typed
from helpers.dataset import Frame, preprocess
from helpers.dataset.frame import earlier
from helpers.errors import check_config
from helpers.layers.pillars import pillars
from helpers.systems.bevformer.projection import PROJECTED, project


@typed
def inputs(frame: Frame, previous: Frame | None, config: Any) -> dict[str, np.ndarray]:
    """Network inputs of one frame, float32, all but the state prev_bev.

    Args:
        frame: `helpers.dataset.Frame`.
        previous: the frame before, or None; a frame of another scene counts as None.
    Returns:
        image [1,6,3,H,W]; use_prev_bev [1], 1 with history; can_bus [18] with position (m) and yaw (degrees) relative
        to the previous frame, zero without history; lidar2img [1,6,4,4] into pixels of the scaled picture, or where
        `config.projection` is "inputs" what `projection.project` makes of it.
    """
    check_config(config, "image_scale", "projection")
    scale = config.image_scale
    before = earlier(frame, previous)
    can_bus = frame.can_bus.copy()
    can_bus[:3] = can_bus[:3] - before.can_bus[:3] if before else 0
    can_bus[17] = can_bus[17] - before.can_bus[17] if before else 0
    lidar2img = (np.diag([scale, scale, 1, 1]) @ frame.lidar2img).astype(np.float32)[None]
    return {
        "image": preprocess(frame.images(), config)[None],
        "use_prev_bev": np.array([before is not None], np.float32),
        "can_bus": can_bus.astype(np.float32),
    } | geometry(lidar2img, config)


def geometry(lidar2img: np.ndarray, config: Any) -> dict[str, np.ndarray]:
    """The inputs that say where the cameras look, of lidar2img float32 [B,6,4,4]: itself, or its projection."""
    array("lidar2img", lidar2img, (None, None, 4, 4))
    if config.projection != "inputs":
        return {"lidar2img": lidar2img}
    return dict(zip(PROJECTED, project(lidar2img, pillars(config), config.image_size), strict=True))
