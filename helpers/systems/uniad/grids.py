"""Convolutions of the occupancy head: its grid out of the map, halves and doubles of it."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.systems.uniad.config import Config


class Slicer(nn.Module):
    """The occupancy's grid, read bilinearly from the map [1, C, H, W], whose range is larger."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        axes = [_places(config, axis, size) for axis, size in enumerate((config.bev_w, config.bev_h))]
        x, y = (axis.float() for axis in axes)
        grid = torch.stack([x[None].expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)
        self.register_buffer("grid", grid[None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.grid_sample(x, self.grid.to(x.dtype), align_corners=True)


def _places(config, axis, size):
    """Centers of the grid's cells along an axis, -1 and 1 being the centers of the map's first and last cell."""
    count = config.occupancy_size[1 - axis]
    centers = -config.occupancy_range + (torch.arange(count, dtype=torch.float64) + 0.5) * config.occupancy_cell
    low, high = config.pc_range[axis], config.pc_range[axis + 3]
    return centers / ((high - low) / 2 * (1 - 1 / size))


class NormedConv(nn.Module):
    """Convolution, BatchNorm and ReLU, under the names of mmcv."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(dims, dims, 3, padding=1, bias=False), nn.BatchNorm2d(dims)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class LightProjection(nn.Module):
    """Three convolutions 3x3 and one 1x1."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.conv_layers = nn.Sequential(*(NormedConv(dims) for _ in range(3)), nn.Conv2d(dims, dims, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_layers(x)


class Downscale(nn.Module):
    """A bottleneck that halves the grid, rounding up; odd sizes are padded for the shortcut's pooling."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        half = dims // 2
        self.layers = nn.Sequential(
            OrderedDict(
                conv_down_project=nn.Conv2d(dims, half, 1, bias=False),
                abn_down_project=_normed(half),
                conv=nn.Conv2d(half, half, 3, 2, 1, bias=False),
                abn=_normed(half),
                conv_up_project=nn.Conv2d(half, dims, 1, bias=False),
                abn_up_project=_normed(dims),
            )
        )
        self.projection = nn.Sequential(
            OrderedDict(
                upsample_skip_proj=nn.MaxPool2d(2),
                conv_skip_proj=nn.Conv2d(dims, dims, 1, bias=False),
                bn_skip_proj=nn.BatchNorm2d(dims),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]."""
        return self.layers(x) + self.projection(_even(x))


class UpscaleAdd(nn.Module):
    """Doubles a grid, fits it to the size of another and adds that."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.upsample_layer = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(dims, dims, 1, bias=False), nn.BatchNorm2d(dims)
        )

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        x = self.upsample_layer(x)
        return fitted(x, (other.shape[2], other.shape[3])) + other


class DecoderBlock(nn.Module):
    """Doubles a grid by convolutions, and adds the one that the decoder began with."""

    def __init__(self, dims: int, last: bool) -> None:
        super().__init__()
        half = dims // 2
        self.conv = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(dims, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, dims, 1, bias=False),
            nn.BatchNorm2d(dims),
        )
        self.up, self.last = nn.Conv2d(dims, dims, 1), last

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.conv(x)
        x = x + F.interpolate(self.up(skip), x.shape[2:], mode="nearest")
        return x if self.last else F.relu(x)


class Decoder(nn.Module):
    """[N, C, H, W] -> [N, C, 4 H, 4 W]."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderBlock(dims, False), DecoderBlock(dims, True)])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer(y, x)
        return y


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, C, H, W] -> [N, C, *size], bilinear about the cells' centers; as it is where the size is right."""
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def _even(x):
    """A row and a column of zeros behind odd sizes.

    By concatenation: ONNX Runtime 1.31 moves a Pad of zeros into the MaxPool behind it, whose own padding is lower.
    """
    if x.shape[2] % 2:
        x = torch.cat([x, torch.zeros_like(x[:, :, :1])], 2)
    return torch.cat([x, torch.zeros_like(x[..., :1])], 3) if x.shape[3] % 2 else x


def _normed(dims):
    return nn.Sequential(nn.BatchNorm2d(dims), nn.ReLU())
