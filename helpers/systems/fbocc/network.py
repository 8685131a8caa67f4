"""FB-OCC (arXiv:2307.01492): occupancy from six cameras, in plain PyTorch.

One forward serves training, evaluation and export. Parameter names and shapes of the published configuration are those
of the public checkpoint `fbocc-r50-cbgs_depth_16f_16x4_20e.pth`; inputs and outputs are those of its deployment graph.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.resnet import ConvModule, ResNet
from helpers.ops.bev_pool_v2 import bev_pool_v2
from helpers.ops.grid_sample_3d import grid_sample_3d
from helpers.systems.fbocc.backward import BackwardProjection, Geometry
from helpers.systems.fbocc.config import Config
from helpers.systems.fbocc.depth import DepthNet
from helpers.systems.fbocc.voxels import OccupancyHead, VoxelEncoder, VoxelNeck, with_norm

Ranks = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class ImageNeck(nn.Module):
    """The last two stages of the backbone to one map of the size of the larger."""

    def __init__(self, inplanes: tuple[int, int], planes: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(ConvModule(each, planes, 1) for each in inplanes)
        self.fpn_convs = nn.ModuleList([ConvModule(planes, planes, 3)])

    def forward(self, stages: list[Tensor]) -> Tensor:
        fine, coarse = (conv(stage) for conv, stage in zip(self.lateral_convs, stages, strict=True))
        return self.fpn_convs[0](fine + F.interpolate(coarse, fine.shape[2:]))


class ForwardProjection(nn.Module):
    """Context lifted along its depth distribution and summed up in voxels (lift, splat; arXiv:2008.05711)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size = torch.tensor(config.voxel_size, dtype=torch.float32)
        self.volume = config.volume
        self.dx = nn.Parameter(size, requires_grad=False)
        self.bx = nn.Parameter(torch.tensor(config.pc_range[:3]) + size / 2, requires_grad=False)
        self.nx = nn.Parameter(torch.tensor(config.volume[::-1], dtype=torch.float32), requires_grad=False)

    def forward(self, context: Tensor, depth: Tensor, streams: int, ranks: Ranks) -> Tensor:
        """context [B*N, C, H, W], depth [B*N, D, H, W], ranks and intervals -> [B, Z, Y, X, C]."""
        levels, rows, columns = self.volume
        size = streams * levels, rows, columns  # the volumes of all streams stand on each other
        depth = depth.to(context.dtype)
        volume = bev_pool_v2(depth[None], context.permute(0, 2, 3, 1)[None], *ranks, size)
        return volume.view(streams, levels, rows, columns, -1)


class HistoryWarp(nn.Module):
    """Volumes [B, C, Z, Y, X] sampled where their voxels were. Coordinates need float32: a module of its own."""

    def forward(self, volume: Tensor, grid: Tensor) -> Tensor:
        """grid [B, Y, X, Z, 3] (x, y, z) in -1..1 over the centers of the outermost voxels."""
        return grid_sample_3d(volume, grid.permute(0, 3, 1, 2, 4))


