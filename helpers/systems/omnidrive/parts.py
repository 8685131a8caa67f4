"""The parts of OmniDrive's vision graph that are marked FP16 or FP32 together, and what their errors are seen in."""

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.sequence import Arrays, Step
from helpers.systems.omnidrive.config import LANE_OUTPUTS, Config

BACKBONE = ("/img_backbone/*",)
_HEADS = ("/pts_bbox_head", "/map_head")


def _of_heads(*patterns):
    return tuple(f"{head}/{pattern}" for pattern in patterns for head in _HEADS)


# Operators that stand in a head itself begin with a capital, modules do not. The first part that fits counts.
PARTS = {
    "backbone": BACKBONE,
    "camera rays": ("/camera_rays/*",),
    "position encoder": ("/position_encoder.*",),
    "decoder layers": _of_heads("transformer/*"),
    "encoders of time and motion": _of_heads("query_pos*", "time_embedding*", "ego_pose_pe/*"),
    "class and box branches": _of_heads("cls_branches*", "reg_branches*"),
    "tokens": (*_of_heads("input_projection/*", "output_projection/*"), f"{_HEADS[0]}/can_bus_embed*"),
    "memory and poses": _of_heads("[A-Z]*"),
}
SEED = {"*": "fp32", BACKBONE[0]: "fp16"}  # the published rule: the backbone in half precision, the rest in FP32

# What `python -m benchmarks accuracy` found with the trained mini: rays overflow, and places on a map are coarse.
FOUND = {"*": "fp16"} | {pattern: "fp32" for part in ("camera rays", "memory and poses") for pattern in PARTS[part]}


@typed
def seen(outputs: dict[str, np.ndarray], config: Config) -> Arrays:
    """What does not hang on the order of the memory's rows, which nearly tied scores change: of the last decoder layer.

    The tokens, class logits and box codes of the learned queries, logits and points of the lanes; the queries that come
    from the memory, and the memory itself, are in no order that two precisions share.
    """
    tokens, boxes, lanes = outputs[config.table], (outputs[name] for name in config.decoded), LANE_OUTPUTS[:2]
    found = {config.table: tokens}
    found |= {name: array[-1, :, : config.learned] for name, array in zip(config.decoded, boxes, strict=True)}
    return found | {name: outputs[name][-1] for name in lanes}


@typed
def far(steps: list[Step], meters: float) -> list[Step]:
    """The same drive on a map whose origin lies `meters` to the west and to the south of the old one, as real maps' do.

    Nothing else changes: poses are float32 as before, and what is near the vehicle stays there.
    """
    if not np.isfinite(meters):
        raise BadInput("meters", meters, "a finite distance", "pass one such as 2000.0")
    move = np.eye(4)
    move[:2, 3] = meters
    found = []
    for step in steps:
        pose = move @ step.feeds["ego_pose"][0].astype(np.float64)
        moved = {"ego_pose": pose[None], "ego_pose_inv": np.linalg.inv(pose)[None]}
        found.append(step._replace(feeds=step.feeds | {name: a.astype(np.float32) for name, a in moved.items()}))
    return found
