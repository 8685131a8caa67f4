"""`helpers.systems.uniad.bev`: cameras to the bird's-eye map, and queries that find objects on it."""

import math
from typing import NamedTuple

import numpy as np

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import (
    Map,
    decoder_block,
    spatial_cross_attention,
    temporal_self_attention,
)
from helpers.engine.definition.functions import cat, grid_sample, stack
from helpers.engine.definition.layers import class_branch, feed_forward, layer_norm, linear, regression_branch
from helpers.graph.functions.project_pillars import FEWEST, NEAREST_DEPTH
from helpers.layers.pillars import cells, pillars
from helpers.systems.uniad.config import Config

EPSILON = 1e-5  # of the decoder's references


class Found(NamedTuple):
    """Of N queries what `helpers.systems.uniad.bev.Found` has but for the path, which training alone reads."""

    output: Tensor
    logits: Tensor
    boxes: Tensor
    points: Tensor


class Motion(NamedTuple):
    """What the vehicle did since the map that was remembered: `Transformer.encode` has the same."""

    prev_bev: Tensor
    use_prev_bev: Tensor
    can_bus: Tensor


# --------------------------------------------------------------------------------------------------- to the map


def positional_encoding(m: Module, config: Config) -> np.ndarray:
    """`PositionalEncoding`: [1, cells, C]."""
    rows, columns = m.row_embed.array("weight"), m.col_embed.array("weight")
    shape = config.bev_h, config.bev_w, -1
    halves = (
        np.broadcast_to(columns[None], (config.bev_h, *columns.shape)).reshape(shape),
        np.broadcast_to(rows[:, None], (len(rows), config.bev_w, rows.shape[1])).reshape(shape),
    )
    return np.concatenate(halves, -1).reshape(1, -1, config.embed_dims)


def encode(m: Module, features: list[Tensor], motion: Motion, lidar2img: Tensor, config: Config) -> Tensor:
    """`TrackHead.encode`: features of every level [cameras, C, H, W], lidar2img [1, cameras, 4, 4] -> [1, cells, C]."""
    transformer, dims = m.transformer, config.embed_dims
    cameras, levels = transformer.array("cams_embeds")[:, None], transformer.array("level_embeds")
    tokens = [level.flatten(2).transpose(1, 2) + (cameras + levels[number]) for number, level in enumerate(features)]
    learned = m.bev_embedding.array("weight", (config.bev_h * config.bev_w, dims))
    query = (learned + can_bus_mlp(transformer.can_bus_mlp, motion.can_bus)).unsqueeze(0)
    return encoder(
        transformer.encoder,
        (query, m.network.constant(positional_encoding(m.positional_encoding, config))),
        cat(tokens, 1) if len(tokens) > 1 else tokens[0],
        motion,
        projected(lidar2img, config),
        config,
    )


def can_bus_mlp(m: Module, x: Tensor) -> Tensor:
    return layer_norm(m.norm, linear(m[2], linear(m[0], x).relu()).relu())


def ego_shift(can_bus: Tensor, config: Config) -> Tensor:
    """[1, 2] of can_bus [1, 18], in map units."""
    (low_x, low_y), (high_x, high_y) = config.pc_range[:2], config.pc_range[3:5]
    dx, dy, yaw = (can_bus[:, place] for place in (0, 1, 16))
    cos, sin = yaw.cos(), yaw.sin()
    return stack([(dx * sin - dy * cos) / (high_x - low_x), (dx * cos + dy * sin) / (high_y - low_y)], 1)


def rotated(bev: Tensor, degrees: Tensor, config: Config) -> Tensor:
    """`helpers.ops.rotate` of bev [cells, C] by degrees [1] about `rotate_center`, the nearest cell."""
    h, w, (x0, y0) = config.bev_h, config.bev_w, config.rotate_center
    theta = (degrees * (-math.pi / 180)).reshape(1, 1)
    cos, sin, cx, cy = theta.cos(), theta.sin(), x0 - w / 2, y0 - h / 2
    x, y = np.arange(w)[None] + (0.5 - w / 2), np.arange(h)[:, None] + (0.5 - h / 2)
    source_x = cos * x + sin * y + (cx - cx * cos - cy * sin)
    source_y = cos * y - sin * x + (cy + cx * sin - cy * cos)
    grid = stack([source_x / (w / 2), source_y / (h / 2)], -1).unsqueeze(0)
    return grid_sample(bev.transpose(0, 1).reshape(1, -1, h, w), grid, "nearest").flatten(2).transpose(1, 2)


