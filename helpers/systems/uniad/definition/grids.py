"""`helpers.systems.uniad.grids`: convolutions of the occupancy head."""

import numpy as np

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.functions import cat, grid_sample, interpolate, max_pool
from helpers.engine.definition.layers import conv
from helpers.systems.uniad.config import Config


def sliced(x: Tensor, config: Config) -> Tensor:
    """`Slicer`: the occupancy's grid, read from the map [1, C, H, W]."""
    x_places, y_places = (_places(config, axis, size) for axis, size in enumerate((config.bev_w, config.bev_h)))
    grid = np.stack(np.broadcast_arrays(x_places[None], y_places[:, None]), -1)[None].astype(np.float32)
    with x.network.full_precision():
        return grid_sample(x, grid, align_corners=True)


def _places(config, axis, size):
    count = config.occupancy_size[1 - axis]
    centers = -config.occupancy_range + (np.arange(count) + 0.5) * config.occupancy_cell
    low, high = config.pc_range[axis], config.pc_range[axis + 3]
    return centers / ((high - low) / 2 * (1 - 1 / size))


def light_projection(m: Module, x: Tensor) -> Tensor:
    """`LightProjection`."""
    for number in range(3):
        layer = m.conv_layers[number]
        x = conv(layer.conv, x, 1, layer.bn).relu()
    return conv(m.conv_layers[3], x)


def downscale(m: Module, x: Tensor) -> Tensor:
    """`Downscale`: [N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]."""
    layers, around = m.layers, m.projection
    y = conv(layers.conv_down_project, x, 1, layers.abn_down_project[0]).relu()
    y = conv(layers.conv, y, 2, layers.abn[0]).relu()
    y = conv(layers.conv_up_project, y, 1, layers.abn_up_project[0]).relu()
    return y + conv(around.conv_skip_proj, max_pool(_even(x), 2, 2), 1, around.bn_skip_proj)


def upscale_add(m: Module, x: Tensor, other: Tensor) -> Tensor:
    """`UpscaleAdd`: x doubled, fitted to the size of `other`, which is added."""
    x = interpolate(x, (2 * x.shape[2], 2 * x.shape[3]))
    x = conv(m.upsample_layer[1], x, 1, m.upsample_layer[2])
    return fitted(x, (other.shape[2], other.shape[3])) + other


def decoder(m: Module, x: Tensor) -> Tensor:
    """`Decoder`: [N, C, H, W] -> [N, C, 4 H, 4 W]."""
    y = _decoder_block(m.layers[0], x, x).relu()
    return _decoder_block(m.layers[1], y, x)


def _decoder_block(m, x, skip):
    """`DecoderBlock` before its last ReLU."""
    size = 2 * x.shape[2], 2 * x.shape[3]
    x = conv(m.conv[1], interpolate(x, size, align_corners=True), 1, m.conv[2]).relu()
    return conv(m.conv[4], x, 1, m.conv[5]) + interpolate(conv(m.up, skip), size, "nearest")


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, C, H, W] -> [N, C, *size], bilinear about the cells' centers; as it is where the size is right."""
    return x if x.shape[2:] == size else interpolate(x, size)


def _even(x):
    """A row and a column of zeros behind odd sizes."""
    n, c, height, width = x.shape
    if height % 2:
        x = cat([x, np.zeros((n, c, 1, width), np.float32)], 2)
    return cat([x, np.zeros((n, c, x.shape[2], 1), np.float32)], 3) if width % 2 else x
