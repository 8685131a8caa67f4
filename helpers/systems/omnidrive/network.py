"""The vision part of OmniDrive (arXiv:2405.01533) in plain PyTorch: pictures to boxes, lanes and vision tokens.

One forward serves training, evaluation and export. Parameter names and shapes of the published configuration are those
of the public checkpoint of `eva_base_tinyllama.py` without its language model; inputs and outputs are those of its
deployment graph, with every state explicit.
"""

import torch
from torch import Tensor, nn

from helpers.layers.petr import CameraRays, Keys, growing_depths
from helpers.systems.omnidrive.backbone import EVAViT
from helpers.systems.omnidrive.config import Config
from helpers.systems.omnidrive.detection import BoxState, DetectionHead
from helpers.systems.omnidrive.head import Encoders
from helpers.systems.omnidrive.lanes import LaneHead, LaneState
from helpers.systems.omnidrive.memory import Memory, Motion

FIRST_DEPTH = 1.0  # m


class OmniDrive(Encoders):
    """Boxes, lanes and vision tokens of six cameras and of what is remembered. Frame: ego (meters)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.config, bounds = config, config.position_range
        self.camera_rays = CameraRays(config.feature_size, config.patch)
        self.position_range = nn.Parameter(torch.tensor(bounds), requires_grad=False)
        self.coords_d = nn.Parameter(growing_depths(config.depths, FIRST_DEPTH, bounds[3]), requires_grad=False)
        wide = 4 * config.dims
        self.position_encoder = nn.Sequential(
            nn.Linear(3 * config.depths, wide), nn.ReLU(), nn.Linear(wide, config.dims)
        )
        self.img_backbone = EVAViT(config)
        self.pts_bbox_head = DetectionHead(config, self)
        self.map_head = LaneHead(config, self)

    def forward(
        self,
        img: Tensor,
        img2lidars: Tensor,
        command: Tensor,
        can_bus: Tensor,
        is_first_frame: Tensor,
        ego_pose: Tensor,
        timestamp: Tensor,
        ego_pose_inv: Tensor,
        memory_embedding_bbox_in: Tensor,
        memory_reference_point_bbox_in: Tensor,
        memory_timestamp_bbox_in: Tensor,
        memory_egopose_bbox_in: Tensor,
        memory_canbus_bbox_in: Tensor,
        sample_time_bbox_in: Tensor,
        memory_timestamp_map_in: Tensor,
        sample_time_map_in: Tensor,
        memory_egopose_map_in: Tensor,
        memory_embedding_map_in: Tensor,
        memory_reference_point_map_in: Tensor,
    ) -> tuple[Tensor, ...]:
        """One frame of B independent streams (B = 1 in an exported graph).

        Args: as `Config.input_shapes` has them, made by `helpers.systems.omnidrive.inputs`; all float32. img2lidars is
            the inverse of the matrix that takes a point of the vehicle's frame into the stretched picture. timestamp:
            seconds since the scene began; is_first_frame: 1 where it begins.

        Returns:
            The tensors of `Config.output_shapes`, in its order.
        """
        motion = Motion(is_first_frame, timestamp, ego_pose, ego_pose_inv)
        boxes_before = BoxState(
            Memory(memory_embedding_bbox_in, memory_reference_point_bbox_in, memory_timestamp_bbox_in,
                   memory_egopose_bbox_in),
            memory_canbus_bbox_in,
            sample_time_bbox_in,
        )  # fmt: skip
        lanes_before = LaneState(
            Memory(memory_embedding_map_in, memory_reference_point_map_in, memory_timestamp_map_in,
                   memory_egopose_map_in),
            sample_time_map_in,
        )  # fmt: skip
        cameras = self.cameras(img, img2lidars)
        box_tokens, classes, codes, boxes = self.pts_bbox_head(cameras, command, can_bus, motion, boxes_before)
        tokens, groups, queries, lanes = self.map_head(cameras, motion, lanes_before, box_tokens)
        kept = lanes.memory
        return (
            tokens, classes, codes, *groups, *queries,
            *boxes.memory, boxes.driven, boxes.sample_time,
            kept.embedding, kept.timestamp, kept.pose, kept.reference_point, lanes.sample_time,
        )  # fmt: skip

    def cameras(self, img: Tensor, img2lidars: Tensor) -> Keys:
        """Features [B, T, width] and positions [B, T, C] of the cells of all cameras."""
        rays = self.camera_rays(img2lidars, self.coords_d, self.position_range)
        return Keys(self.img_backbone(img), self.position_encoder(rays))
