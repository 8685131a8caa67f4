"""Attention under the names of `helpers.layers.attention` and `helpers.layers.transformer`; batch first."""

from collections.abc import Sequence
from typing import NamedTuple

from helpers.engine.definition.functions import cat, grid_sample, where
from helpers.engine.definition.layers import affine, feed_forward, layer_norm, linear
from helpers.engine.definition.module import Module
from helpers.engine.definition.tensor import Tensor

HIDDEN = -1e4  # in the place of a logit of a key that a query may not look at
Shapes = Sequence[tuple[int, int]]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, N, C] -> [B, heads, N, C / heads]."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def attended(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None = None) -> Tensor:
    """Of heads [B, heads, N, D]: softmax(q k / sqrt(D)) v -> [B, Q, C]; visible as in `multi_head`.

    The keys are transposed by a layer of their own, as in ONNX graphs: where the product does it, TensorRT 8.6.0 gets
    a single query behind projections wrong (every entry of a track's memory, seen on an H200).
    """
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if visible is not None:
        logits = where(visible, logits, HIDDEN)
    return (logits.softmax(-1) @ v).transpose(-3, -2).flatten(2)


def multi_head(
    m: Module, query: Tensor, key: Tensor, value: Tensor, heads: int, visible: Tensor | None = None
) -> Tensor:
    """`MultiHead`: query [B, Q, C], key and value [B, K, C] -> [B, Q, C], without the residual.

    visible: BOOL, broadcast to [B, heads, Q, K]: which key a query may look at; None for all.
    """
    dims = query.shape[-1]
    weight, bias = m.array("in_proj_weight", (3 * dims, dims)), m.array("in_proj_bias", (3 * dims,))
    q, k, v = (
        split_heads(affine(m, x, weight[part : part + dims], bias[part : part + dims]), heads)
        for x, part in zip((query, key, value), (0, dims, 2 * dims), strict=True)
    )
    return linear(m.out_proj, attended(q, k, v, visible))


def self_attention(m: Module, query: Tensor, position: Tensor, heads: int, visible: Tensor | None = None) -> Tensor:
    """`SelfAttention`: query and key carry the position, the value does not; with the residual."""
    asking = query + position
    return multi_head(m.attn, asking, asking, query, heads, visible) + query


def encoder_layer(m: Module, x: Tensor, heads: int) -> Tensor:
    """`EncoderLayer` of torch's transformer."""
    x = layer_norm(m.norm1, x + multi_head(m.self_attn, x, x, x, heads))
    return layer_norm(m.norm2, x + linear(m.linear2, linear(m.linear1, x).relu()))


def decoder_layer(m: Module, x: Tensor, memory: Tensor, heads: int, visible: Tensor | None = None) -> Tensor:
    """`DecoderLayer` of torch's transformer: x [B, Q, C], memory [B or 1, K, C]."""
    x = layer_norm(m.norm1, x + multi_head(m.self_attn, x, x, x, heads))
    x = layer_norm(m.norm2, x + multi_head(m.multihead_attn, x, memory, memory, heads, visible))
    return layer_norm(m.norm3, x + linear(m.linear2, linear(m.linear1, x).relu()))


def ms_deform_attn(value: Tensor, shapes: Shapes, references: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
    """`helpers.ops.ms_deform_attn` by grid sampling: its operands, in its layout; in float32.

    value [N, S, M, D], references [N, Q, 1, 2G], offsets [N, Q, M, L*P*2], logits [N, Q, M, L*P] -> [N, Q, M, D].
    """
    network, (n, _, m, d) = value.network, value.shape
    q, levels, groups = references.shape[1], len(shapes), references.shape[-1] // 2
    points = logits.shape[-1] // levels
    with network.full_precision():
        origin = (references.real() * 2 - 1).reshape(n, 1, q, 1, groups, 2)
        offsets = offsets.transpose(1, 2).reshape(n, m, q, levels, points // groups, groups * 2)
        weights = logits.softmax(-1).transpose(1, 2).reshape(n * m, 1, q, levels * points)
        maps = value.permute(0, 2, 3, 1).reshape(n * m, d, -1)
        samples = []
        for level, cells in enumerate(maps.split([h * w for h, w in shapes], -1)):
            h, w = shapes[level]
            steps = offsets[:, :, :, level].reshape(n, m, q, points // groups, groups, 2)
            grid = (origin + steps * [2 / w, 2 / h]).reshape(n * m, q, points, 2)
            samples.append(grid_sample(cells.unflatten(2, (h, w)), grid))
        sampled = cat(samples, -1) if levels > 1 else samples[0]
        return (sampled * weights).sum(-1).reshape(n, m, d, q).permute(0, 3, 1, 2)


class Map(NamedTuple):
    """What queries look at: value [N, cells, C] of levels of these `shapes`, one after the other, and where each begins
    to look, references [N, Q, 1, 2G].
    """

    value: Tensor
    references: Tensor
    shapes: Shapes


def deformable(m: Module, query: Tensor, seen: Map, heads: int) -> Tensor:
    """`DeformableAttention.attend` of one set of offsets: a query of [1, Q, ...] serves all N maps -> [N, Q, C]."""
    total, cells, dims = seen.value.shape
    offsets, logits = (
        linear(layer, query).unflatten(-1, (heads, -1)).expand(total, -1, -1, -1)
        for layer in (m.sampling_offsets, m.attention_weights)
    )
    value = linear(m.value_proj, seen.value).reshape(total, cells, heads, dims // heads)
    return ms_deform_attn(value, seen.shapes, seen.references, offsets, logits).flatten(2)


def deformable_attention(m: Module, query: Tensor, position: Tensor, seen: Map, heads: int) -> Tensor:
    """`DeformableAttention`, with the residual."""
    return linear(m.output_proj, deformable(m, query + position, seen, heads)) + query


def temporal_self_attention(m: Module, query: Tensor, position: Tensor, history: Map, heads: int) -> Tensor:
    """`TemporalSelfAttention` of query [1, Q, C] in the two maps of a history, value [2, Q, C]."""
    feature = cat([history.value[:1], query + position], -1)
    offsets, logits = (  # of a head those of the two maps follow each other
        linear(layer, feature).unflatten(-1, (heads, 2, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)
        for layer in (m.sampling_offsets, m.attention_weights)
    )
    value = linear(m.value_proj, history.value).unflatten(-1, (heads, -1))
    found = ms_deform_attn(value, history.shapes, history.references, offsets, logits).flatten(2)
    return linear(m.output_proj, found.mean(0, keepdim=True)) + query


def spatial_cross_attention(m: Module, query: Tensor, cameras: Map, mask: Tensor, heads: int) -> Tensor:
    """`SpatialCrossAttention` of query [1, Q, C]; mask [cameras, Q, 1], a camera's share in what is seen of a cell."""
    found = deformable(m.deformable_attention, query, cameras, heads)
    return linear(m.output_proj, (found * mask).sum(0, keepdim=True)) + query


def decoder_block(
    m: Module, query: Tensor, position: Tensor, bev: Map, heads: int, visible: Tensor | None = None
) -> Tensor:
    """`helpers.layers.bev.DecoderLayer`: queries look at each other and at the map."""
    query = layer_norm(m.norms[0], self_attention(m.attentions[0], query, position, heads, visible))
    query = layer_norm(m.norms[1], deformable_attention(m.attentions[1], query, position, bev, heads))
    return layer_norm(m.norms[2], feed_forward(m.ffns[0], query))
