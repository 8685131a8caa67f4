"""The decoder of the PETR family (arXiv:2203.05625, 2303.11926), with the parameter names of its checkpoints.

Object queries attend to each other and to what is remembered, then to all tokens of all pictures, which carry the
position of the rays that they see along. All layers are batch first and normalize after the residual.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.attention import HIDDEN, SelfAttention
from helpers.layers.encoding import inverse_sigmoid


class Keys(NamedTuple):
    """What queries attend to: contents [B, K, C], and their positions [B, K, C], which the values do not carry."""

    content: Tensor
    position: Tensor

    def with_more(self, more: "Keys") -> "Keys":
        """These keys, then `more`."""
        return Keys(*(torch.cat(pair, 1) for pair in zip(self, more, strict=True)))


class Attention(nn.Module):
    """Multi-head attention with the residual; query and key carry their positions, the value does not."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn = SelfAttention.Projections(dims)

    def forward(self, query: Tensor, position: Tensor, keys: Keys, visible: Tensor | None = None) -> Tensor:
        """query, position [B, Q, C]; visible: bool [Q, K], which key a query may look at, None for all."""
        weights, biases = self.attn.in_proj_weight.chunk(3), self.attn.in_proj_bias.chunk(3)
        inputs = query + position, keys.content + keys.position, keys.content
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip(inputs, weights, biases, strict=True)
        )
        attended = F.scaled_dot_product_attention(q, k, v) if visible is None else _masked(q, k, v, visible)
        return self.attn.out_proj(attended.transpose(1, 2).flatten(2)) + query


def _masked(q, k, v, visible):
    """Written out: the operator of PyTorch would guard at export against a query that sees nothing, which none is."""
    logits = q * q.shape[-1] ** -0.5 @ k.transpose(2, 3)
    return (logits + torch.zeros_like(visible, dtype=q.dtype).masked_fill(~visible, HIDDEN)).softmax(-1) @ v


class FeedForward(nn.Module):
    """Linear, ReLU, linear and the residual."""

    def __init__(self, dims: int, width: int, dropout: float) -> None:
        super().__init__()
        self._layers = nn.Sequential(nn.Linear(dims, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, dims))

    def forward(self, x: Tensor) -> Tensor:
        return self._layers(x) + x


class DecoderLayer(nn.Module):
    """Self-attention with the remembered, attention to the pictures, feed-forward; a LayerNorm after each."""

    def __init__(self, dims: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        parts = Attention(dims, heads), Attention(dims, heads), FeedForward(dims, width, dropout)
        self.transformer_layers = nn.ModuleList(each for part in parts for each in (part, nn.LayerNorm(dims)))

    def forward(self, query: Tensor, position: Tensor, past: Keys, pictures: Keys, visible: Tensor) -> Tensor:
        own, norm, cross, second_norm, expand, last_norm = self.transformer_layers
        query = norm(own(query, position, Keys(query, position).with_more(past), visible))
        query = second_norm(cross(query, position, pictures))
        return last_norm(expand(query))


class Decoder(nn.Module):
    """Layers one after the other; there is no norm behind the last."""

    def __init__(self, layers: int, dims: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self._layers = nn.ModuleList(DecoderLayer(dims, heads, width, dropout) for _ in range(layers))

    def forward(self, query: Tensor, position: Tensor, past: Keys, pictures: Keys, visible: Tensor) -> Tensor:
        results = []
        for layer in self._layers:
            query = layer(query, position, past, pictures, visible)
            results.append(query)
        return torch.stack(results)


class Transformer(nn.Module):
    """The decoder under its public name."""

    def __init__(self, layers: int, dims: int, heads: int, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.query_decoder = Decoder(layers, dims, heads, width, dropout)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, query: Tensor, position: Tensor, past: Keys, pictures: Keys, visible: Tensor) -> Tensor:
        """query, position [B, Q, C]; past: K remembered keys; visible bool [Q, Q + K] -> [layers, B, Q, C]."""
        return self.query_decoder(query, position, past, pictures, visible)


class ConditionedNorm(nn.Module):
    """A LayerNorm whose scale and shift are made of a condition; at the beginning they change nothing."""

    def __init__(self, condition: int, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.reduce = nn.Sequential(nn.Linear(condition, dims), nn.ReLU())
        self.gamma, self.beta = nn.Linear(dims, dims), nn.Linear(dims, dims)
        for layer, bias in ((self.gamma, 1.0), (self.beta, 0.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x [..., dims], condition [..., condition] -> [..., dims]."""
        hidden = self.reduce(condition)
        return self.gamma(hidden) * F.layer_norm(x, (self.dims,)) + self.beta(hidden)


class CameraRays(nn.Module):
    """Points along the ray of every cell of every camera's feature map, within a range, as logits."""

    def __init__(self, cells: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.cells, self.stride = cells, stride

    def forward(self, to_vehicle: Tensor, depths: Tensor, bounds: Tensor) -> Tensor:
        """Args:
            to_vehicle: [B, N, 4, 4], (u d, v d, d, 1) in pixels of the network's picture to the vehicle's frame, m.
            depths: [D], m. bounds: [6], minimum x, y, z, then maximum, m.

        Returns:
            [B, N * cells, 3 D]: x, y, z of each depth in turn; cells row after row.
        """  # fmt: skip
        rows, columns = (torch.arange(n, device=depths.device) * self.stride + self.stride // 2 for n in self.cells)
        v, u = torch.meshgrid(rows.to(depths.dtype), columns.to(depths.dtype), indexing="ij")
        pixels = torch.stack([u, v, torch.ones_like(u)]).flatten(1)
        along = pixels[:, :, None] * depths
        points = torch.cat([along, torch.ones_like(along[:1])]).flatten(1)
        seen = (to_vehicle @ points)[:, :, :3].unflatten(3, (-1, len(depths)))  # [B, N, 3, cells, D]
        seen = seen.permute(0, 1, 3, 4, 2).flatten(1, 2)
        return inverse_sigmoid((seen - bounds[:3]) / (bounds[3:] - bounds[:3])).flatten(2)


def growing_depths(count: int, first: float, last: float) -> Tensor:
    """[count] depths in m from `first` on, each step longer than the one before, that end a step before `last`."""
    steps = torch.arange(count, dtype=torch.float32)
    return first + (last - first) / (count * (count + 1)) * steps * (steps + 1)
