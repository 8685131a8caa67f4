"""The backward projection: cells of a bird's-eye map ask the cameras, weighted by the depth that those predict.

Without loops over cameras and without a scatter that adds: each camera's answers are looked up by the position that a
cell has in that camera's list, so that shapes depend on nothing but the number of queries and no two writes meet.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.attention import DeformableAttention, FeedForward, PositionalEncoding
from helpers.ops.ms_deform_attn import ms_deform_attn
from helpers.systems.fbocc.config import Config

SELF_POINTS, CROSS_POINTS = 4, 8
TINY = 1e-6  # a depth weight below this counts as this much


class Geometry(NamedTuple):
    """What the host computed, as `FBOCC.forward` takes it: B streams, N cameras, Q cells, A anchors, M queries."""

    ref_2d: Tensor
    bev_query_depth: Tensor
    reference_points_cam: Tensor
    per_cam_mask_list: Tensor
    indexes: Tensor
    queries_rebatch: Tensor
    reference_points_rebatch: Tensor
    bev_query_depth_rebatch: Tensor


class DepthLookup(nn.Module):
    """Predicted probability that something stands where an anchor is. Positions need float32: a module of its own."""

    def __init__(self, depth_range: tuple[float, float, float]) -> None:
        super().__init__()
        self.low, _, self.step = depth_range

    def forward(self, depth: Tensor, references: Tensor, meters: Tensor) -> tuple[Tensor, Tensor]:
        """depth [N, D, H, W], references [N, M, A, 2] in 0..1, meters [N, M, A, 1] -> weight and its log [N, M, A].

        The bin of an anchor's depth, sampled bilinearly at its place with zeros outside of the picture.
        """
        _, bins, height, width = depth.shape
        layer = ((meters[..., 0] - self.low) / self.step).floor().clamp(0, bins - 1)
        x = (references[..., 0] * width - 0.5).clamp(-1, width)
        y = (references[..., 1] * height - 0.5).clamp(-1, height)
        left, top, flat = x.floor(), y.floor(), depth.flatten(1)
        weight = torch.zeros_like(x)
        for down in (0, 1):
            for right in (0, 1):
                column, row = left + right, top + down
                share = (1 - (x - column).abs()) * (1 - (y - row).abs())
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                place = (layer * height + row.clamp(0, height - 1)) * width + column.clamp(0, width - 1)
                taken = flat.gather(1, place.long().flatten(1)).view_as(x)
                weight = weight + torch.where(inside, share * taken, 0)
        return weight, weight.clamp(min=TINY).log()


class DepthAwareAttention(DeformableAttention):
    """Deformable attention whose weights are multiplied by the depth weight of their anchor, after the softmax.

    softmax(l) * w = softmax(l + log w) * sum(softmax(l) * w), so that the operator with the softmax inside serves.
    """

    def attend_by_depth(
        self,
        query: Tensor,
        value: Tensor,
        references: Tensor,
        depth_weight: tuple[Tensor, Tensor],
        shape: tuple[int, int],
    ) -> Tensor:
        """query [N, M, C], value [N, H*W, C], references [N, M, A, 2], depth_weight twice [N, M, A] -> [N, M, C]."""
        count, cells, dims = value.shape
        offsets, logits = (
            layer(query).unflatten(2, (self.heads, -1)) for layer in (self.sampling_offsets, self.attention_weights)
        )
        weight, log_weight = (each.repeat(1, 1, self.points // each.shape[2]).unsqueeze(2) for each in depth_weight)
        scale = (logits.softmax(-1) * weight).sum(-1, keepdim=True)
        value = self.value_proj(value).view(count, cells, self.heads, dims // self.heads)
        references = references.flatten(2).unsqueeze(2)
        return (ms_deform_attn(value, [shape], references, offsets, logits + log_weight) * scale).flatten(2)


class SpatialCrossAttention(nn.Module):
    """Every camera is asked by the cells it sees; a cell takes the mean of its cameras' answers."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.deformable_attention = DepthAwareAttention(config.channels, config.heads, CROSS_POINTS, project=False)
        self.depth_lookup = DepthLookup(config.depth_range)
        self.output_proj = nn.Linear(config.channels, config.channels)
        self.first_cell_asks, self.shape = not config.as_published, config.feature_size

    def forward(self, query: Tensor, position: Tensor, tokens: Tensor, depth: Tensor, geometry: Geometry) -> Tensor:
        """query, position [B, Q, C], tokens [B*N, H*W, C], depth [B*N, D, H, W] -> [B, Q, C]."""
        streams, cells, _ = query.shape
        cameras, queries = geometry.indexes.shape[1:]
        of_stream = geometry.indexes + _offsets(streams, cells, query).view(-1, 1, 1)
        of_camera = geometry.indexes + _offsets(streams * cameras, cells, query).view(streams, cameras, 1)
        # The public graph writes into these buffers; here they are zeros that are added, and stay inputs so.
        asked = geometry.queries_rebatch + F.embedding(of_stream, (query + position).flatten(0, 1))
        points = geometry.reference_points_rebatch + _rows(geometry.reference_points_cam, of_camera)
        meters = geometry.bev_query_depth_rebatch + _rows(geometry.bev_query_depth, of_camera)
        asked, points, meters = (tensor.flatten(0, 1) for tensor in (asked, points, meters))
        weight = self.depth_lookup(depth, points, meters)
        answers = self.deformable_attention.attend_by_depth(asked, tokens, points, weight, self.shape)
        seen = geometry.per_cam_mask_list.any(-1).transpose(0, 1)
        place = self._places(geometry.indexes, cells) + _offsets(streams * cameras, queries, query).view(
            streams, cameras, 1
        )
        asking = seen if self.first_cell_asks else seen & (torch.arange(cells, device=query.device) > 0)
        answers = torch.where(asking.unsqueeze(-1), F.embedding(place, answers.flatten(0, 1)), 0).sum(1)
        count = seen.sum(1).clamp(min=1).to(answers.dtype)
        return self.output_proj(answers / count.unsqueeze(-1)) + query

    def _places(self, indexes, cells):
        """Position of every cell in each camera's list, int64 [B, N, Q]; cell 0 can only stand first."""
        streams, cameras, queries = indexes.shape
        order = torch.arange(queries, device=indexes.device).expand(streams, cameras, -1)
        places = indexes.new_zeros(streams, cameras, cells).scatter(2, indexes, order)
        return places * (torch.arange(cells, device=indexes.device) > 0)


