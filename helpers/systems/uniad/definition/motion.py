"""`helpers.systems.uniad.motion`: where every object, and the vehicle, may go, in several modes."""

import math
from typing import NamedTuple

import numpy as np

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import decoder_layer, encoder_layer, ms_deform_attn
from helpers.engine.definition.functions import cat, stack
from helpers.engine.definition.layers import (
    class_branch,
    feed_forward,
    fuser,
    layer_norm,
    linear,
    normed,
    regression_branch,
)
from helpers.systems.uniad import anchors
from helpers.systems.uniad.common import ABOUT_PI, Agents, Futures
from helpers.systems.uniad.config import Config


def end_attention(m: Module, query: Tensor, position: Tensor, bev: Tensor, ends: Tensor, config: Config) -> Tensor:
    """`EndAttention`: query and position [A, P, C], bev [1, cells, C], ends [A, P, 2] in map units -> [A, P, C]."""
    heads, steps = config.num_heads, config.motion_steps
    asking = (query + position).flatten(0, 1)
    offsets, logits = (
        linear(layer, asking).unflatten(1, (heads, steps, -1)).transpose(1, 2).flatten(0, 1).unsqueeze(0)
        for layer in (m.sampling_offsets, m.attention_weights)
    )
    places = ends.flatten(0, 1).unsqueeze(1).expand(-1, steps, -1).flatten(0, 1)[None, :, None]
    value = linear(m.value_proj, bev).unflatten(2, (heads, -1))
    attended = ms_deform_attn(value, [(config.bev_h, config.bev_w)], places, offsets, logits)
    return normed(m.output_proj, attended[0].reshape(*query.shape[:2], -1)) + query


def end_layer(m: Module, query: Tensor, position: Tensor, bev: Tensor, ends: Tensor, config: Config) -> Tensor:
    """`EndLayer`."""
    query = layer_norm(m.norms[0], end_attention(m.attentions[0], query, position, bev, ends, config))
    return layer_norm(m.norms[1], feed_forward(m.ffns[0], query))


class Around(NamedTuple):
    """What the modes of an object look at: objects [1, A, C] with their position, which of them are `valid` (BOOL [A]);
    lanes [1, L, C] with theirs; the map [1, cells, C]; `place` [A, P, C], the position of the modes' own object.
    """

    objects: Tensor
    valid: Tensor
    lanes: Tensor
    bev: Tensor
    place: Tensor


def motion_layer(m: Module, number: int, query: Tensor, around: Around, ends: Tensor, config: Config) -> Tensor:
    """`MotionFormer.layer`: query [A, P, C], ends [A, P, 2] in map units -> [A, P, C]."""
    heads, asking = config.num_heads, query + around.place
    agents, roads = (
        layers[number].interaction_transformer
        for layers in (m.track_agent_interaction_layers, m.map_interaction_layers)
    )
    seen = [
        decoder_layer(agents, asking, around.objects, heads, around.valid),
        decoder_layer(roads, asking, around.lanes, heads),
        end_layer(m.bev_interaction_layers[number], query, around.place, around.bev, ends, config),
        around.objects[0].unsqueeze(1).expand(-1, config.modes, -1),
    ]
    return fuser(m.out_query_fuser, cat(seen, -1))


def motion_head(m: Module, bev: Tensor, agents: Agents, lanes: tuple[Tensor, Tensor], config: Config) -> Futures:
    """`MotionHead`: bev [1, cells, C]; lanes: queries and positions [1, L, C]."""
    network, former, modes = m.network, m.motionformer, config.modes
    low, high = np.array(config.pc_range, np.float32).reshape(2, 3)[:, :2]
    position = fuser(m.boxes_query_embedding_layer, place(agents.center, config))
    centers = agents.center.unsqueeze(1)
    with network.full_precision():
        ends: Tensor = network.constant(anchors.plain(config)[:, :, -1])[agents.group]
        offset_end = rotated(ends, agents.yaw - ABOUT_PI)
    agent = fuser(m.agent_level_embedding_layer, place(ends, config))
    offset, ego = _scene(m, offset_end, centers, config)
    learned: Tensor = m.learnable_motion_query_embedding.constant().unflatten(0, (-1, modes))[agents.group]
    agent = encoder_layer(former.intention_interaction_layers.interaction_transformer, agent, config.num_heads)
    static = agent + offset + learned
    query: Tensor = network.constant(np.zeros(agent.shape, np.float32))
    around = Around(
        (agents.query + position).unsqueeze(0), agents.valid, lanes[0] + lanes[1], bev,
        position.unsqueeze(1).expand(-1, modes, -1),
    )  # fmt: skip
    for number in range(config.motion_layers):
        dynamic = fuser(former.dynamic_embed_fuser, cat([agent, offset, ego], -1))
        intention = fuser(former.static_dynamic_fuser, cat([static, dynamic], -1))
        query = fuser(former.in_query_fuser, cat([query, intention], -1))
        with network.full_precision():
            reached = (offset_end + centers - low) / (high - low)
        query = motion_layer(former, number, query, around, reached, config)
        path = regression_branch(m.traj_reg_branches[number], query).unflatten(2, (-1, 5))
        with network.full_precision():
            offset_end = path[..., :2].sum(2)
            turned = rotated(offset_end, ABOUT_PI - agents.yaw)
        agent = fuser(m.agent_level_embedding_layer, place(turned, config))
        offset, ego = _scene(m, offset_end, centers, config)
    logits = class_branch(m.traj_cls_branches[config.motion_layers - 1], query).squeeze(-1)
    with network.full_precision():
        paths = cat([path[..., :2].cumsum(2), path[..., 2:4].exp(), path[..., 4:].tanh()], -1)
        return Futures(paths, logits.log_softmax(1), query, position)


def _scene(m, ends, centers, config):
    """`MotionHead._scene`; centers [A, 1, 2]."""
    with m.network.full_precision():
        there = ends + centers
    offset = fuser(m.scene_level_offset_embedding_layer, place(ends, config))
    return offset, fuser(m.scene_level_ego_embedding_layer, place(there, config))


def place(points: Tensor, config: Config) -> Tensor:
    """`MotionHead._place`: points [..., 2] in m as sines [..., C], y first."""
    low, high = np.array(config.pc_range, np.float32).reshape(2, 3)[:, :2]
    with points.network.full_precision():
        x, y = ((points - low) / (high - low)).chunk(2, -1)
        return cat([sine(axis, config.embed_dims // 2) for axis in (y, x)], -1)


def sine(x: Tensor, dims: int) -> Tensor:
    """`helpers.layers.encoding.sine`: [..., 1] -> [..., dims], sine and cosine in turn."""
    angles = x * (2 * math.pi) / _wavelengths(dims)
    return stack([angles.sin(), angles.cos()], -1).flatten(len(x.shape) - 1)


def sines(x: np.ndarray, dims: int) -> np.ndarray:
    """The same of an array [N] -> [N, dims], in its own precision."""
    angles = x[:, None] * (2 * math.pi) / _wavelengths(dims)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(len(x), dims)


def _wavelengths(dims, temperature=10000.0):
    return temperature ** (2 * np.arange(dims // 2, dtype=np.float32) / dims)


def rotated(points: Tensor, angles: Tensor) -> Tensor:
    """[A, P, 2] turned counter-clockwise by angles [A] in rad."""
    sine_, cosine = angles.sin().reshape(-1, 1, 1), angles.cos().reshape(-1, 1, 1)
    x, y = points.chunk(2, -1)
    return cat([cosine * x - sine_ * y, sine_ * x + cosine * y], -1)
