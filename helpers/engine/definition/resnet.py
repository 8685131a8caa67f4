"""`helpers.layers.resnet`: the blocks of a backbone, and its pyramid."""

from collections.abc import Sequence

import numpy as np

from helpers.engine.definition.functions import grid_sample, interpolate, stack
from helpers.engine.definition.layers import conv, folded
from helpers.engine.definition.module import Module
from helpers.engine.definition.tensor import Tensor

SIZE = 3  # of a deformable convolution


def deformable_conv(m: Module, x: Tensor, stride: int, norm: Module) -> Tensor:
    """`DeformableConv` by grid sampling: every tap is read where its offset takes it, in float32."""
    network, (count, channels, height, width) = x.network, x.shape
    moved, factor = conv(m.conv_offset, x, stride).split([2 * SIZE**2, SIZE**2], 1)
    rows, columns = moved.shape[2:]
    taps = np.arange(SIZE)
    y = (np.arange(rows) * stride - 1)[:, None] + taps.repeat(SIZE)[:, None, None]
    x_ = np.arange(columns) * stride - 1 + np.tile(taps, SIZE)[:, None, None]
    with network.full_precision():
        moved = moved.unflatten(1, (-1, 2))
        places = (moved[:, :, 1] + x_ + 0.5) * (2 / width) - 1, (moved[:, :, 0] + y + 0.5) * (2 / height) - 1
        read = grid_sample(x, stack(places, -1).flatten(1, 2)).reshape(count, channels, -1, rows, columns)
        read = (read * factor.sigmoid().unsqueeze(1)).flatten(1, 2).flatten(2)
    weight, bias = folded(norm, m.array("weight"), np.zeros(len(m.array("weight")), np.float32))
    kernel = network.constant(weight.reshape(1, len(weight), -1))
    return (kernel @ read + bias.reshape(-1, 1)).unflatten(2, (rows, columns))


def bottleneck(
    m: Module, x: Tensor, stride: int, caffe: bool = False, deformable: bool = False, shortcut: bool = True
) -> Tensor:
    """`Bottleneck`; shortcut: whether the way around it has a convolution of its own."""
    first, second = (stride, 1) if caffe else (1, stride)
    around = conv(m.downsample[0], x, stride, m.downsample[1]) if shortcut else x
    x = conv(m.conv1, x, first, m.bn1).relu()
    x = (deformable_conv if deformable else conv)(m.conv2, x, second, m.bn2).relu()
    return (conv(m.conv3, x, 1, m.bn3) + around).relu()


def pyramid(m: Module, maps: Sequence[Tensor], levels: int) -> list[Tensor]:
    """`Pyramid`: maps [N, C_l, H_l, W_l], the finest first -> `levels` maps."""
    laterals = [conv(m.lateral_convs[level].conv, x) for level, x in enumerate(maps)]
    for level in range(len(laterals) - 1, 0, -1):
        size = laterals[level - 1].shape[2], laterals[level - 1].shape[3]
        laterals[level - 1] = laterals[level - 1] + interpolate(laterals[level], size, "nearest")
    found = [conv(m.fpn_convs[level].conv, x) for level, x in enumerate(laterals)]
    for level in range(len(found), levels):
        found.append(conv(m.fpn_convs[level].conv, found[-1], 2))
    return found
