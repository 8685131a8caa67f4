"""Masks of the map head: what a query attends to, seen through all heads of the attention, is its mask."""

import torch.nn.functional as F
from torch import Tensor, nn

from helpers.systems.uniad.common import MASK_EPSILON
from helpers.systems.uniad.config import Config

RATIO = 4  # of the hidden layer


class Logits(nn.Module):
    """Query and key to logits [B, heads, Q, cells], and logits to a mask [Q, cells]."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k = nn.Linear(dims, dims), nn.Linear(dims, dims)
        self.linear_l1 = nn.Sequential(nn.Linear(heads, heads), nn.ReLU())
        self.linear = nn.Sequential(nn.Linear(heads, 1), nn.ReLU())

    def split(self, x: Tensor) -> Tensor:
        """[B, N, C] -> [B, heads, N, C / heads]."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def logits(self, query: Tensor, memory: Tensor) -> Tensor:
        """query [B, Q, C], memory [B, cells, C]."""
        q, k = self.split(self.q(query)), self.split(self.k(memory))
        return q @ k.transpose(2, 3) * q.shape[-1] ** -0.5

    def mask(self, logits: Tensor) -> Tensor:
        """Of the first of a batch; above 0.5 is on, and above 1 it may be."""
        return self.linear(self.linear_l1(logits[0].permute(1, 2, 0)))[..., 0]


class Attention(Logits):
    """What the queries take from the map."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__(dims, heads)
        self.v, self.proj = nn.Linear(dims, dims), nn.Linear(dims, dims)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        weights = self.logits(query, memory).softmax(-1)
        return self.proj((weights @ self.split(self.v(memory))).transpose(1, 2).flatten(2))


class SelfAttention(nn.Module):
    """Of the queries among themselves; q, k and v are one linear layer."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dims, 3 * dims), nn.Linear(dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dims, RATIO * dims), nn.Linear(RATIO * dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Self-attention where there is one, attention to the map, MLP; a LayerNorm after each."""

    def __init__(self, dims: int, heads: int, self_attention: bool) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(dims, heads), MLP(dims)
        self.head_norm1, self.head_norm2 = nn.LayerNorm(dims, MASK_EPSILON), nn.LayerNorm(dims, MASK_EPSILON)
        self.among = self_attention
        if self_attention:
            self.self_attention, self.norm3 = SelfAttention(dims, heads), nn.LayerNorm(dims, MASK_EPSILON)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        if self.among:
            query = self.norm3(query + self.self_attention(query))
        query = self.head_norm1(query + self.attn(query, memory))
        return self.head_norm2(query + self.mlp(query))


class MaskHead(nn.Module):
    """Blocks one after the other, then the logits of one more attention, which are the masks.

    The blocks' own masks (`block.attn.mask(block.attn.logits(...))`) serve training alone.
    """

    def __init__(self, config: Config, layers: int, self_attention: bool = False) -> None:
        super().__init__()
        dims, heads = config.embed_dims, config.num_heads
        self.blocks = nn.ModuleList(Block(dims, heads, self_attention) for _ in range(layers))
        self.attnen = Logits(dims, heads)

    def forward(self, query: Tensor, memory: Tensor, position: Tensor | None = None) -> Tensor:
        """query [1, Q, C], memory [1, cells, C], position [1, Q, C] of the query, or None -> masks [Q, cells]."""
        for block in self.blocks:
            query = block(query if position is None else query + position, memory)
        return self.attnen.mask(self.attnen.logits(query if position is None else query + position, memory))
