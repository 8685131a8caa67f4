"""UniAD: published figures, and what stays in FP32 where PyTorch runs it in half precision."""

from typing import ClassVar

from benchmarks.systems.base import System
from helpers import models

PUBLISHED = "tiny"
HALF = "/img_backbone/*", "/img_neck/*"  # what half precision suits, as in `with_half_features`
LIKE = ("bev_embed", "seg_out", "outs_planning")  # outputs without rows of tracks, whose order is nobody's


class UniAD(System):
    """UniAD-tiny, as it is deployed, and the mini; with all rows of tracks, filled or not."""

    name = "uniad"
    checkpoint = "uniad_mini.safetensors"
    # DRIVE Orin-X, TensorRT 10.7, nuScenes val (deployment part of NVIDIA's DL4AGX); L2 of the plan in m.
    published: ClassVar = {
        "eager": {"ms": 843.52, "L2": 0.9986},
        "fp32": {"ms": 64.05, "L2": 0.9986},
        "fp16": {"ms": 49.76, "L2": 1.0021},
        "qdq": {"ms": 39.31, "L2": 1.0029},
    }
    defined = True
    smoothed = True
    before = HALF
    further = ("pair", "pair_qdq")  # forms that TensorRT 8.6.0 may take where it refuses a network of both precisions
    goals: ClassVar = {"fp16": 1.29, "qdq": 1.63}
    keep_fp32 = tuple(models.config("uniad", PUBLISHED).input_shapes())
    accuracy = ("AMOTA", "mAP", "IoU-lane", "L2/mean@3s")

    def config(self, shape):
        return models.config(self.name, PUBLISHED if shape == "published" else shape)

    def has_ends(self, shape):
        return False  # what is decoded is more than boxes

    def score(self, pairs, dataset):
        """Every measure of driving."""
        from helpers import evaluate  # the devkit: where engines run, there is none

        task = evaluate.task_of(self.config("mini"))
        return task.total([(frame.token, task.keep(frame, found, dataset)) for frame, found in pairs], dataset)

    def seen(self, config, outputs):
        return {name: outputs[name] for name in LIKE}

    def half(self, model):
        """Backbone and pyramid alone in half precision: what comes behind them gets FP32."""
        return with_half_features(self.on_gpu(model))


def with_half_features(model):
    """The network with backbone and pyramid in half precision, in place."""
    whole = model.features
    model.img_backbone.half()
    model.img_neck.half()
    model.features = lambda pictures: [level.float() for level in whole(pictures.half())]
    return model
