"""Configurations of BEVFormer: sizes, shapes, states and which parts need FP32. NumPy only."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from helpers.boxes import Boxes
from helpers.errors import BadInput
from helpers.systems import base
from helpers.systems.bevformer.projection import PROJECTED

PROJECTIONS = ("published", "operator", "inputs")


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Sizes of one configuration. `pc_range` is meters in LiDAR, minimum x, y, z, then maximum.

    projection: who projects the pillars into the cameras, with the same outputs and values: "published" the graph, in
    standard operators; "operator" the graph, as one custom operator in FP32; "inputs" the host, so that the graph takes
    `PROJECTED` in place of lidar2img.
    """

    depths: tuple
    base_channels: int
    embed_dims: int
    num_heads: int
    ffn_dims: int
    encoder_layers: int
    decoder_layers: int
    num_query: int
    num_feature_levels: int
    rotate_center: tuple
    bev_h: int = 50
    bev_w: int = 50
    points: int = 4
    pillar_points: int = 4
    pillar_offsets: int = 2
    num_cameras: int = 6
    num_classes: int = 10
    code_size: int = 10
    pc_range: tuple = (-51.2, -51.2, -5.0, 51.2, 51.2, 3.0)
    projection: str = "published"
    image_mean: tuple = (123.675, 116.28, 103.53)
    image_std: tuple = (58.395, 57.12, 57.375)

    states: ClassVar = {"prev_bev": "bev_embed"}
    decoded = ("outputs_classes", "outputs_coords")
    task = "detection"
    pictures = "image"
    # Reference points far outside a picture overflow in half precision. The plugin takes them in FP32; the standard
    # operators that stand for it have to stay in FP32.
    fp32_without_plugins = ("/pts_bbox_head/transformer/encoder/layers.*/attentions.1/MultiScaleDeformableAttnTRT2/*",)
    unquantized = ("/pts_bbox_head/",)  # ModelOpt finds no more than four sums there

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection not in PROJECTIONS:
            where, expected = f"config {self.name!r}", f"one of {', '.join(PROJECTIONS)}"
            raise BadInput(where, f"projection={self.projection!r}", expected, "correct the name")

    def with_projection(self, projection: str) -> "Config":
        """This configuration with another `projection`. Raises BadInput for one that is none."""
        return dataclasses.replace(self, projection=projection)

    @property
    def fp32(self) -> tuple[str, ...]:  # type: ignore[override]
        """The projection, which overflows in half precision, where it is part of the graph."""
        return () if self.projection == "inputs" else ("/pts_bbox_head/transformer/encoder/projection/*",)

    @property
    def stride(self) -> int:
        """Image pixels per cell of the feature map."""
        return 2 ** (len(self.depths) + 1)

    @property
    def feature_size(self) -> tuple[int, int]:
        """(H, W) of the feature map."""
        return self.image_size[0] // self.stride, self.image_size[1] // self.stride

    @property
    def feature_sizes(self) -> tuple[tuple[int, int], ...]:
        """(H, W) of every level of feature maps: there is one."""
        return (self.feature_size,)

    def input_shapes(self) -> base.Shapes:
        """Name -> shape of the inputs in their order; all float32."""
        cameras, cells = self.num_cameras, self.bev_h * self.bev_w
        projected = ((cameras, cells, 1, 2 * self.pillar_points), (1, cameras, cells, 1))
        return {
            "image": (1, cameras, 3, *self.image_size),
            "prev_bev": (cells, 1, self.embed_dims),
            "use_prev_bev": (1,),
            "can_bus": (18,),
        } | (
            dict(zip(PROJECTED, projected, strict=True))
            if self.projection == "inputs"
            else {"lidar2img": (1, cameras, 4, 4)}
        )

    def output_shapes(self) -> base.Shapes:
        """Name -> shape of the outputs in their order; all float32."""
        return {
            "bev_embed": (self.bev_h * self.bev_w, 1, self.embed_dims),
            "outputs_classes": (self.decoder_layers, 1, self.num_query, self.num_classes),
            "outputs_coords": (self.decoder_layers, 1, self.num_query, self.code_size),
        }

    def inputs(self, frame: Any, previous: Any) -> dict[str, np.ndarray]:
        """Network inputs of one frame without `prev_bev`: `helpers.systems.bevformer.inputs.inputs`."""
        from helpers.systems.bevformer.inputs import inputs  # OpenCV and the devkit: shapes alone must not need them

        return inputs(frame, previous, self)

    def decode(self, outputs: Mapping[str, np.ndarray]) -> Boxes:
        """Boxes of one frame in the lidar frame, of the network's outputs or of what `choose` made of them."""
        from helpers.systems.bevformer.decode import decode_chosen, decode_outputs

        if "boxes" in outputs:
            return decode_chosen(outputs)
        self.check_outputs(outputs)
        return decode_outputs(outputs["outputs_classes"], outputs["outputs_coords"])

    def choose(self, body: Any, shapes: Mapping[str, list[int]]) -> dict[str, tuple[int, list[int]]]:
        """The best boxes, decoded, as nodes: `helpers.systems.bevformer.selection.choose`."""
        from helpers.systems.bevformer.selection import choose  # onnx: shapes alone must not need it

        return choose(body, *self.decoded, shapes["outputs_classes"])


_PUBLISHED = Config(
    name="published",
    image_scale=0.5,
    image_size=(480, 800),
    depths=(3, 4, 6, 3),
    base_channels=64,
    embed_dims=256,
    num_heads=8,
    ffn_dims=512,
    encoder_layers=3,
    decoder_layers=6,
    num_query=900,
    num_feature_levels=4,
    rotate_center=(100.0, 100.0),
)
_MINI = Config(
    name="mini",
    image_scale=0.25,
    image_size=(256, 416),
    depths=(2, 3, 4),
    base_channels=32,
    embed_dims=128,
    num_heads=4,
    ffn_dims=256,
    encoder_layers=2,
    decoder_layers=3,
    num_query=300,
    num_feature_levels=1,
    rotate_center=(25.0, 25.0),
)
CONFIGS = {config.name: config for config in (_PUBLISHED, _MINI)}