def _offsets(count, size, like):
    return torch.arange(count, device=like.device) * size


def _rows(tensor, rows):
    """Rows [B, N, M], counted over streams, cameras and cells, of [N, B, Q, A, k] -> [B, N, M, A, k]."""
    return F.embedding(rows, tensor.transpose(0, 1).flatten(0, 2).flatten(1)).unflatten(3, tensor.shape[3:])


class EncoderLayer(nn.Module):
    """Self-attention of the map, cross-attention to the cameras, feed-forward; a LayerNorm after each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.channels
        own = DeformableAttention(dims, config.heads, SELF_POINTS)
        self.attentions = nn.ModuleList([own, SpatialCrossAttention(config)])
        self.ffns = nn.ModuleList([FeedForward(dims, 4 * dims)])
        self.norms = nn.ModuleList(nn.LayerNorm(dims) for _ in range(3))
        self.bev_size = config.bev_size

    def forward(self, query: Tensor, position: Tensor, tokens: Tensor, depth: Tensor, geometry: Geometry) -> Tensor:
        own, cross = self.attentions
        query = self.norms[0](own(query, position, query, geometry.ref_2d, self.bev_size))
        query = self.norms[1](cross(query, position, tokens, depth, geometry))
        return self.norms[2](self.ffns[0](query))


class Transformer(nn.Module):
    """One encoder layer under the public names; `cams_embeds` is in the checkpoint and takes no part."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.cams_embeds = nn.Parameter(torch.zeros(config.num_cameras, config.channels))
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList([EncoderLayer(config)])})


class BackwardProjection(nn.Module):
    """The volume's mean over its height, made sharper by what the cameras say."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        rows, columns = config.bev_size
        self.bev_embedding = nn.Embedding(rows * columns, config.channels)
        self.positional_encoding = PositionalEncoding(rows, columns, config.channels)
        self.transformer = Transformer(config)

    def forward(self, flat: Tensor, tokens: Tensor, depth: Tensor, geometry: Geometry) -> Tensor:
        """flat [B, Q, C], tokens [B*N, H*W, C], depth [B*N, D, H, W] -> [B, Q, C]."""
        query, position = flat + self.bev_embedding.weight, self.positional_encoding()
        for layer in self.transformer.encoder["layers"]:
            query = layer(query, position, tokens, depth, geometry)
        return query
