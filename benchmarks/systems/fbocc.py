"""FB-OCC: published figures, the sizes that its frames need, and what stays in FP32 where PyTorch runs it in half."""

from typing import ClassVar

import numpy as np

from benchmarks.systems.base import System
from helpers.voxels import FREE, SHAPE

STEP = 4  # of the logits that are kept: every fourth voxel along each axis


class FBOCC(System):
    """FB-OCC R50 and its mini."""

    name = "fbocc"
    checkpoint = "fbocc_mini.safetensors"
    # NVIDIA A40, nuScenes val (the deployment section of NVlabs/FB-BEV); mIoU in percent.
    published: ClassVar = {
        "fp32": {"ms": 54.37, "mIoU": 38.90},
        "fp16": {"ms": 34.26, "mIoU": 38.86},
        "eager": {"ms": 98.37, "mIoU": 38.90},
    }
    goals: ClassVar = {"fp16": 1.59, "qdq": None, "qdq_tf32": None}
    sizes: ClassVar = {
        "published": {"points": 212_000, "intervals": 54_000, "queries": 2_560},
        "mini": {"points": 44_000, "intervals": 12_000, "queries": 700},
    }
    keep_fp32 = ("mlp_input", "ref_2d", "bev_query_depth", "reference_points_cam", "reference_points_rebatch",
                 "bev_query_depth_rebatch", "grid")  # fmt: skip
    accuracy = ("mIoU", "mIoU/labeled", "RayIoU/labeled")
    needs_plugin = True

    def kept(self, config, outputs):
        """The class of every voxel, and some of the logits; nothing but NaN of logits that are not finite."""
        logits = outputs[config.decoded[0]]
        some = logits[:, :, ::STEP, ::STEP, ::STEP].astype(np.float32)
        if not np.isfinite(logits).all():
            return {"classes": np.full(SHAPE, FREE, np.uint8), "logits": np.full_like(some, np.nan)}
        return {"classes": config.decode(outputs), "logits": some}

    def decoded(self, config, kept):
        return kept["classes"]

    def score(self, pairs, dataset):
        """mIoU, RayIoU, both over the labeled classes too, and the IoU of each class."""
        from helpers.metrics import occupancy  # the devkit: where engines run, there is none

        return occupancy.score(pairs, dataset)

    def half(self, model):
        """The camera parameters' norm, the depth weights and the warp stay in FP32 and hand on half precision."""
        made = super().half(model)
        cross = made.backward_projection.transformer.encoder["layers"][0].attentions[1]
        made.depth_net.bn.float().register_forward_hook(_to_half)
        for module in (cross.depth_lookup, made.history_warp):
            module.register_forward_hook(_to_half)
        cross.depth_lookup.register_forward_pre_hook(lambda module, given: (given[0].float(), *given[1:]))
        return made


def _to_half(module, given, found):
    return tuple(each.half() for each in found) if isinstance(found, tuple) else found.half()
