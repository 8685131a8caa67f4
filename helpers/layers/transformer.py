"""The layers of `torch.nn`'s transformer written out, with its parameter names: attention, encoder, decoder.

All layers are batch first and normalize after the residual. Written out because the fused forms of PyTorch guard at
export against a query that sees nothing, and choose their arithmetic by the mode of the module.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.attention import HIDDEN, SelfAttention


class MultiHead(SelfAttention.Projections):
    """Multi-head attention, parameters as in `torch.nn.MultiheadAttention`; without the residual."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__(dims)
        self.heads = heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None) -> Tensor:
        """query [B, Q, C], key and value [B, K, C] -> [B, Q, C].

        visible: bool, broadcast to [B, heads, Q, K]: which key a query may look at, one at least; None for all.
        """
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
        if visible is not None:
            logits = torch.where(visible, logits, HIDDEN)
        return self.out_proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward; a LayerNorm after each."""

    def __init__(self, dims: int, heads: int, width: int) -> None:
        super().__init__()
        self.self_attn = MultiHead(dims, heads)
        self.linear1, self.linear2 = nn.Linear(dims, width), nn.Linear(width, dims)
        self.norm1, self.norm2 = nn.LayerNorm(dims), nn.LayerNorm(dims)

    def forward(self, x: Tensor) -> Tensor:
        """[B, Q, C] -> the same."""
        x = self.norm1(x + self.self_attn(x, x, x))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class DecoderLayer(nn.Module):
    """Self-attention, attention to a memory and feed-forward; a LayerNorm after each."""

    def __init__(self, dims: int, heads: int, width: int) -> None:
        super().__init__()
        self.self_attn, self.multihead_attn = MultiHead(dims, heads), MultiHead(dims, heads)
        self.linear1, self.linear2 = nn.Linear(dims, width), nn.Linear(width, dims)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dims) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor | None = None) -> Tensor:
        """x [B, Q, C], memory [B or 1, K, C]; visible: which of the memory's rows a query sees, as in `MultiHead`."""
        x = self.norm1(x + self.self_attn(x, x, x))
        x = self.norm2(x + self.multihead_attn(x, memory, memory, visible))
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))
