"""`helpers.systems.uniad.lanes`: the map head."""

from typing import NamedTuple

import numpy as np

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import Map, ms_deform_attn, self_attention
from helpers.engine.definition.functions import cat
from helpers.engine.definition.layers import feed_forward, layer_norm, linear, regression_branch
from helpers.layers.pillars import cells
from helpers.systems.uniad.config import Config
from helpers.systems.uniad.definition.bev import inverse_sigmoid
from helpers.systems.uniad.definition.masks import mask_head
from helpers.systems.uniad.definition.motion import sines

EPSILON = 1e-6  # by which a position falls short of the public map's end


class Lanes(NamedTuple):
    """The fields of `helpers.systems.uniad.lanes.Lanes` but for the boxes, which training alone reads."""

    query: Tensor
    position: Tensor
    masks: Tensor
    scores: Tensor
    classes: Tensor
    drivable: Tensor


def map_attention(m: Module, query: Tensor, position: Tensor, seen: Map, config: Config) -> Tensor:
    """`MapAttention` over one level: references [1, Q, 2] or boxes [1, Q, 4]."""
    heads, (height, width), references = config.num_heads, seen.shapes[0], seen.references
    asking = query + position
    offsets, logits = (
        linear(layer, asking).unflatten(-1, (heads, -1)) for layer in (m.sampling_offsets, m.attention_weights)
    )
    if references.shape[-1] == 4:
        with query.network.full_precision():
            extent = references[..., 2:] * (np.array([width, height], np.float32) * (0.5 / config.points))
            offsets = (offsets.unflatten(-1, (-1, 2)) * extent[:, :, None, None]).flatten(3)
    value = linear(m.value_proj, seen.value).unflatten(2, (heads, -1))
    found = ms_deform_attn(value, seen.shapes, references[:, :, None, :2], offsets, logits)
    return linear(m.output_proj, found.flatten(2)) + query


def encode(m: Module, bev: Tensor, config: Config) -> Tensor:
    """`Transformer.encode`: [1, cells, C] -> the same."""
    sizes, half = (config.bev_h, config.bev_w), config.embed_dims // 2
    rows, columns = (sines((np.arange(size) + 0.5) / (size + EPSILON), half) for size in sizes)
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
