"""From the fused volume to the class of every voxel: a 3-D residual network, a 3-D pyramid and the occupancy head.

Volumes are [B, C, Y, X, Z] here, the order of the public convolutions' weights.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ops.mix_levels import mix_levels

STRIDES = (1, 2, 2)
BLOCKS = 2


class ConvModule(nn.Module):
    """Convolution, normalization and ReLU under the names that mmcv gives them."""

    def __init__(self, inplanes: int, planes: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inplanes, planes, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm3d(planes)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions around a shortcut."""

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(inplanes, planes, 3, stride, 1), nn.BatchNorm3d(planes)
        self.conv2, self.bn2 = nn.Conv3d(planes, planes, 3, 1, 1), nn.BatchNorm3d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv3d(inplanes, planes, 1, stride), nn.BatchNorm3d(planes))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + shortcut).relu()


class VoxelEncoder(nn.Module):
    """[B, C, Y, X, Z] to a volume per stage, each after the first half as large along every axis."""

    def __init__(self, inplanes: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        first = nn.Conv3d(inplanes, channels[0], 1, bias=False)
        self.input_proj = nn.Sequential(first, nn.BatchNorm3d(channels[0]), nn.ReLU())
        self.layers = nn.ModuleList()
        before = channels[0]
        for planes, stride in zip(channels, STRIDES, strict=True):
            rest = [BasicBlock(planes, planes, 1) for _ in range(BLOCKS - 1)]
            self.layers.append(nn.Sequential(BasicBlock(before, planes, stride), *rest))
            before = planes

    def forward(self, x: Tensor) -> list[Tensor]:
        x, stages = self.input_proj(x), []
        for layer in self.layers:
            x = layer(x)
            stages.append(x)
        return stages


class VoxelNeck(nn.Module):
    """Feature pyramid over volumes (arXiv:1612.03144): all levels with the same number of channels."""

    def __init__(self, channels: tuple[int, ...], planes: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(nn.Sequential(ConvModule(inplanes, planes, 1)) for inplanes in channels)
        self.fpn_convs = nn.ModuleList(nn.Sequential(ConvModule(planes, planes, 3)) for _ in channels)

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        levels = [conv(stage) for conv, stage in zip(self.lateral_convs, stages, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + _resized(levels[i], levels[i - 1])
        return [conv(level) for conv, level in zip(self.fpn_convs, levels, strict=True)]


class OccupancyHead(nn.Module):
    """Levels of the pyramid to logits at twice the size of the largest, mixed by weights that each voxel predicts."""

    def __init__(self, inplanes: int, levels: int, classes: int) -> None:
        super().__init__()
        planes = inplanes // 2
        self.occ_convs = nn.ModuleList(
            nn.Sequential(nn.Conv3d(inplanes, planes, 3, padding=1, bias=False), nn.BatchNorm3d(planes), nn.ReLU())
            for _ in range(levels)
        )
        self.occ_pred_conv = _pointwise(planes, classes)
        self.voxel_soft_weights = _pointwise(planes, levels + 1)
        larger = nn.ConvTranspose3d(inplanes, planes, 2, 2, bias=False)
        self.deblock = nn.Sequential(larger, nn.BatchNorm3d(planes), nn.ReLU())

    def forward(self, levels: list[Tensor]) -> Tensor:
        fine = self.deblock(levels[0])
        shares = self.voxel_soft_weights(fine).softmax(1)
        coarse = [conv(level) for conv, level in zip(self.occ_convs, levels, strict=True)]
        narrow, norm, relu, last = self.occ_pred_conv
        if self.training:
            return last(relu(norm(narrow(mix_levels(fine, shares, *coarse)))))
        # Linear, of single voxels, and the shares add up to one: the same before the volumes are enlarged, and cheaper.
        weight, bias = with_norm(narrow, norm)
        fine, *coarse = (F.conv3d(volume, weight, bias) for volume in (fine, *coarse))
        return last(relu(mix_levels(fine, shares, *coarse)))


def with_norm(conv: nn.Conv3d, norm: nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what the normalization behind it does as well, with its statistics.

    For where something stands between the two, so that no exporter and no engine joins them.
    """
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    before = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    return conv.weight * scale.view(-1, 1, 1, 1, 1), before * scale + norm.bias


def _pointwise(planes, classes):
    first, last = nn.Conv3d(planes, planes // 2, 1, bias=False), nn.Conv3d(planes // 2, classes, 1, bias=False)
    return nn.Sequential(first, nn.BatchNorm3d(planes // 2), nn.ReLU(), last)


def _resized(volume: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(volume, like.shape[2:], mode="trilinear", align_corners=False)
