"""BEVFormer: published figures, sizes, and what stays in FP32 where PyTorch runs it in half precision."""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from benchmarks.systems.base import System
from helpers import models
from helpers.systems.bevformer.config import PROJECTIONS, Config
from helpers.systems.bevformer.projection import PROJECTED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant(Config):
    """A configuration for B streams at once, each with six cameras; for timing."""

    batch: int = 1

    def input_shapes(self):
        found = {}
        for name, shape in super().input_shapes().items():
            batch = 1 if name == "prev_bev" else 0  # the axis of the streams
            found[name] = (*shape[:batch], shape[batch] * self.batch, *shape[batch + 1 :])
        return found

    def output_shapes(self):
        return {name: (shape[0], self.batch, *shape[2:]) for name, shape in super().output_shapes().items()}


class BEVFormer(System):
    """BEVFormer-tiny and its mini.

    projection: of the configurations. TensorRT 8.6.0 gets a published graph with Q/DQ beside half precision wrong, and
    has built no engine of the operator's within minutes.
    """

    name = "bevformer"
    checkpoint = "bevformer_mini.safetensors"
    # NVIDIA A40, TensorRT 10.3.0.26, plugin nv_half2, median GPU compute time, nuScenes val (NVIDIA/DL4AGX).
    published: ClassVar = {
        "fp32": {"ms": 18.82, "NDS": 0.354, "mAP": 0.252},
        "fp16": {"ms": 9.36, "NDS": 0.354, "mAP": 0.251},
        "best": {"ms": 6.20, "NDS": 0.353, "mAP": 0.250},
        "qdq": {"ms": 6.02, "NDS": 0.352, "mAP": 0.251},
        "qdq_tf32": {"ms": 6.02, "NDS": 0.352, "mAP": 0.251},  # the same engine: ours without half precision
    }
    goals: ClassVar = {"fp16": 2.01, "best": None, "qdq": 3.13, "qdq_tf32": 3.13}
    variants: ClassVar = {
        "base": {},
        **{f"batch_{batch}": {"batch": batch} for batch in (2, 4, 8)},
        **{f"bev_{size}": {"bev_h": size, "bev_w": size} for size in (100, 150)},
        **{f"image_{h}x{w}": {"image_size": (h, w)} for h, w in ((736, 1280), (928, 1600))},
    }
    keep_fp32 = ("lidar2img", *PROJECTED)
    accuracy = ("NDS", "mAP")
    projections = PROJECTIONS

    def __init__(self, projection="inputs"):
        self.projection = projection

    def projected(self, projection):
        return BEVFormer(projection)

    def config(self, shape):
        return super().config(shape).with_projection(self.projection)

    def finite(self, kept):
        """Of the last decoder layer, whose boxes count."""
        return all(np.isfinite(array[-1]).all() for array in kept.values())

    def score(self, pairs, dataset):
        """Detection metrics."""
        from helpers.metrics import detection  # the devkit: where engines run, there is none

        return detection.score({frame.token: detection.to_global(boxes, frame) for frame, boxes in pairs}, dataset)

    def variant(self, name, base="published"):
        chosen = self.config(base)
        fields = {field.name: getattr(chosen, field.name) for field in dataclasses.fields(Config)}
        return Variant(**fields | {"name": name} | self.variants[name])

    def resized(self, given, shapes):
        """The pictures are noise, the geometry of the frame is brought to their size; all streams are alike."""
        shape = shapes["image"]
        batch, scale = shape[0], shape[-1] / given["image"].shape[-1]
        fitted = {name: given[name] for name in given.keys() & {"lidar2img"}}
        fitted = {name: array * np.float32([scale, scale, 1, 1])[:, None] for name, array in fitted.items()}
        for axis, name in enumerate(PROJECTED, 1):
            if name in given:
                fitted[name] = _of_cells(given[name], axis, shapes[name][axis])
        return {
            "image": np.random.default_rng(0).standard_normal(shape, np.float32),
            "use_prev_bev": np.ones(batch, np.float32),
            "can_bus": np.tile(given["can_bus"], batch),
        } | {name: np.tile(array, (batch, 1, 1, 1)) for name, array in fitted.items()}

    def half(self, model):
        """The projection stays in FP32 and hands on a half-precision mask."""
        made = super().half(model)
        projection = made.pts_bbox_head.transformer.encoder.projection
        fresh = models.create(self.name, model.config).pts_bbox_head
        for name, buffer in fresh.transformer.encoder.projection.named_buffers():
            setattr(projection, name, buffer.cuda())
        made.pts_bbox_head.low, made.pts_bbox_head.high = fresh.low.cuda(), fresh.high.cuda()
        projection.register_forward_hook(lambda module, given, found: (found[0], found[1].half()))
        return made


def _of_cells(array, axis, count):
    """`array` for a square map of `count` cells: each has the values of the nearest cell of its own square map."""
    old, new = math.isqrt(array.shape[axis]), math.isqrt(count)
    nearest = np.arange(new) * old // new
    return array.take((nearest[:, None] * old + nearest).ravel(), axis)
