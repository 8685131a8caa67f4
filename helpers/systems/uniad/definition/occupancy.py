"""`helpers.systems.uniad.occupancy`: which vehicle stands where, now and in four half seconds."""

from typing import NamedTuple

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import multi_head
from helpers.engine.definition.functions import cat, where
from helpers.engine.definition.layers import feed_forward, layer_norm, linear, normed
from helpers.systems.uniad.common import LEAST_SEEN, LEAST_SURE
from helpers.systems.uniad.config import Config
from helpers.systems.uniad.definition.grids import (
    decoder,
    downscale,
    fitted,
    light_projection,
    sliced,
    upscale_add,
)


class Occupancy(NamedTuple):
    """occupied [1, T, 1, H, W] and owner [1, T, H, W], int32, as `helpers.systems.uniad.occupancy.Occupancy`."""

    occupied: Tensor
    owner: Tensor


def mlp(m: Module, x: Tensor, layers: int) -> Tensor:
    """`MLP`: linear layers with ReLU between them."""
    for number in range(layers - 1):
        x = linear(m.layers[number], x).relu()
    return linear(m.layers[layers - 1], x)


def layer(m: Module, cells: Tensor, vehicles: Tensor, visible: Tensor, heads: int) -> Tensor:
    """`Layer`: cells [1, S, C], vehicles [1, A, C], visible BOOL [S, A]."""
    cells = layer_norm(m.norms[0], multi_head(m.attentions[0].attn, cells, cells, cells, heads) + cells)
    attended = multi_head(m.attentions[1].attn, cells, vehicles, vehicles, heads, visible)
    return layer_norm(m.norms[2], feed_forward(m.ffns[0], layer_norm(m.norms[1], attended + cells)))


def occupancy_head(
    m: Module, bev: Tensor, vehicles: tuple[Tensor, Tensor, Tensor], scores: Tensor, valid: Tensor, config: Config
) -> Occupancy:
    """`OccupancyHead`: vehicles: of A rows the motion's query [A, P, C], query and position [A, C]; scores [A];
    valid BOOL [A].
    """
    modes, query, position = vehicles
    fused = cat([normed(m.mode_fuser, modes).amax(1), query, position], -1)
    asking = linear(m.multi_query_fuser[3], normed(m.multi_query_fuser, fused))
    states, embeddings = _steps(m, bev, asking, valid, config)
    decoded = fitted(decoder(m.dense_decoder, states), config.occupancy_size)
    claims = mlp(m.query_to_occ_feat, embeddings, 3) @ decoded.flatten(2)  # [T, A, cells]
    with m.network.full_precision():
        sure = claims.sigmoid() * where(valid, scores, 0.0).reshape(1, -1, 1)
        most, owner = (each.squeeze(-1) for each in sure.transpose(1, 2).topk(1))
        occupied = (most > LEAST_SURE).whole().unflatten(1, config.occupancy_size).unsqueeze(0)
    owner = owner.unflatten(1, config.occupancy_size).unsqueeze(0)
    return Occupancy(occupied.unsqueeze(2), occupied * (owner + 1))


def _steps(m, bev, query, valid, config):
    """`OccupancyHead._steps`: the state of every step [T, C, H/4, W/4], and the vehicles then [T, A, C]."""
    state = bev.transpose(1, 2).unflatten(2, (config.bev_h, config.bev_w))
    state = light_projection(m.bev_light_proj, sliced(state, config) if config.sliced else state)
    for number in range(2):
        state = downscale(m.base_downscale[number], state)
    states, embeddings = [], []
    for step in range(config.occupancy_steps):
        small, now = downscale(m.downscale_convs[step], state), mlp(m.temporal_mlps[step], query, 2)
        embedding = mlp(m.temporal_mlp_for_mask, now, 3)
        cells = small.flatten(2).transpose(1, 2)
        with m.network.full_precision():
            seen = ((cells[0] @ embedding.transpose(0, 1)).sigmoid() >= LEAST_SEEN) & valid
            visible = seen | (valid & ~seen.any(1, keepdim=True))
        cells = layer(m.transformer_decoder.layers[step], cells, now.unsqueeze(0), visible, config.num_heads)
        state = upscale_add(m.upsample_adds[step], cells.transpose(1, 2).unflatten(2, small.shape[2:]), state)
        states.append(state)
        embeddings.append(embedding.unsqueeze(0))
    return cat(states, 0), cat(embeddings, 0)
