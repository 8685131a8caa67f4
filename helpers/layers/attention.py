"""Attention and feed-forward layers of BEVFormer (arXiv:2203.17270), with the parameter names of its checkpoints.

All layers are batch first, add the residual themselves and leave normalization to the caller. `Shape` is (H, W) of a
map, or one such pair for each of its levels, whose cells then lie one level after the other.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from helpers.ops.ms_deform_attn import ms_deform_attn

Shape = tuple[int, int] | Sequence[tuple[int, int]]
HIDDEN = -1e4  # added to the logit of a key that a query may not look at: its weight is 0, in half precision as well


class DeformableAttention(nn.Module):
    """Deformable attention over one map, or over the levels of one.

    Args:
        dims: channels of query, value and output (C).
        query_dims: channels of the tensor that offsets and weights are predicted from.
        copies: sets of offsets and weights per query (2 for a queue of two maps).
        project: whether to end in a projection and the residual.
        levels: of the map; a query has `points` points in each.
    """

    def __init__(
        self,
        dims: int,
        heads: int,
        points: int,
        query_dims: int | None = None,
        copies: int = 1,
        project: bool = True,
        levels: int = 1,
    ) -> None:
        super().__init__()
        self.heads, self.points, self.copies, self.levels = heads, points, copies, levels
        entries = copies * heads * levels * points
        self.sampling_offsets = nn.Linear(query_dims or dims, 2 * entries)
        self.attention_weights = nn.Linear(query_dims or dims, entries)
        self.value_proj = nn.Linear(dims, dims)
        if project:
            self.output_proj = nn.Linear(dims, dims)
        self._initialize()

    def _initialize(self):
        """Offsets start as rays, one direction per head, one step further per point (Deformable DETR)."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        rays = torch.stack([angles.cos(), angles.sin()], -1)
        rays = (rays / rays.abs().amax(-1, keepdim=True)).view(self.heads, 1, 1, 2)
        steps = torch.arange(1.0, self.points + 1).view(1, 1, self.points, 1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_((rays * steps).expand(-1, self.copies * self.levels, -1, -1).flatten())
        for parameter in (self.sampling_offsets.weight, *self.attention_weights.parameters()):
            nn.init.zeros_(parameter)

    def attend(self, query: Tensor, value: Tensor, references: Tensor, shape: Shape) -> Tensor:
        """query [B, Q, query_dims], value [B*k, cells, C], references [B*k, Q, 1, 2G] -> [B*k, Q, C].

        Each query serves k values: the copies of the offsets if there are any, else the same offsets for all.
        """
        total, cells, dims = value.shape
        offsets, weights = (
            self._per_value(layer(query), total) for layer in (self.sampling_offsets, self.attention_weights)
        )
        value = self.value_proj(value).view(total, cells, self.heads, dims // self.heads)
        return ms_deform_attn(value, levels_of(shape), references, offsets, weights).flatten(2)

    def _per_value(self, entries, total):
        """[B, Q, heads*copies*n] -> [total, Q, heads, n]"""
        batch, queries, _ = entries.shape
        if total == batch:
            return entries.view(batch, queries, self.heads, -1)
        entries = entries.view(batch, queries, self.heads, self.copies, -1).permute(0, 3, 1, 2, 4)
        if self.copies == 1:
            entries = entries.expand(-1, total // batch, -1, -1, -1)
        return entries.flatten(0, 1)

    def forward(self, query: Tensor, position: Tensor, value: Tensor, references: Tensor, shape: Shape) -> Tensor:
        """query and position [B, Q, C], value [B, cells, C], references [B, Q, 1, 2] -> [B, Q, C]."""
        return self.output_proj(self.attend(query + position, value, references, shape)) + query


def levels_of(shape: Shape) -> list[tuple[int, int]]:
    """(H, W) of every level."""
    pairs: Any = shape if isinstance(shape[0], Sequence) else [shape]
    return [(h, w) for h, w in pairs]


class TemporalSelfAttention(DeformableAttention):
    """Deformable attention over the previous and the present bird's-eye map; the mean of both."""

    def __init__(self, dims: int, heads: int, points: int) -> None:
        super().__init__(dims, heads, points, query_dims=2 * dims, copies=2)

    def forward(self, query: Tensor, position: Tensor, history: Tensor, references: Tensor, shape: Shape) -> Tensor:
        """query [B, Q, C], position [1, Q, C], history [B, 2, Q, C], references [B, 2, Q, 1, 2] -> [B, Q, C]."""
        feature = torch.cat([history[:, 0], query + position], -1)
        attended = self.attend(feature, history.flatten(0, 1), references.flatten(0, 1), shape)
        return self.output_proj(attended.view(history.shape).mean(1)) + query


class SpatialCrossAttention(nn.Module):
    """Deformable attention of every query over every camera, weighted by a visibility mask that sums to one or zero."""

    def __init__(self, dims: int, heads: int, points: int, levels: int = 1) -> None:
        super().__init__()
        self.deformable_attention = DeformableAttention(dims, heads, points, project=False, levels=levels)
        self.output_proj = nn.Linear(dims, dims)

    def forward(self, query: Tensor, value: Tensor, references: Tensor, mask: Tensor, shape: Shape) -> Tensor:
        """query [B, Q, C], value [B*cameras, cells, C], references [B*cameras, Q, 1, 2G], mask [B, cameras, Q, 1]."""
        attended = self.deformable_attention.attend(query, value, references, shape)
        attended = attended.view(*mask.shape[:3], -1) * mask
        return self.output_proj(attended.sum(1)) + query


class SelfAttention(nn.Module):
    """Multi-head attention of object queries among themselves (parameters as in `torch.nn.MultiheadAttention`)."""

    class Projections(nn.Module):
        def __init__(self, dims):
            super().__init__()
            self.in_proj_weight = nn.Parameter(torch.empty(3 * dims, dims))
            self.in_proj_bias = nn.Parameter(torch.zeros(3 * dims))
            self.out_proj = nn.Linear(dims, dims)
            nn.init.xavier_uniform_(self.in_proj_weight)

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn = self.Projections(dims)

    def forward(self, query: Tensor, position: Tensor, visible: Tensor | None = None) -> Tensor:
        """query [B, Q, C], position [1, Q, C] -> [B, Q, C]; query and key carry the position, the value does not.

        visible: bool, broadcast to [B, heads, Q, Q]: which key a query may look at, one at least; None for all.
        """
        dims = query.shape[-1]
        weight, bias = self.attn.in_proj_weight, self.attn.in_proj_bias
        query_key = nn.functional.linear(query + position, weight[: 2 * dims], bias[: 2 * dims])
        value = nn.functional.linear(query, weight[2 * dims :], bias[2 * dims :])
        q, k, v = (self._split_heads(tensor) for tensor in (*query_key.chunk(2, -1), value))
        scores = (q * (dims // self.heads) ** -0.5) @ k.transpose(-1, -2)
        if visible is not None:
            scores = torch.where(visible, scores, HIDDEN)
        attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.attn.out_proj(attended) + query

    def _split_heads(self, tensor):
        return tensor.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Linear, ReLU, linear and the residual."""

    def __init__(self, dims: int, width: int) -> None:
        super().__init__()
        expand = nn.Sequential(nn.Linear(dims, width), nn.ReLU(inplace=True))
        self.layers = nn.Sequential(expand, nn.Linear(width, dims))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x


class PositionalEncoding(nn.Module):
    """Learned row and column tables -> [1, rows*columns, C], the column's half first."""

    def __init__(self, rows: int, columns: int, dims: int) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(rows, dims // 2)
        self.col_embed = nn.Embedding(columns, dims // 2)
        nn.init.uniform_(self.row_embed.weight)
        nn.init.uniform_(self.col_embed.weight)

    def forward(self) -> Tensor:
        rows, columns = self.row_embed.weight, self.col_embed.weight
        column_part = columns[None].expand(rows.shape[0], -1, -1)
        row_part = rows[:, None].expand(-1, columns.shape[0], -1)
        return torch.cat([column_part, row_part], -1).flatten(0, 1).unsqueeze(0)
