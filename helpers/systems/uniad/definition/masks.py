"""`helpers.systems.uniad.masks`: what a query of the map attends to, seen through all heads, is its mask."""

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import attended, split_heads
from helpers.engine.definition.layers import layer_norm, linear
from helpers.systems.uniad.common import MASK_EPSILON


def logits(m: Module, query: Tensor, memory: Tensor, heads: int) -> Tensor:
    """`Logits.logits`: query [1, Q, C], memory [1, cells, C] -> [1, heads, Q, cells]."""
    q, k = split_heads(linear(m.q, query), heads), split_heads(linear(m.k, memory), heads)
    return (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5


def mask(m: Module, logits: Tensor) -> Tensor:
    """`Logits.mask`: [Q, cells]."""
    x = linear(m.linear_l1[0], logits[0].permute(1, 2, 0)).relu()
    return linear(m.linear[0], x).relu().squeeze(-1)


def attention(m: Module, query: Tensor, memory: Tensor, heads: int) -> Tensor:
    """`Attention`."""
    weights = logits(m, query, memory, heads).softmax(-1)
    return linear(m.proj, (weights @ split_heads(linear(m.v, memory), heads)).transpose(1, 2).flatten(2))


def self_attention(m: Module, x: Tensor, heads: int) -> Tensor:
    """`SelfAttention`: q, k and v are one linear layer."""
    q, k, v = (split_heads(part, heads) for part in linear(m.qkv, x).chunk(3, -1))
    return linear(m.proj, attended(q, k, v))


def block(m: Module, query: Tensor, memory: Tensor, heads: int, among: bool) -> Tensor:
    """`Block`; among: whether the queries look at each other first."""
    if among:
        query = layer_norm(m.norm3, query + self_attention(m.self_attention, query, heads), MASK_EPSILON)
    query = layer_norm(m.head_norm1, query + attention(m.attn, query, memory, heads), MASK_EPSILON)
    return layer_norm(m.head_norm2, query + linear(m.mlp.fc2, linear(m.mlp.fc1, query).gelu()), MASK_EPSILON)


def mask_head(
    m: Module, query: Tensor, memory: Tensor, sizes: tuple[int, int], position: Tensor | None = None
) -> Tensor:
    """`MaskHead`: query [1, Q, C], memory [1, cells, C] -> masks [Q, cells].

    sizes: number of blocks, heads. position: of the queries, which then look at each other too.
    """
    layers, heads = sizes
    for number in range(layers):
        asking = query if position is None else query + position
        query = block(m.blocks[number], asking, memory, heads, position is not None)
    asking = query if position is None else query + position
    return mask(m.attnen, logits(m.attnen, asking, memory, heads))
