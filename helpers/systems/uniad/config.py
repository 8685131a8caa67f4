"""Configurations of UniAD: sizes, shapes, states and switches. NumPy only."""

import itertools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from helpers.errors import BadInput
from helpers.systems import base
from helpers.systems.uniad.sizes import FP32, SIZES

TRACKS = (0, 1, 3, 4, 5, 6, 8, 9, 11, 12, 13)  # the public numbers of the tensors of a track that the graph keeps
WHOLE = (3, 4, 5, 12)  # those of them that hold whole numbers
EMPTY = {3: -1, 4: -1, 12: 1}  # of a row without a track; of the others 0
CHOICES = {
    "temporal_shift": ("both", "history"),
    "map_sampling": ("flat", "first"),
    "first_motion": ("zero", "absolute"),
}


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Sizes of one configuration. `pc_range` is meters in LiDAR, minimum x, y, z, then maximum.

    bgr: the network takes blue first. caffe, deformable: of the backbone, as `helpers.layers.resnet.ResNet` has them;
    picked: its stages that the pyramid takes. carried: tracks that are remembered, and that the heads behind see, at
    most; of more the last in the order of rows are lost.

    temporal_shift: which entry of the temporal attention the vehicle's motion moves: "both", as the public PyTorch does
    in training and evaluation, with history or without; "history" alone, as the public export does.
    map_sampling: how the map head reads offsets of `map_levels` levels over the one level that there is. "flat" as the
    public CUDA kernel does, which takes the number of levels from the shapes and so reads the buffers' beginning;
    "first" takes the first level of each query. With one level both are the same.
    first_motion: the vehicle's motion where a scene begins, "zero", or the "absolute" position as the public evaluation
    has it.
    occupancy_range, occupancy_cell: m; the grid of the occupancy, resampled from the map where `sliced`, else the map.
    """

    depths: tuple
    base_channels: int
    picked: tuple
    num_feature_levels: int
    bev_h: int
    bev_w: int
    encoder_layers: int
    map_levels: int
    occupancy_range: float
    occupancy_cell: float
    sliced: bool
    embed_dims: int = 256
    num_heads: int = 8
    ffn_dims: int = 512
    decoder_layers: int = 6
    num_query: int = 900
    carried: int = 249
    rotate_center: tuple = (100.0, 100.0)
    caffe: bool = False
    deformable: tuple = ()
    bgr: bool = False
    points: int = 4
    pillar_points: int = 4
    pillar_offsets: int = 2
    num_cameras: int = 6
    num_classes: int = 10
    code_size: int = 10
    path_steps: int = 8
    birth_score: float = 0.4
    alive_score: float = 0.35
    patience: int = 5
    slots: int = 4
    map_queries: int = 300
    map_classes: int = 3
    map_layers: int = 6
    things_layers: int = 4
    stuff_layers: int = 6
    map_masks: int = 100
    modes: int = 6
    motion_steps: int = 12
    motion_layers: int = 3
    groups: tuple = ((0, 1, 2, 3, 4), (6, 7), (8,), (5, 9))
    vehicles: tuple = (0, 1, 2, 3, 4, 6, 7)
    occupancy_steps: int = 5
    occupancy_ffn: int = 2048
    plan_steps: int = 6
    temporal_shift: str = "both"
    map_sampling: str = "flat"
    first_motion: str = "absolute"
    pc_range: tuple = (-51.2, -51.2, -5.0, 51.2, 51.2, 3.0)
    image_mean: tuple = (123.675, 116.28, 103.53)
    image_std: tuple = (58.395, 57.12, 57.375)
    projection: ClassVar[str] = "published"

    decoded = (
        "bboxes_dict_bboxes", "bboxes_dict_scores", "bboxes_dict_labels", "obj_idxes", "lane_masks", "lane_scores",
        "lane_classes", "drivable_mask", "traj_preds", "traj_log_scores", "seg_out", "ins_seg_out", "outs_planning",
    )  # fmt: skip
    task = "driving"

    def __post_init__(self) -> None:
        self._check_numbers()
        for field, choices in CHOICES.items():
            self._check(getattr(self, field) in choices, f"{field}={getattr(self, field)!r}", " or ".join(choices))
        most = max(self.picked, default=-1)
        self._check(0 < len(self.picked) <= self.num_feature_levels and most < len(self.depths),
                    f"picked={self.picked} of {len(self.depths)} stages for {self.num_feature_levels} levels",
                    "stages that there are, one at least, no more than levels")  # fmt: skip
        found = f"map_masks={self.map_masks} of {self.map_queries} queries"
        self._check(self.map_masks <= self.map_queries * self.map_classes, found, "no more than queries times classes")
        self._check(self.num_heads > 0 and not self.embed_dims % self.num_heads,
                    f"embed_dims={self.embed_dims}, num_heads={self.num_heads}", "whole channels a head")  # fmt: skip
        cell, reach = self.occupancy_cell, self.occupancy_range
        self._check(cell > 0 and reach > 0, f"occupancy_cell={cell}, occupancy_range={reach}", "lengths above 0")
        low, high = self.pc_range[:3], self.pc_range[3:]
        in_order = len(low) == len(high) == 3 and all(map(operator.lt, low, high))
        self._check(in_order, f"pc_range={self.pc_range}", "minimum x, y, z, then a larger maximum")
        named = {*itertools.chain(*self.groups), *self.vehicles}
        self._check(named <= set(range(self.num_classes)), f"groups={self.groups}, vehicles={self.vehicles}",
                    f"classes from 0 to {self.num_classes - 1}")  # fmt: skip
        self._check(self.birth_score <= 1 and self.alive_score <= 1,
                    f"birth_score={self.birth_score}, alive_score={self.alive_score}", "up to 1")  # fmt: skip
        super().__post_init__()

    def _check(self, right: bool, found: str, expected: str) -> None:
        if not right:
            raise BadInput(f"config {self.name!r}", found, expected, "give another value")

    @property
    def fp32(self) -> tuple[str, ...]:  # type: ignore[override]
        return FP32 + ("/occ_head/bev_sampler/*",) * self.sliced

    @property
    def pictures(self) -> str:  # type: ignore[override]
        """The input that a `Preparation` makes of pictures; none where blue comes first, which it does not do."""
        return "" if self.bgr else "img"

    @property
    def rows(self) -> int:
        """Rows of tracks: the fresh ones, the vehicle's own, and the carried."""
        return self.num_query + 1 + self.carried

    @property
    def feature_sizes(self) -> tuple[tuple[int, int], ...]:
        """(H, W) of every level of feature maps, the finest first."""
        strides = [2 ** (stage + 2) for stage in self.picked]
        strides += [strides[-1] * 2 ** (n + 1) for n in range(self.num_feature_levels - len(strides))]
        return tuple((-(-self.image_size[0] // each), -(-self.image_size[1] // each)) for each in strides)

    @property
    def occupancy_size(self) -> tuple[int, int]:
        """(H, W) of the occupancy."""
        count = round(2 * self.occupancy_range / self.occupancy_cell)
        return (count, count) if self.sliced else (self.bev_h, self.bev_w)

    def _tracks(self) -> base.Shapes:
        """State of a track -> shape."""
        dims, count = self.embed_dims, self.rows
        ends = ((2 * dims,), (3,), (), (), (), (), (), (self.code_size,), (self.slots, dims), (self.slots,), ())
        return {f"prev_track_intances{number}": (count, *end) for number, end in zip(TRACKS, ends, strict=True)}

    @property
    def empty(self) -> dict[str, base.Empty]:  # type: ignore[override]
        """State of a track -> what it is where there is none."""
        return {name: base.Empty(EMPTY.get(n, 0), "tracks") for n, name in zip(TRACKS, self._tracks(), strict=True)}

    @property
    def states(self) -> dict[str, str]:  # type: ignore[override]
        """State input -> the output that feeds it on the next frame."""
        told = (*self._tracks(), "prev_timestamp", "prev_l2g_r_mat", "prev_l2g_t", "max_obj_id")
        return {name: f"{name}_out" for name in told} | {"prev_bev": "bev_embed"}

    def input_shapes(self) -> base.Shapes:
        """Name -> shape of the inputs, under the names of the public graph."""
        cameras, place = self.num_cameras, {"timestamp": (1,), "l2g_r_mat": (1, 3, 3), "l2g_t": (1, 3)}
        return {
            **self._tracks(),
            **{f"prev_{name}": shape for name, shape in place.items()},
            "prev_bev": (self.bev_h * self.bev_w, 1, self.embed_dims),
            **place,
            "img": (1, cameras, 3, *self.image_size),
            "img_metas_can_bus": (18,),
            "img_metas_lidar2img": (1, cameras, 4, 4),
            "command": (1,),
            "use_prev_bev": (1,),
            "max_obj_id": (1,),
        }

    def output_shapes(self) -> base.Shapes:
        """Name -> shape of the outputs. Of objects there are `carried` rows, the identity -1 where there is none; of
        motion one more, the vehicle itself. Those of the public graph, and those that it keeps to itself: masks of the
        map, futures, and which object occupies a cell.
        """
        agents, occupied = self.carried, (1, self.occupancy_steps)
        inputs, height, width = self.input_shapes(), self.bev_h, self.bev_w
        told = [name for name in self.states if name not in ("prev_bev", "max_obj_id")]
        return {f"{name}_out": inputs[name] for name in told} | {
            "bev_embed": inputs["prev_bev"],
            "bboxes_dict_bboxes": (agents, 9),
            "bboxes_dict_scores": (agents,),
            "bboxes_dict_labels": (agents,),
            "bboxes_dict_bbox_index": (agents,),
            "obj_idxes": (agents,),
            "max_obj_id_out": (1,),
            "lane_masks": (self.map_masks, height, width),
            "lane_scores": (self.map_masks,),
            "lane_classes": (self.map_masks,),
            "drivable_mask": (1, height, width),
            "traj_preds": (agents + 1, self.modes, self.motion_steps, 5),
            "traj_log_scores": (agents + 1, self.modes),
            "seg_out": (*occupied, 1, *self.occupancy_size),
            "ins_seg_out": (*occupied, *self.occupancy_size),
            "outs_planning": (1, self.plan_steps, 2),
        }

    def input_types(self) -> dict[str, np.dtype]:
        """Name -> dtype of the inputs: int32 for identities, counts and switches, else float32."""
        whole = {f"prev_track_intances{number}" for number in WHOLE} | {"use_prev_bev", "max_obj_id"}
        return {name: np.dtype(np.int32 if name in whole else np.float32) for name in self.input_shapes()}

    def inputs(self, frame: Any, previous: Any) -> dict[str, np.ndarray]:
        """Network inputs of one frame without the states: `helpers.systems.uniad.inputs.inputs`."""
        from helpers.systems.uniad.inputs import inputs  # OpenCV and the devkit: shapes alone must not need them

        return inputs(frame, previous, self)

    def full(self, body: Any, inside: Mapping[str, str]) -> dict[str, str]:
        """`helpers.systems.uniad.rows.full`: tracks that live, objects that were seen."""
        from helpers.systems.uniad.rows import full

        return full(body, inside, self)

    def adapted(self, run: base.Run, inputs: Mapping[str, Any]) -> base.Run:
        """`run` of a graph with room for all tracks; of one that takes as many as there are, `rows.Bounded` of it."""
        from helpers.systems.uniad.rows import Bounded

        shape, _ = inputs.get("prev_track_intances0", ((0,), None))
        return Bounded(run, self) if isinstance(shape[0], str) else run

    def decode(self, outputs: Mapping[str, np.ndarray]) -> Any:
        """Tracks, map, futures, occupancy and plan of one frame: `helpers.systems.uniad.decode.Driven`."""
        from helpers.systems.uniad.decode import decode

        self.check_outputs(outputs)
        return decode(outputs, self)


CONFIGS = {name: Config(name=name, **sizes) for name, sizes in SIZES.items()}
