"""The occupancy head: which vehicle stands where, now and in four half seconds."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.attention import FeedForward
from helpers.layers.transformer import MultiHead
from helpers.systems.uniad.common import LEAST_SEEN, LEAST_SURE
from helpers.systems.uniad.config import Config
from helpers.systems.uniad.grids import Decoder, Downscale, LightProjection, Slicer, UpscaleAdd, fitted


class Occupancy(NamedTuple):
    """occupied [1, T, 1, H, W] and owner [1, T, H, W]: 1 where it is, and 1 + the row of the vehicle that is surest,
    both 0 elsewhere, int32; logits [A, T, H, W] of every vehicle.
    """  # fmt: skip

    occupied: Tensor
    owner: Tensor
    logits: Tensor


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, dims: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dims, dims) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class Attend(nn.Module):
    """Attention and its residual, without positions."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.attn = MultiHead(dims, heads)

    def forward(self, query: Tensor, keys: Tensor, visible: Tensor | None = None) -> Tensor:
        return self.attn(query, keys, keys, visible) + query


class Layer(nn.Module):
    """Cells look at each other, then at the vehicles that may be there, feed-forward; a LayerNorm after each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, heads = config.embed_dims, config.num_heads
        self.attentions = nn.ModuleList([Attend(dims, heads), Attend(dims, heads)])
        self.ffns = nn.ModuleList([FeedForward(dims, config.occupancy_ffn)])
        self.norms = nn.ModuleList(nn.LayerNorm(dims) for _ in range(3))

    def forward(self, cells: Tensor, vehicles: Tensor, visible: Tensor) -> Tensor:
        """cells [1, S, C], vehicles [1, A, C], visible bool [S, A]."""
        cells = self.norms[0](self.attentions[0](cells, cells))
        cells = self.norms[1](self.attentions[1](cells, vehicles, visible))
        return self.norms[2](self.ffns[0](cells))


class Layers(nn.Module):
    """A layer for every step, under the public name; its last norm is of the public checkpoint and read by nothing."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.occupancy_steps))
        self.post_norm = nn.LayerNorm(config.embed_dims)


class OccupancyHead(nn.Module):
    """Occupancy of one frame; columns of the grid run along x, its rows along y of the LiDAR frame."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, steps = config.embed_dims, config.occupancy_steps
        self.bev_size, self.size, self.dims = (config.bev_h, config.bev_w), config.occupancy_size, dims
        self.bev_sampler = Slicer(config) if config.sliced else nn.Identity()
        self.bev_light_proj = LightProjection(dims)
        self.base_downscale = nn.Sequential(Downscale(dims), Downscale(dims))
        self.transformer_decoder = Layers(config)
        self.temporal_mlps = nn.ModuleList(MLP(dims, 2) for _ in range(steps))
        self.downscale_convs = nn.ModuleList(Downscale(dims) for _ in range(steps))
        self.upsample_adds = nn.ModuleList(UpscaleAdd(dims) for _ in range(steps))
        self.dense_decoder = Decoder(dims)
        self.mode_fuser = nn.Sequential(nn.Linear(dims, dims), nn.LayerNorm(dims), nn.ReLU())
        self.multi_query_fuser = nn.Sequential(
            nn.Linear(3 * dims, 2 * dims), nn.LayerNorm(2 * dims), nn.ReLU(), nn.Linear(2 * dims, dims)
        )
        self.query_to_occ_feat, self.temporal_mlp_for_mask = MLP(dims, 3), MLP(dims, 3)

    def forward(self, bev: Tensor, vehicles: tuple[Tensor, Tensor, Tensor], scores: Tensor, valid: Tensor) -> Occupancy:
        """Args:
            bev: [1, cells, C].
            vehicles: of A rows the motion's query [A, P, C], query and position [A, C].
            scores: [A] of the tracks. valid: bool [A], rows that are vehicles; the others occupy nothing.
        """  # fmt: skip
        modes, query, position = vehicles
        fused = torch.cat([self.mode_fuser(modes).amax(1), query, position.detach()], -1)
        states, embeddings = self._steps(bev, self.multi_query_fuser(fused), valid)
        decoded = self.dense_decoder(states)  # [T, C, H, W]
        decoded = fitted(decoded, self.size)
        asking = self.query_to_occ_feat(embeddings)  # [T, A, C]
        logits = (asking @ decoded.flatten(2)).unflatten(2, self.size)  # [T, A, H, W]
        sure = logits.sigmoid() * torch.where(valid, scores, 0).to(logits.dtype)[:, None, None]
        most, owner = sure.max(1)
        occupied = (most > LEAST_SURE).to(torch.int32)[None]
        return Occupancy(occupied.unsqueeze(2), occupied * (owner[None].to(torch.int32) + 1), logits.transpose(0, 1))

    def _steps(self, bev, query, valid):
        """The state of every step [T, C, H/4, W/4], and what each vehicle is then [T, A, C]."""
        state = bev.transpose(1, 2).unflatten(2, self.bev_size)
        state = self.base_downscale(self.bev_light_proj(self.bev_sampler(state)))
        parts = zip(self.downscale_convs, self.temporal_mlps, self.transformer_decoder.layers, self.upsample_adds,
                    strict=True)  # fmt: skip
        states, embeddings = [], []
        for downscale, mlp, layer, upscale in parts:
            small, now = downscale(state), mlp(query)
            embedding = self.temporal_mlp_for_mask(now)
            cells = small.flatten(2).transpose(1, 2)
            seen = ((cells[0] @ embedding.T).sigmoid() >= LEAST_SEEN) & valid
            visible = seen | (valid & ~seen.any(1, keepdim=True))
            cells = layer(cells, now[None], visible)
            state = upscale(cells.transpose(1, 2).unflatten(2, small.shape[2:]), state)
            states.append(state[0])
            embeddings.append(embedding)
        return torch.stack(states), torch.stack(embeddings)
