"""What BEVFormer (arXiv:2203.17270) and its descendants share: cameras to a bird's-eye map, and queries that read it.

The configuration of a system says the sizes: embed_dims, num_heads, ffn_dims, encoder_layers, decoder_layers, points,
pillar_points, pillar_offsets, bev_h, bev_w, pc_range, image_size, feature_sizes and projection.
"""

from typing import Any

import torch
from torch import Tensor, nn

from helpers.layers.attention import (
    DeformableAttention,
    FeedForward,
    SelfAttention,
    SpatialCrossAttention,
    TemporalSelfAttention,
)
from helpers.layers.pillars import cells, pillars
from helpers.ops.common import full_precision
from helpers.ops.project_pillars import project_pillars, projected

EPSILON = 1e-5


class Projection(nn.Module):
    """Reference points of the map's pillars in every camera, and which cameras see a cell.

    A module of its own, without parameters and without matrix products, because it has to stay in float32: points
    behind a camera reach 1e7 image widths, beyond half precision.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.form, self.size = config.projection, (config.image_size[0], config.image_size[1])
        self.register_buffer("image_size", torch.tensor(config.image_size[::-1]).float(), persistent=False)
        self.register_buffer("points", torch.tensor(pillars(config)), persistent=False)
        self.register_buffer("cells", torch.tensor(cells(config)), persistent=False)

    def forward(self, *geometry: Tensor) -> tuple[Tensor, Tensor]:
        """lidar2img [B, cameras, 4, 4], pixels of the padded image, or what the host made of it, to (references, mask).

        references [B*cameras, Q, 1, 2*pillar_points] in image units; mask [B, cameras, Q, 1], 1/(number of cameras that
        see any point of the pillar) or 0.
        """
        if self.form == "inputs":
            references, mask = geometry
            return references, mask
        (lidar2img,) = geometry
        if self.form == "operator":
            return project_pillars(lidar2img, self.points, self.size)
        return projected(lidar2img, self.points, self.image_size)


class EncoderLayer(nn.Module):
    """Temporal self-attention, spatial cross-attention, feed-forward; a LayerNorm after each."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        dims, heads = config.embed_dims, config.num_heads
        spatial_points = config.pillar_points * config.pillar_offsets
        temporal = TemporalSelfAttention(dims, heads, config.points)
        spatial = SpatialCrossAttention(dims, heads, spatial_points, len(config.feature_sizes))
        self.attentions = nn.ModuleList([temporal, spatial])
        self.ffns = nn.ModuleList([FeedForward(dims, config.ffn_dims)])
        self.norms = nn.ModuleList(nn.LayerNorm(dims) for _ in range(3))
        self.bev_size, self.feature_sizes = (config.bev_h, config.bev_w), config.feature_sizes

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        history: Tensor,
        map_references: Tensor,
        tokens: Tensor,
        references: Tensor,
        mask: Tensor,
    ) -> Tensor:
        temporal, spatial = self.attentions
        query = self.norms[0](temporal(query, position, history, map_references, self.bev_size))
        query = self.norms[1](spatial(query, tokens, references, mask, self.feature_sizes))
        return self.norms[2](self.ffns[0](query))


class Encoder(nn.Module):
    """Lifts camera features into the bird's-eye map.

    shift_present: move the reference points in the present map as those in the previous one, with history or without.
    """

    def __init__(self, config: Any, shift_present: bool = False) -> None:
        super().__init__()
        self.shift_present = shift_present
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.projection = Projection(config)

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        tokens: Tensor,
        previous: Tensor,
        use_previous: Tensor,
        shift: Tensor,
        geometry: tuple[Tensor, ...],
    ) -> Tensor:
        """query and previous [B, Q, C], position [1, Q, C], tokens [B*cams, S, C]; use_previous [B], shift [B, 2];
        geometry: what `Projection.forward` takes.
        """
        references, mask = self.projection(*geometry)
        use = use_previous.view(-1, 1, 1, 1)
        cells = self.projection.cells[None, None]
        moved = cells + shift[:, None, None] * (1 if self.shift_present else use)
        present = moved if self.shift_present else cells.expand_as(moved)
        map_references = torch.cat([moved, present], 1).unsqueeze(3)
        past = torch.stack([previous, query], 1)
        for layer in self.layers:
            history = use * past + (1 - use) * query.unsqueeze(1)
            query = layer(query, position, history, map_references, tokens, references, mask)
        return query


class DecoderLayer(nn.Module):
    """Self-attention of the object queries, deformable attention over the map, feed-forward; a LayerNorm after each."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        dims, heads = config.embed_dims, config.num_heads
        self.attentions = nn.ModuleList([SelfAttention(dims, heads), DeformableAttention(dims, heads, config.points)])
        self.ffns = nn.ModuleList([FeedForward(dims, config.ffn_dims)])
        self.norms = nn.ModuleList(nn.LayerNorm(dims) for _ in range(3))
        self.bev_size = config.bev_h, config.bev_w

    def forward(
        self, query: Tensor, position: Tensor, bev: Tensor, references: Tensor, visible: Tensor | None = None
    ) -> Tensor:
        query = self.norms[0](self.attentions[0](query, position, visible))
        query = self.norms[1](self.attentions[1](query, position, bev, references, self.bev_size))
        return self.norms[2](self.ffns[0](query))


class Decoder(nn.Module):
    """Object queries that read the map; each layer refines the reference points of the next."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        bev: Tensor,
        reference: Tensor,
        reg_branches: nn.ModuleList,
        visible: Tensor | None = None,
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """query [B, Q, C], position [1, Q, C], bev [B, cells, C], reference [B, Q, 3] in 0..1;
        visible: which queries see which, as `SelfAttention.forward` takes it.

        Returns per layer the queries [B, Q, C], the reference points that it started from and its box regression.
        """
        results = []
        for layer, branch in zip(self.layers, reg_branches, strict=True):
            query = layer(query, position, bev, reference[..., None, :2], visible)
            delta = full_precision(branch(query))
            results.append((query, reference, delta))
            kept = reference.clamp(EPSILON, 1 - EPSILON)
            moved = torch.cat([delta[..., :2], delta[..., 4:5]], -1) + torch.log(kept / (1 - kept))
            reference = moved.sigmoid().detach()
        return results
