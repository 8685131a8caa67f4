"""The map head: lanes, crossings and borders as queries, and what may be driven on, as masks (Panoptic SegFormer)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.layers.attention import DeformableAttention, FeedForward, SelfAttention
from helpers.layers.branches import regression_branch
from helpers.layers.encoding import inverse_sigmoid, sine
from helpers.layers.pillars import cells
from helpers.ops.common import full_precision
from helpers.ops.ms_deform_attn import ms_deform_attn
from helpers.systems.uniad.common import MAP_EPSILON
from helpers.systems.uniad.config import Config
from helpers.systems.uniad.masks import MaskHead


class Lanes(NamedTuple):
    """query and position [1, Q, C] of the lanes' queries, boxes [Q, 4] (center, width, height in map units); of the M
    best (query, class) pairs masks [M, H, W], scores [M], classes [M] int64; drivable [1, H, W]. On is above 0.5.
    """  # fmt: skip

    query: Tensor
    position: Tensor
    boxes: Tensor
    masks: Tensor
    scores: Tensor
    classes: Tensor
    drivable: Tensor


class MapAttention(DeformableAttention):
    """Deformable attention over one map with offsets and weights for `levels`, read as `Config.map_sampling` says.

    The weights that are read are a part of a softmax and do not add up to 1:
    w = softmax(l) * sum(w) with l their logits, so that the operator with the softmax inside serves.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config.embed_dims, config.num_heads, config.points, levels=config.map_levels)
        self.flat = config.map_sampling == "flat"

    def forward(  # type: ignore[override]
        self, query: Tensor, position: Tensor, value: Tensor, references: Tensor, shape: tuple[int, int]
    ) -> Tensor:
        """query and position [1, Q, C], value [1, H*W, C], references [1, Q, 2] or boxes [1, Q, 4] -> [1, Q, C]."""
        queries, (height, width) = query.shape[1], shape
        asking = query + position
        offsets = self.sampling_offsets(asking).view(1, queries, self.heads, -1, 2)
        logits = self.attention_weights(asking).view(1, queries, self.heads, -1)
        extent = torch.stack([offsets.new_full((), width), offsets.new_full((), height)])
        center = references[..., :2]
        if references.shape[-1] == 4:
            offsets = offsets * (references[..., None, None, 2:] * extent * (0.5 / self.points))
        value = self.value_proj(value).unflatten(2, (self.heads, -1))
        if self.levels == 1:
            attended = ms_deform_attn(value, [shape], center.unsqueeze(2), offsets.flatten(3), logits)
        else:
            attended = self._of_levels(value, shape, center, offsets / extent, logits, extent)
        return self.output_proj(attended.flatten(2)) + query

    def _of_levels(self, value, shape, center, offsets, logits, extent):
        """offsets in map units [1, Q, heads, levels * points, 2], logits without the last axis -> [1, Q, heads, D]."""
        places = center[:, :, None, None] + offsets
        weights = logits.softmax(-1)
        places, logits, weights = (self._read(each) for each in (places, logits, weights))
        cells = places * extent
        origin = torch.zeros_like(center).unsqueeze(2)
        attended = ms_deform_attn(value, [shape], origin, cells.flatten(3), logits)
        return attended * weights.sum(-1, keepdim=True)

    def _read(self, entries):
        """[1, Q, heads, levels * points, ...] -> the one level that is read, [1, Q, heads, points, ...]."""
        if not self.flat:
            return entries[:, :, :, : self.points]
        queries, heads, rest = entries.shape[1], entries.shape[2], entries.shape[4:]
        return entries.reshape(1, queries * self.levels, heads, self.points, *rest)[:, :queries]


class EncoderLayer(nn.Module):
    """Deformable self-attention of the cells and feed-forward; a LayerNorm after each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([MapAttention(config)])
        self.ffns = nn.ModuleList([FeedForward(config.embed_dims, config.ffn_dims)])
        self.norms = nn.ModuleList(nn.LayerNorm(config.embed_dims) for _ in range(2))

    def forward(self, x: Tensor, position: Tensor, references: Tensor, shape: tuple[int, int]) -> Tensor:
        x = self.norms[0](self.attentions[0](x, position, x, references, shape))
        return self.norms[1](self.ffns[0](x))


class DecoderLayer(nn.Module):
    """Self-attention, deformable attention over the map, feed-forward; a LayerNorm after each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.embed_dims
        self.attentions = nn.ModuleList([SelfAttention(dims, config.num_heads), MapAttention(config)])
        self.ffns = nn.ModuleList([FeedForward(dims, config.ffn_dims)])
        self.norms = nn.ModuleList(nn.LayerNorm(dims) for _ in range(3))

    def forward(
        self, query: Tensor, position: Tensor, memory: Tensor, references: Tensor, shape: tuple[int, int]
    ) -> Tensor:
        query = self.norms[0](self.attentions[0](query, position))
        query = self.norms[1](self.attentions[1](query, position, memory, references, shape))
        return self.norms[2](self.ffns[0](query))