class FBOCC(nn.Module):
    """The occupancy network. Frame: key ego (meters); rows of the volume run along y, columns along x."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels, frames = config.channels, config.history + 1
        self.img_backbone = ResNet(config.depths, config.base_channels)
        deepest = self.img_backbone.out_channels
        self.img_neck = ImageNeck((deepest // 2, deepest), config.neck_channels)
        self.depth_net = DepthNet(config.neck_channels, config.depth_channels, channels, config.depth_bins)
        self.forward_projection = ForwardProjection(config)
        self.backward_projection = BackwardProjection(config)
        self.history_warp = HistoryWarp()
        self.history_keyframe_time_conv = _fusion(channels + 1, channels)
        self.history_keyframe_cat_conv = _fusion(channels * frames, channels)
        self.img_bev_encoder_backbone = VoxelEncoder(channels, config.voxel_channels)
        self.img_bev_encoder_neck = VoxelNeck(config.voxel_channels, config.voxel_neck)
        self.occupancy_head = OccupancyHead(config.voxel_neck, len(config.voxel_channels), config.num_classes)

    def forward(
        self,
        imgs: Tensor,
        mlp_input: Tensor,
        ranks_depth: Tensor,
        ranks_feat: Tensor,
        ranks_bev: Tensor,
        interval_starts: Tensor,
        interval_lengths: Tensor,
        ref_2d: Tensor,
        bev_query_depth: Tensor,
        reference_points_cam: Tensor,
        per_cam_mask_list: Tensor,
        indexes: Tensor,
        queries_rebatch: Tensor,
        reference_points_rebatch: Tensor,
        bev_query_depth_rebatch: Tensor,
        start_of_sequence: Tensor,
        grid: Tensor,
        history_bev: Tensor,
        history_seq_ids: Tensor,
        history_sweep_time: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One frame of B independent streams (B = 1 in an exported graph).

        Args: as `Config.input_shapes` and `Config.input_types` have them, made by `helpers.systems.fbocc.inputs`; of
        B streams ranks and intervals count on over cameras and volumes of all streams.

        Returns:
            pred_occupancy [B, 19, 2Y, 2X, 2Z] logits, output_history_bev [B, history*C, Z, Y, X] (this frame's volume
            and the warped ones, newest first), output_history_seq_ids [B], output_history_sweep_time [B, history]
            (frames since each of them).
        """
        ranks = ranks_depth, ranks_feat, ranks_bev, interval_starts, interval_lengths
        context, depth = self.lift(imgs, mlp_input)
        seen = Geometry(ref_2d, bev_query_depth, reference_points_cam, per_cam_mask_list, indexes, queries_rebatch,
                        reference_points_rebatch, bev_query_depth_rebatch)  # fmt: skip
        current = self.project(context, depth, len(imgs), ranks, seen)
        volumes = self.remember(current, start_of_sequence, grid, history_bev)
        times = self.count(start_of_sequence, history_sweep_time)
        fused = self.fuse(volumes, times)
        logits = self.occupy(fused)
        return logits, volumes[:, : -current.shape[1]], history_seq_ids.clone(), times[:, :-1]

    def lift(self, imgs: Tensor, mlp_input: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures [B, N, 3, H, W] and camera parameters [B, N, 27] to context and depth, [B*N, ., h, w]."""
        features = self.img_neck(self.img_backbone.stages(imgs.flatten(0, 1))[-2:])
        return self.depth_net(features, mlp_input.flatten(0, 1))

    def project(self, context: Tensor, depth: Tensor, streams: int, ranks: Ranks, seen: Geometry) -> Tensor:
        """Forward projection, and the backward projection added to every level of it: [B, C, Z, Y, X]."""
        volume = self.forward_projection(context, depth, streams, ranks)
        tokens = context.flatten(2).transpose(1, 2)
        flat = self.backward_projection(volume.mean(1).flatten(1, 2), tokens, depth, seen)
        return (volume + flat.view(streams, 1, *volume.shape[2:])).permute(0, 4, 1, 2, 3)

    def remember(self, current: Tensor, start: Tensor, grid: Tensor, history: Tensor) -> Tensor:
        """This volume and the warped ones of before, [B, (1+history)*C, Z, Y, X]; at a start all are of this frame."""
        first = self.history_warp(current, grid).repeat(1, self.config.history, 1, 1, 1)
        past = torch.where(start.view(-1, 1, 1, 1, 1), first, self.history_warp(history, grid))
        return torch.cat([current, past], 1)

    def count(self, start: Tensor, before: Tensor) -> Tensor:
        """Frames since each volume, int32 [B, 1+history]: one more than before, nothing at a start."""
        if not self.config.as_published:
            before = torch.where(start[:, None], 0, before + 1)
        return torch.cat([torch.zeros_like(before[:, :1]), before], 1)

    def fuse(self, volumes: Tensor, times: Tensor) -> Tensor:
        """[B, (1+history)*C, Z, Y, X] and their ages [B, 1+history] in frames -> [B, C, Y, X, Z]."""
        conv, norm, relu = self.history_keyframe_time_conv
        streams, frames, channels = len(volumes), times.shape[1], self.config.channels
        each = volumes.unflatten(1, (frames, channels)).flatten(0, 1)
        age = (times.flatten() * self.config.sweep_period).to(each.dtype)
        # The age is the last input channel, the same for all voxels: added as a bias instead of written out.
        weight, bias = (conv.weight, conv.bias) if self.training else with_norm(conv, norm)
        told = age[:, None] * weight[:, -1].flatten() + bias
        each = F.conv3d(each, weight[:, :-1]) + told[:, :, None, None, None]
        each = relu(norm(each) if self.training else each).unflatten(0, (streams, frames)).flatten(1, 2)
        return self.history_keyframe_cat_conv(each).permute(0, 1, 3, 4, 2)

    def occupy(self, fused: Tensor) -> Tensor:
        """[B, C, Y, X, Z] to logits [B, 19, 2Y, 2X, 2Z]."""
        return self.occupancy_head(self.img_bev_encoder_neck(self.img_bev_encoder_backbone(fused)))


def _fusion(inplanes, planes):
    return nn.Sequential(nn.Conv3d(inplanes, planes, 1), nn.BatchNorm3d(planes), nn.ReLU())
