"""Configurations of OmniDrive: sizes, shapes, states and which parts need FP32. NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers.boxes import Boxes
from helpers.errors import BadInput
from helpers.systems import base

# What a head remembers, in the order of the public graph: as inputs, and for lanes another one as outputs.
BOX_MEMORY = ("embedding", "reference_point", "timestamp", "egopose", "canbus")
LANE_MEMORY = ("timestamp", "egopose", "embedding", "reference_point")
LANE_MEMORY_OUT = ("embedding", "timestamp", "egopose", "reference_point")
LANE_OUTPUTS = ("all_lane_cls_one2one", "all_lane_preds_one2one", "all_lane_cls_one2many", "all_lane_preds_one2many")
MOTION = 14  # numbers that say how the vehicle drives: the command and 13 of its CAN bus
KEPT_MOTIONS = 2  # of earlier frames


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Sizes of one configuration; the graph is of the vision part. Frames: ego (meters).

    image_crop: (H, W) of what is left at the bottom of the scaled picture, in its middle; it is then stretched to
    `image_size`. width, depth, heads: of the backbone; global_blocks: those that attend over the whole picture, the
    others within windows of `window` patches; pretrained_grid: patches along a side that its positions were trained on.
    dims, decoder_heads, ffn_dims: of the decoders. extra: queries of each head that become tokens of the language
    model, `tokens` wide. learned: object queries; propagated: those that come from the frame before, as many as are
    newly remembered. lanes: lane queries that are matched one to one, and those that are in training only; points: on a
    lane. depths, position_range: of the rays; pc_range: of boxes and lanes, minimum x, y, z, then maximum.
    """

    image_crop: tuple
    width: int = 768
    depth: int = 12
    heads: int = 12
    global_blocks: tuple = (2, 5, 8, 11)
    window: int = 16
    patch: int = 16
    pretrained_grid: int = 14
    dims: int = 256
    decoder_layers: int = 6
    decoder_heads: int = 8
    ffn_dims: int = 2048
    extra: int = 256
    tokens: int = 2048
    learned: int = 600
    propagated: int = 300
    lanes: tuple = (300, 1500)
    points: int = 11
    depths: int = 64
    num_cameras: int = 6
    num_classes: int = 10
    code_size: int = 10
    position_range: tuple = (-61.2, -61.2, -10.0, 61.2, 61.2, 10.0)
    pc_range: tuple = (-51.2, -51.2, -5.0, 51.2, 51.2, 3.0)
    image_mean: tuple = (123.675, 116.28, 103.53)
    image_std: tuple = (58.395, 57.12, 57.375)

    task = "detection"
    decoded = ("all_cls_scores", "all_bbox_preds")
    table = "vision_embeded"  # as the public graph spells it
    elsewhere = ("lm_head.",)  # the language model, which helpers.llm takes out of the checkpoint
    # Pixels times meters, poses on a map, logits of positions and sines of large angles need more than eleven bits: of
    # the public graph only the backbone is in half precision.
    fp32 = ("/camera_rays/*", "/position_encoder.*", "/pts_bbox_head/*", "/map_head/*", "/Identity*")
    unquantized = ("/camera_rays/", "/position_encoder", "/pts_bbox_head/", "/map_head/")

    def __post_init__(self) -> None:
        super().__post_init__()
        (height, width), where = self.image_size, f"config {self.name!r}"
        if height != width or height % self.patch:
            found, expected = f"image_size {self.image_size}", f"a square of whole patches of {self.patch} pixels"
            raise BadInput(where, found, expected, "give another value")
        if self.width % (4 * self.heads) or self.dims % (2 * self.decoder_heads):
            found = f"width {self.width} of {self.heads} heads, dims {self.dims} of {self.decoder_heads}"
            raise BadInput(where, found, "channels of a head in fours, and in twos", "give another value")
        if self.propagated > self.lanes[0]:
            found = f"{self.propagated} remembered of {self.lanes[0]} lanes"
            raise BadInput(where, found, "no more than there are", "give another value")

    @property
    def feature_size(self) -> tuple[int, int]:
        """Patches (rows, columns) of a picture."""
        return self.image_size[0] // self.patch, self.image_size[1] // self.patch

    @property
    def hidden(self) -> int:
        """Channels between the layers of the backbone's blocks."""
        return int(self.width * 8 / 3)

    @property
    def remembered(self) -> int:
        """Rows of the past that a frame uses; the newest `propagated` rows of it come before those that are older."""
        return 2 * self.propagated

    @property
    def queries(self) -> int:
        """Object queries that a box is made of."""
        return self.learned + self.propagated

    @property
    def vision_tokens(self) -> int:
        """Rows that the language model reads: the queries of both heads, and one of how the vehicle drives."""
        return 2 * self.extra + 1

    def _memory(self) -> base.Shapes:
        """State without `_in` and `_out` -> shape."""
        rows = self.remembered + self.propagated
        shapes = {
            "embedding": (rows, self.dims),
            "reference_point": (rows, 3),
            "timestamp": (rows, 1),
            "egopose": (rows, 4, 4),
            "canbus": (1 + KEPT_MOTIONS, MOTION),
        }
        boxes = {f"memory_{name}_bbox": (1, *shapes[name]) for name in BOX_MEMORY} | {"sample_time_bbox": (1,)}
        shapes["reference_point"] = (rows, self.points, 3)
        lanes = {f"memory_{name}_map": (1, *shapes[name]) for name in LANE_MEMORY}
        first = next(iter(lanes))
        return boxes | {first: lanes[first], "sample_time_map": (1,)} | lanes

    @property
    def states(self) -> dict[str, str]:  # type: ignore[override]
        """State input -> the output that feeds it on the next frame."""
        return {f"{name}_in": f"{name}_out" for name in self._memory()}

    def input_shapes(self) -> base.Shapes:
        """Name -> shape of the inputs in the order of the public graph, all float32; without `intrinsics`, which the
        public export names as well and its simplifier drops: nothing reads them.
        """
        return {
            "img": (1, self.num_cameras, 3, *self.image_size),
            "img2lidars": (1, self.num_cameras, 4, 4),
            "command": (1,),
            "can_bus": (1, MOTION - 1),
            "is_first_frame": (1,),
            "ego_pose": (1, 4, 4),
            "timestamp": (1,),
            "ego_pose_inv": (1, 4, 4),
        } | {f"{name}_in": shape for name, shape in self._memory().items()}

    def output_shapes(self) -> base.Shapes:
        """Name -> shape of the outputs in the order of the public graph, all float32."""
        layers, (one, many), memory = self.decoder_layers, self.lanes, self._memory()
        found = {
            self.table: (1, self.vision_tokens, self.tokens),
            "all_cls_scores": (layers, 1, self.queries, self.num_classes),
            "all_bbox_preds": (layers, 1, self.queries, self.code_size),
        }
        lanes = [(layers, 1, count, size) for count in (one, many) for size in (1, 3 * self.points)]
        found |= dict(zip(LANE_OUTPUTS, lanes, strict=True))
        found |= {f"outs_dec_one2{how}": (layers, 1, n, self.dims) for how, n in (("one", one), ("many", many))}
        order = [*(name for name in memory if name.endswith("_bbox"))]
        order += [*(f"memory_{name}_map" for name in LANE_MEMORY_OUT), "sample_time_map"]
        return found | {f"{name}_out": memory[name] for name in order}

    def inputs(self, frame: Any, previous: Any) -> dict[str, np.ndarray]:
        """Network inputs of one frame without the states: `helpers.systems.omnidrive.inputs.inputs`."""
        from helpers.systems.omnidrive.inputs import inputs  # Pillow and OpenCV: shapes alone must not need them

        return inputs(frame, previous, self)

    def decode(self, outputs: Mapping[str, np.ndarray]) -> Boxes:
        """Boxes of one frame in the ego frame: `helpers.systems.omnidrive.decode.decode_outputs`."""
        from helpers.systems.omnidrive.decode import decode_outputs

        self.check_outputs(outputs)
        return decode_outputs(*(outputs[name] for name in self.decoded))


_PUBLISHED = Config(name="published", image_scale=0.4, image_size=(640, 640), image_crop=(320, 640))
_MINI = Config(
    name="mini",
    image_scale=0.2,
    image_size=(320, 320),
    image_crop=(160, 320),
    width=192,
    depth=6,
    heads=3,
    global_blocks=(2, 5),
    window=8,
    dims=128,
    decoder_layers=3,
    decoder_heads=4,
    ffn_dims=512,
    extra=32,
    tokens=256,
    learned=240,
    propagated=60,
    lanes=(60, 120),
    depths=32,
)
CONFIGS = {config.name: config for config in (_PUBLISHED, _MINI)}
