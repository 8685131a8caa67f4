"""Configurations of FB-OCC: sizes, shapes, states and which parts need FP32. NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from helpers.systems import base

RANKS = ("ranks_depth", "ranks_feat", "ranks_bev")
INTERVALS = ("interval_starts", "interval_lengths")
REBATCH = ("indexes", "queries_rebatch", "reference_points_rebatch", "bev_query_depth_rebatch")


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Sizes of one configuration.

    image_crop: rows dropped at the top of the scaled picture; `image_size` is what is left. bev_size: cells (y, x) of
    the volume, over 80 m each. levels: cells along z, over 6.4 m. depth_range: first and last depth in m, and the width
    of a bin. key_sensor: at whose time stamp the vehicle is the origin, CAM_FRONT in the public code; Occ3D's labels
    and MiniDrive's are of LIDAR_TOP. points, intervals, queries: (least, typical, most) of the free dimensions,
    which are fixed where least and most are equal. as_published: the public deployment graph, in which the host counts
    the sweep times and the first cell of the map never asks the cameras.
    """

    image_crop: int
    depths: tuple = (3, 4, 6, 3)
    base_channels: int = 64
    neck_channels: int = 256
    depth_channels: int = 512
    channels: int = 80
    heads: int = 8
    bev_size: tuple = (100, 100)
    levels: int = 8
    pillar_points: int = 4
    depth_range: tuple = (2.0, 42.0, 0.5)
    voxel_channels: tuple = (64, 128, 256)
    voxel_neck: int = 256
    history: int = 16
    num_cameras: int = 6
    num_classes: int = 19
    pc_range: tuple = (-40.0, -40.0, -1.0, 40.0, 40.0, 5.4)
    sweep_period: float = 0.5
    key_sensor: str = "CAM_FRONT"
    points: tuple = (170_000, 208_617, 250_000)
    intervals: tuple = (45_000, 52_489, 60_000)
    queries: tuple = (1_000, 2_434, 4_000)
    as_published: bool = False
    # The network takes its channels in the order B, G, R, with the statistics of R, G, B: the public code swaps the
    # channels of a picture that is RGB already, and the weights are trained so.
    image_mean: tuple = (103.53, 116.28, 123.675)
    image_std: tuple = (57.375, 57.12, 58.395)

    states: ClassVar = {"history_bev": "output_history_bev", "history_sweep_time": "output_history_sweep_time"}
    decoded = ("pred_occupancy",)
    task = "occupancy"
    # Positions in pictures and in the volume, and sums of tens of meters, need more than eleven bits.
    fp32 = ("/depth_net/bn/*", "/backward_projection/*/depth_lookup/*", "/history_warp/*")
    # Reference points far outside a picture overflow in half precision; the plugin takes them in FP32.
    fp32_without_plugins = ("/backward_projection/*/attentions.1/MultiScaleDeformableAttnTRT2/*",)
    stated = tuple(f"forward_projection.{name}" for name in ("dx", "bx", "nx"))  # cells, first center and extent
    # No such point; an interval without points; the first cell, which no camera's list has behind its first entry.
    padding: ClassVar = dict.fromkeys(RANKS, -1) | dict.fromkeys((*INTERVALS, *REBATCH), 0)
    # On the mini the depth network in INT8 costs ten points of mIoU. History and head have few operations for what they
    # move: in INT8 the changes of type and layout around them took longer than they won (H200, docs/results.md).
    unquantized = ("/backward_projection/", "/depth_net/", "/Conv$", "/history_keyframe", "/occupancy_head/")

    @property
    def stride(self) -> int:
        """Pixels of the network's picture per cell of the feature map that is lifted: that of the third stage."""
        return 2 ** (len(self.depths))

    @property
    def feature_size(self) -> tuple[int, int]:
        """(H, W) of the feature map."""
        return self.image_size[0] // self.stride, self.image_size[1] // self.stride

    @property
    def depth_bins(self) -> int:
        """Number of depth bins."""
        low, high, step = self.depth_range
        return round((high - low) / step)

    @property
    def volume(self) -> tuple[int, int, int]:
        """Cells (z, y, x)."""
        return self.levels, *self.bev_size

    @property
    def voxel_size(self) -> np.ndarray:
        """Size of a cell in m along x, y, z, float64 [3]."""
        return (np.array(self.pc_range[3:]) - self.pc_range[:3]) / self.volume[::-1]

    def input_shapes(self) -> base.Shapes:
        """Name -> shape of the inputs in the order of the public graph; free dimensions at their typical size."""
        cells, anchors = self.bev_size[0] * self.bev_size[1], self.pillar_points
        cameras, points, intervals, queries = self.num_cameras, self.points[1], self.intervals[1], self.queries[1]
        return {
            "imgs": (1, cameras, 3, *self.image_size),
            "mlp_input": (1, cameras, 27),
            "ranks_depth": (points,),
            "ranks_feat": (points,),
            "ranks_bev": (points,),
            "interval_starts": (intervals,),
            "interval_lengths": (intervals,),
            "ref_2d": (1, cells, 1, 2),
            "bev_query_depth": (cameras, 1, cells, anchors, 1),
            "reference_points_cam": (cameras, 1, cells, anchors, 2),
            "per_cam_mask_list": (cameras, 1, cells, anchors),
            "indexes": (1, cameras, queries),
            "queries_rebatch": (1, cameras, queries, self.channels),
            "reference_points_rebatch": (1, cameras, queries, anchors, 2),
            "bev_query_depth_rebatch": (1, cameras, queries, anchors, 1),
            "start_of_sequence": (1,),
            "grid": (1, *self.bev_size, self.levels, 3),
            "history_bev": (1, self.history * self.channels, *self.volume),
            "history_seq_ids": (1,),
            "history_sweep_time": (1, self.history),
        }

    def input_types(self) -> dict[str, np.dtype]:
        """Name -> dtype of the inputs."""
        names = {
            "int32": (*RANKS, *INTERVALS, "history_seq_ids", "history_sweep_time"),
            "int64": ("indexes",),
            "bool": ("per_cam_mask_list", "start_of_sequence"),
        }
        return super().input_types() | {name: np.dtype(kind) for kind, group in names.items() for name in group}

    def free_axes(self) -> base.FreeAxes:
        """Name -> axis -> free dimension: points and intervals of the pooling, queries that a camera sees."""
        axes = (("points", 0, RANKS), ("intervals", 0, INTERVALS), ("queries", 2, REBATCH))
        sizes = {dimension: getattr(self, dimension) for dimension, _, _ in axes}
        return {
            name: {axis: base.Free(dimension, sizes[dimension][0], sizes[dimension][2])}
            for dimension, axis, names in axes
            for name in names
            if sizes[dimension][0] < sizes[dimension][2]
        }

    def output_shapes(self) -> base.Shapes:
        """Name -> shape of the outputs in their order."""
        inputs = self.input_shapes()
        voxels = tuple(2 * size for size in (*self.bev_size, self.levels))
        return {
            "pred_occupancy": (1, self.num_classes, *voxels),
            "output_history_bev": inputs["history_bev"],
            "output_history_seq_ids": inputs["history_seq_ids"],
            "output_history_sweep_time": inputs["history_sweep_time"],
        }

    def inputs(self, frame: Any, previous: Any) -> dict[str, np.ndarray]:
        """Network inputs of one frame without the states, padded: `helpers.systems.fbocc.inputs.inputs`."""
        from helpers.systems.fbocc.inputs import inputs  # Pillow and the devkit: shapes alone must not need them

        return self.padded(inputs(frame, previous, self))

    def decode(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Occ3D's label of every voxel, uint8 [200,200,16]: `helpers.systems.fbocc.decode.decode`."""
        from helpers.systems.fbocc.decode import decode

        self.check_outputs(outputs)
        return decode(outputs["pred_occupancy"])


_PUBLISHED = Config(name="published", image_scale=0.44, image_size=(256, 704), image_crop=140)
_MINI = Config(
    name="mini",
    image_scale=0.28,
    image_size=(160, 448),
    image_crop=92,
    depths=(2, 2, 2, 2),
    base_channels=32,
    neck_channels=64,
    depth_channels=96,
    channels=32,
    heads=4,
    bev_size=(50, 50),
    depth_range=(2.0, 42.0, 1.0),
    voxel_channels=(32, 48, 64),
    voxel_neck=48,
    history=4,
    key_sensor="LIDAR_TOP",
    points=(10_000, 40_000, 70_000),
    intervals=(2_000, 10_000, 20_000),
    queries=(200, 600, 1_500),
)
CONFIGS = {config.name: config for config in (_PUBLISHED, _MINI)}
