"""What a track remembers: the memory bank, and the query that it begins the next frame with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.transformer import MultiHead
from helpers.systems.uniad.common import WAIT, Tracks
from helpers.systems.uniad.config import Config


class MemoryBank(nn.Module):
    """The last outputs of every row, a few frames apart: attended to, then added to."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.embed_dims
        self.save_proj = nn.Linear(dims, dims)
        self.temporal_attn = MultiHead(dims, config.num_heads)
        self.temporal_fc1, self.temporal_fc2 = nn.Linear(dims, dims), nn.Linear(dims, dims)
        self.temporal_norm1, self.temporal_norm2 = nn.LayerNorm(dims), nn.LayerNorm(dims)

    def forward(self, tracks: Tracks, output: Tensor, scores: Tensor) -> tuple[Tracks, Tensor]:
        """output [N, C] of the decoder, scores [N] -> tracks with a newer memory, and the output after the attention.

        A row attends once its newest slot is filled, before this frame is saved. A row whose wait is over is saved into
        the newest slot, with or without a track.
        """
        remembered = self._attended(output, tracks.memory, tracks.empty)
        output = torch.where(tracks.empty[:, -1:] == 0, remembered, output)
        due = (tracks.wait == 0) & (scores > 0)
        wait = torch.where(due, WAIT, (tracks.wait - 1).clamp(min=0)).to(tracks.wait.dtype)
        newer = torch.cat([tracks.memory[:, 1:], self.save_proj(output)[:, None]], 1)
        filled = torch.cat([tracks.empty[:, 1:], torch.zeros_like(tracks.empty[:, :1])], 1)
        memory = torch.where(due[:, None, None], newer, tracks.memory)
        return tracks._replace(memory=memory, empty=torch.where(due[:, None], filled, tracks.empty), wait=wait), output

    def _attended(self, output, memory, empty):
        visible = (empty == 0)[:, None, None]
        answer = self.temporal_attn(output[:, None], memory, memory, visible)[:, 0]
        output = self.temporal_norm1(output + answer)
        return self.temporal_norm2(output + self.temporal_fc2(F.relu(self.temporal_fc1(output))))


class QueryInteraction(nn.Module):
    """The query of the next frame, of a track's output: tracks look at each other, then position and content change."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.embed_dims
        self.self_attn = MultiHead(dims, config.num_heads)
        for name in ("linear1", "linear2", "linear_pos1", "linear_pos2", "linear_feat1", "linear_feat2"):
            setattr(self, name, nn.Linear(dims, dims))
        for name in ("norm_pos", "norm_feat", "norm1", "norm2"):
            setattr(self, name, nn.LayerNorm(dims))

    def forward(self, query: Tensor, output: Tensor, alive: Tensor) -> Tensor:
        """query [M, 2C], output [M, C], alive bool [M], rows that hold a track -> query [M, 2C]."""
        position, content = query.chunk(2, 1)
        asking = (position + output)[None]
        visible = alive | ~alive.any()  # of no track at all the rows see each other, for nothing
        x = self.norm1(output + self.self_attn(asking, asking, output[None], visible)[0])
        x = self.norm2(x + self.linear2(F.relu(self.linear1(x))))
        position = self.norm_pos(position + self.linear_pos2(F.relu(self.linear_pos1(x))))
        content = self.norm_feat(content + self.linear_feat2(F.relu(self.linear_feat1(x))))
        return torch.cat([position, content], 1)
