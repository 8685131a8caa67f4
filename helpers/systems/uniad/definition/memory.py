"""`helpers.systems.uniad.memory`: what a track remembers, and the query that it begins the next frame with."""

import numpy as np

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import multi_head
from helpers.engine.definition.functions import cat, where
from helpers.engine.definition.layers import layer_norm, linear
from helpers.systems.uniad.common import WAIT, Tracks
from helpers.systems.uniad.config import Config


def memory_bank(m: Module, tracks: Tracks, output: Tensor, scores: Tensor, config: Config) -> tuple[Tracks, Tensor]:
    """`MemoryBank`: output [N, C] of the decoder, scores [N] -> tracks with a newer memory, and the output after it."""
    network = m.network
    output = where(tracks.empty[:, -1:].equals(0), _attended(m, output, tracks, config.num_heads), output)
    saved = linear(m.save_proj, output).unsqueeze(1)
    with network.full_precision():
        due = tracks.wait.equals(0.0) & (scores > 0.0)
        wait = where(due, float(WAIT), (tracks.wait - 1).clamp(0.0))
        newer = cat([tracks.memory[:, 1:], saved], 1)
        filled = cat([tracks.empty[:, 1:], np.zeros((tracks.empty.shape[0], 1), int)], 1)
        memory = where(due[:, None, None], newer, tracks.memory)
    return tracks._replace(memory=memory, empty=where(due[:, None], filled, tracks.empty), wait=wait), output


def _attended(m, output, tracks, heads):
    visible = tracks.empty.equals(0)[:, None, None]
    memory = tracks.memory
    answer = multi_head(m.temporal_attn, output.unsqueeze(1), memory, memory, heads, visible)[:, 0]
    output = layer_norm(m.temporal_norm1, output + answer)
    return layer_norm(m.temporal_norm2, output + linear(m.temporal_fc2, linear(m.temporal_fc1, output).relu()))


def query_interaction(m: Module, query: Tensor, output: Tensor, alive: Tensor, config: Config) -> Tensor:
    """`QueryInteraction`: query [M, 2C], output [M, C], alive BOOL [M] -> query [M, 2C]."""
    position, content = query.chunk(2, 1)
    asking = (position + output).unsqueeze(0)
    visible = alive | ~alive.any(0, keepdim=True)
    answer = multi_head(m.self_attn, asking, asking, output.unsqueeze(0), config.num_heads, visible)[0]
    x = layer_norm(m.norm1, output + answer)
    x = layer_norm(m.norm2, x + linear(m.linear2, linear(m.linear1, x).relu()))
    position = layer_norm(m.norm_pos, position + linear(m.linear_pos2, linear(m.linear_pos1, x).relu()))
    content = layer_norm(m.norm_feat, content + linear(m.linear_feat2, linear(m.linear_feat1, x).relu()))
    return cat([position, content], 1)