class Layers(nn.Module):
    """Layers under the public name."""

    def __init__(self, kind: type[nn.Module], config: Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind(config) for _ in range(config.map_layers))


class Transformer(nn.Module):
    """Encoder of the map's cells, decoder of queries that are boxes on it; of the level embeddings one is used."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.shape = config.bev_h, config.bev_w
        self.level_embeds = nn.Parameter(torch.randn(4, config.embed_dims))
        self.encoder, self.decoder = Layers(EncoderLayer, config), Layers(DecoderLayer, config)
        self.reference_points = nn.Linear(config.embed_dims, 2)
        self.register_buffer("cells", torch.tensor(cells(config)), persistent=False)
        for name, size in zip(("rows", "columns"), self.shape, strict=True):
            place = (torch.arange(size, dtype=torch.float64) + 0.5) / (size + MAP_EPSILON)
            self.register_buffer(name, sine(place[:, None], config.embed_dims // 2).float(), persistent=False)

    def encode(self, bev: Tensor) -> Tensor:
        """[1, cells, C] -> the same."""
        height, width = self.shape
        grid = self.rows[:, None].expand(-1, width, -1), self.columns[None].expand(height, -1, -1)
        position = torch.cat(grid, 2).flatten(0, 1)[None] + self.level_embeds[0]
        for layer in self.encoder.layers:
            bev = layer(bev, position, self.cells[None], self.shape)
        return bev

    def decode(
        self, query: Tensor, position: Tensor, memory: Tensor, branches: nn.ModuleList
    ) -> list[tuple[Tensor, Tensor]]:
        """query, position [1, Q, C], memory [1, cells, C] -> per layer the queries and their boxes [1, Q, 4]."""
        references, results = full_precision(self.reference_points(position)).sigmoid(), []
        for layer, branch in zip(self.decoder.layers, branches, strict=True):
            query = layer(query, position, memory, references, self.shape)
            delta, known = full_precision(branch(query)), inverse_sigmoid(references)
            delta = torch.cat([delta[..., : known.shape[-1]] + known, delta[..., known.shape[-1] :]], -1)
            boxes = delta.sigmoid()
            results.append((query, boxes))
            references = boxes.detach()
        return results


class MapHead(nn.Module):
    """Lanes of one frame. Frame: the map's own units, columns along x and rows along y of the LiDAR frame."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, kinds = config.embed_dims, config.map_classes
        self.kinds, self.count, self.shape = kinds, config.map_masks, (config.bev_h, config.bev_w)
        self.transformer = Transformer(config)
        # Of the public checkpoint; read by nothing.
        self.bev_embedding = nn.Embedding(config.bev_h * config.bev_w, dims)
        self.query_embedding, self.stuff_query = nn.Embedding(config.map_queries, 2 * dims), nn.Embedding(1, 2 * dims)
        self.cls_branches = _copies(config.map_layers, lambda: nn.Linear(dims, kinds))
        self.reg_branches = _copies(config.map_layers, lambda: regression_branch(dims, 4))
        # The next three are of training.
        self.reg_branches2 = _copies(config.things_layers, lambda: regression_branch(dims, 4))
        self.cls_thing_branches = _copies(config.things_layers, lambda: nn.Linear(dims, kinds))
        self.cls_stuff_branches = _copies(config.stuff_layers, lambda: nn.Linear(dims, 1))
        self.things_mask_head = MaskHead(config, config.things_layers)
        self.stuff_mask_head = MaskHead(config, config.stuff_layers, self_attention=True)

    def forward(self, bev: Tensor) -> Lanes:
        """bev [1, cells, C]."""
        memory = self.transformer.encode(bev)
        position, content = self.query_embedding.weight[None].chunk(2, 2)
        query, boxes = self.transformer.decode(content, position, memory, self.reg_branches)[-1]
        scores, index = self.cls_branches[-1](query).sigmoid().flatten().topk(self.count)
        chosen = torch.div(index, self.kinds, rounding_mode="floor")
        masks = self.things_mask_head(query[:, chosen], memory)
        content, place = self.stuff_query.weight[None].chunk(2, 2)  # the other way round than the queries
        drivable = self.stuff_mask_head(content, memory, place)
        masks, drivable = (each.unflatten(1, self.shape) for each in (masks, drivable))
        return Lanes(query, position, boxes[0], masks, scores, index - chosen * self.kinds, drivable)


def _copies(count, make):
    return nn.ModuleList(make() for _ in range(count))
