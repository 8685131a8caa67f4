"""OmniDrive's vision part: published figures, and what stays in FP32 where PyTorch runs it in half precision."""

from typing import ClassVar

import numpy as np

from benchmarks.systems.base import System
from helpers import models
from helpers.systems.omnidrive import parts

BACKBONE = "img_backbone"
SMOOTH = 0.5  # alpha of SmoothQuant
SMALLEST = tuple(pattern for pattern, kind in parts.FOUND.items() if kind == "fp32")


class OmniDrive(System):
    """OmniDrive with EVA-02 Base, and its mini. The language model is measured apart."""

    name = "omnidrive"
    checkpoint = "omnidrive_mini.safetensors"
    # NVIDIA A100, TensorRT 10.4, nuScenes val (deployment part of NVlabs/OmniDrive): backbone FP16, the rest FP32.
    published: ClassVar = {
        "eager": {"ms": 280.024, "mAP": 0.354},
        "fp32": {"ms": 75.66, "mAP": 0.354},
        "fp16": {"ms": 25.92, "mAP": 0.306},
    }
    goals: ClassVar = {"fp16": 2.92}
    words_goal = 8.8  # 2,256.5 ms over 256.2 ms, language model in FP16
    keep_fp32 = tuple(models.config("omnidrive").input_shapes())
    accuracy = ("NDS", "mAP")
    language = "omnidrive_mini_llm"
    before = parts.BACKBONE
    parts, rule, on_the_map = parts.PARTS, parts.SEED, ("memory and poses",)
    smallest = SMALLEST
    # What the speed of mixed precision is a share of; forms for a builder that refuses both precisions in one network.
    further = ("fp16_full", "fp16_norms", "pair", "pair_qdq")
    quantized: ClassVar = {"linears": True, "smooth": SMOOTH}  # a vision transformer has one convolution

    def kept(self, config, outputs):
        """What is scored, and the rows that the language model reads."""
        return super().kept(config, outputs) | {config.table: outputs[config.table]}

    def finite(self, kept):
        """Of the last decoder layer, whose boxes count."""
        return all(np.isfinite(array[-1]).all() for array in kept.values())

    def score(self, pairs, dataset):
        """Detection metrics."""
        from helpers.metrics import detection  # the devkit: where engines run, there is none

        return detection.score({frame.token: detection.to_global(boxes, frame) for frame, boxes in pairs}, dataset)

    def seen(self, config, outputs):
        """What does not hang on the order of the memory's rows."""
        return parts.seen(outputs, config)

    def far(self, steps, meters):
        """The same drive, so far from the map's origin."""
        return parts.far(steps, meters)

    def half(self, model):
        """The backbone alone in half precision, as published: what comes behind it gets FP32."""
        return with_half_backbone(self.on_gpu(model))


def with_half_backbone(model):
    """The network with its backbone in half precision, in place; pictures and features are cast on their way.

    The matrix that stretches its positions is of FP32, as these are while they are stretched.
    """
    backbone = getattr(model, BACKBONE).half()
    backbone.stretch = backbone.stretch.float()
    backbone.register_forward_pre_hook(lambda module, given: tuple(each.half() for each in given))
    backbone.register_forward_hook(lambda module, given, found: found.float())
    return model
