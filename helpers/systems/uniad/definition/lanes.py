"""`helpers.systems.uniad.lanes`: the map head."""

from typing import NamedTuple

import numpy as np

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import Map, ms_deform_attn, self_attention
from helpers.engine.definition.functions import cat
from helpers.engine.definition.layers import feed_forward, layer_norm, linear, regression_branch
from helpers.layers.pillars import cells
from helpers.systems.uniad.common import MAP_EPSILON
from helpers.systems.uniad.config import Config
from helpers.systems.uniad.definition.bev import inverse_sigmoid
from helpers.systems.uniad.definition.masks import mask_head
from helpers.systems.uniad.definition.motion import sines


class Lanes(NamedTuple):
    """The fields of `helpers.systems.uniad.lanes.Lanes` but for the boxes, which training alone reads."""

    query: Tensor
    position: Tensor
    masks: Tensor
    scores: Tensor
    classes: Tensor
    drivable: Tensor


def map_attention(m: Module, query: Tensor, position: Tensor, seen: Map, config: Config) -> Tensor:
    """`MapAttention`: references [1, Q, 2] or boxes [1, Q, 4]."""
    heads, (height, width), references = config.num_heads, seen.shapes[0], seen.references
    asking, extent = query + position, np.array([width, height], np.float32)
    offsets, logits = (
        linear(layer, asking).unflatten(-1, (heads, -1)) for layer in (m.sampling_offsets, m.attention_weights)
    )
    value, center = linear(m.value_proj, seen.value).unflatten(2, (heads, -1)), references[..., :2]
    with query.network.full_precision():
        offsets = offsets.unflatten(-1, (-1, 2))
        if references.shape[-1] == 4:
            offsets = offsets * (references[..., 2:] * (extent * (0.5 / config.points)))[:, :, None, None]
        if config.map_levels == 1:
            found = ms_deform_attn(value, seen.shapes, center.unsqueeze(2), offsets.flatten(3), logits)
        else:
            found = _of_levels(Map(value, center, seen.shapes), offsets / extent, logits, config)
    return linear(m.output_proj, found.flatten(2)) + query


def _of_levels(seen, offsets, logits, config):
    """`MapAttention._of_levels`: offsets in map units [1, Q, heads, levels * points, 2] -> [1, Q, heads, D]."""
    places, weights = seen.references[:, :, None, None] + offsets, logits.softmax(-1)
    places, logits, weights = (_read(each, config) for each in (places, logits, weights))
    height, width = seen.shapes[0]
    cells = (places * [float(width), float(height)]).flatten(3)
    origin = seen.references.network.constant(np.zeros((1, places.shape[1], 1, 2), np.float32))
    return ms_deform_attn(seen.value, seen.shapes, origin, cells, logits) * weights.sum(-1, keepdim=True)


def _read(entries, config):
    """`MapAttention._read`: the one level that is read of [1, Q, heads, levels * points, ...]."""
    if config.map_sampling != "flat":
        return entries[:, :, :, : config.points]
    _, queries, heads, _, *rest = entries.shape
    return entries.reshape(1, queries * config.map_levels, heads, config.points, *rest)[:, :queries]


def encode(m: Module, bev: Tensor, config: Config) -> Tensor:
    """`Transformer.encode`: [1, cells, C] -> the same."""
    sizes, half = (config.bev_h, config.bev_w), config.embed_dims // 2
    rows, columns = (sines((np.arange(size) + 0.5) / (size + MAP_EPSILON), half) for size in sizes)
    grid = np.broadcast_to(rows[:, None], (*sizes, half)), np.broadcast_to(columns[None], (*sizes, half))
    position = np.concatenate(grid, -1).reshape(1, -1, 2 * half).astype(np.float32) + m.array("level_embeds")[0]
    place, start = m.network.constant(position), m.network.constant(cells(config)[None])
    for number in range(config.map_layers):
        layer = m.encoder.layers[number]
        bev = layer_norm(
            layer.norms[0], map_attention(layer.attentions[0], bev, place, Map(bev, start, [sizes]), config)
        )
        bev = layer_norm(layer.norms[1], feed_forward(layer.ffns[0], bev))
    return bev


def decode(m: Module, query: Tensor, position: Tensor, memory: Tensor, branches: Module, config: Config) -> Tensor:
    """The last queries of `Transformer.decode`: query, position [1, Q, C], memory [1, cells, C] -> [1, Q, C]."""
    network, shape = m.network, (config.bev_h, config.bev_w)
    with network.full_precision():
        references = linear(m.reference_points, position).sigmoid()
    for number in range(config.map_layers):
        layer = m.decoder.layers[number]
        query = layer_norm(layer.norms[0], self_attention(layer.attentions[0], query, position, config.num_heads))
        seen = Map(memory, references, [shape])
        query = layer_norm(layer.norms[1], map_attention(layer.attentions[1], query, position, seen, config))
        query = layer_norm(layer.norms[2], feed_forward(layer.ffns[0], query))
        if number + 1 < config.map_layers:
            delta = regression_branch(branches[number], query)
            with network.full_precision():
                known = inverse_sigmoid(references)
                count = known.shape[-1]
                moved = delta[..., :count] + known
                references = (cat([moved, delta[..., count:]], -1) if count < 4 else moved).sigmoid()
    return query


def map_head(m: Module, bev: Tensor, config: Config) -> Lanes:
    """`MapHead`: bev [1, cells, C]."""
    shape, kinds, heads = (config.bev_h, config.bev_w), config.map_classes, config.num_heads
    memory = encode(m.transformer, bev, config)
    position, content = m.query_embedding.constant().unsqueeze(0).chunk(2, 2)
    query = decode(m.transformer, content, position, memory, m.reg_branches, config)
    logits = linear(m.cls_branches[config.map_layers - 1], query)
    with m.network.full_precision():
        scores, index = logits.sigmoid().flatten().topk(config.map_masks)
    chosen = index // kinds
    masks = mask_head(m.things_mask_head, query.take(chosen, 1), memory, (config.things_layers, heads))
    content, place = m.stuff_query.constant().unsqueeze(0).chunk(2, 2)  # the other way round than the queries
    drivable = mask_head(m.stuff_mask_head, content, memory, (config.stuff_layers, heads), place)
    masks, drivable = (each.unflatten(1, shape) for each in (masks, drivable))
    return Lanes(query, position, masks, scores, index - chosen * kinds, drivable)