def projected(lidar2img: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """`helpers.ops.project_pillars`: references [cameras, Q, 1, 2P] and mask [cameras, Q, 1]; in float32."""
    points, (height, width) = pillars(config)[None, :, :, None], config.image_size
    with lidar2img.network.full_precision():
        matrix = lidar2img.reshape(-1, 1, 1, 4, 4)[:, :, :, :3]
        image = (matrix[..., :3] * points).sum(-1) + matrix[..., 3]
        depth = image[..., 2:]
        uv = image[..., :2] / depth.clamp(NEAREST_DEPTH) / [float(width), float(height)]
        inside = (uv > 0.0) & (uv < 1.0) & (depth > NEAREST_DEPTH)
        visible = (inside[..., 0] & inside[..., 1]).to("FLOAT").amax(-1, keepdim=True)
        mask = visible / visible.sum(0, keepdim=True).clamp(FEWEST)
        return uv.flatten(2).unsqueeze(2), mask


def encoder(
    m: Module, query: tuple[Tensor, Tensor], tokens: Tensor, motion: Motion, seen: tuple[Tensor, Tensor], config: Config
) -> Tensor:
    """`helpers.layers.bev.Encoder`: query and position [1, Q, C], tokens [cameras, S, C], `seen` of `projected`."""
    x, position = query
    references, mask = seen
    shape, heads = (config.bev_h, config.bev_w), config.num_heads
    with m.network.full_precision():
        use = motion.use_prev_bev.to("FLOAT").reshape(1, 1, 1)
        both = config.temporal_shift == "both"
        places, shift = cells(config)[None], ego_shift(motion.can_bus, config).unsqueeze(1)
        moved = places + (shift if both else shift * use)
        present = moved if both else m.network.constant(places)
        map_references = cat([moved, present], 0).unsqueeze(2)
        past = cat([rotated(motion.prev_bev.squeeze(1), motion.can_bus[0, 17:], config), x], 0)
    for number in range(config.encoder_layers):
        layer = m.layers[number]
        history = Map(use * past + (1 - use) * x, map_references, [shape])
        x = layer_norm(layer.norms[0], temporal_self_attention(layer.attentions[0], x, position, history, heads))
        cameras = Map(tokens, references, config.feature_sizes)
        x = layer_norm(layer.norms[1], spatial_cross_attention(layer.attentions[1], x, cameras, mask, heads))
        x = layer_norm(layer.norms[2], feed_forward(layer.ffns[0], x))
    return x


# --------------------------------------------------------------------------------------------------- objects


def inverse_sigmoid(x: Tensor, least: float = 1e-5) -> Tensor:
    """`helpers.layers.encoding.inverse_sigmoid`."""
    x = x.clamp(0.0, 1.0)
    return (x.clamp(least) / (1 - x).clamp(least)).log()


def found(m: Module, bev: Tensor, query: Tensor, points: Tensor, visible: Tensor, config: Config) -> Found:
    """The last of `TrackHead.levels`: bev [1, cells, C], query [N, 2C], points [N, 3] logits, visible BOOL [N]."""
    network, heads = m.network, config.num_heads
    position, content = query.unsqueeze(0).chunk(2, 2)
    with network.full_precision():
        reference = points.sigmoid().unsqueeze(0)
    for number in range(config.decoder_layers):
        start = Map(bev, reference[:, :, None, :2], [(config.bev_h, config.bev_w)])
        layer = m.transformer.decoder.layers[number]
        content = decoder_block(layer, content, position, start, heads, visible)
        delta = regression_branch(m.reg_branches[number], content)
        with network.full_precision():
            last, kept = reference, reference.clamp(EPSILON, 1 - EPSILON)
            center = cat([delta[..., :2], delta[..., 4:5]], -1)
            reference = (center + (kept / (1 - kept)).log()).sigmoid()
    logits = class_branch(m.cls_branches[config.decoder_layers - 1], content)
    with network.full_precision():
        delta, center = delta[0], (center[0] + inverse_sigmoid(last[0])).sigmoid()
        low, high = np.array(config.pc_range, np.float32).reshape(2, 3)
        meters = center * (high - low) + low
        boxes = cat([meters[:, :2], delta[:, 2:4], meters[:, 2:], delta[:, 5:]], 1)
        return Found(content[0], logits[0], boxes, inverse_sigmoid(center))
