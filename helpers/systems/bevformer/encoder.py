"""The encoder of BEVFormer: camera features to a bird's-eye map, and the motion of the vehicle in between."""

import math

import torch
from torch import Tensor, nn

from helpers.layers.attention import FeedForward, SpatialCrossAttention, TemporalSelfAttention
from helpers.ops.project_pillars import project_pillars, projected
from helpers.systems.bevformer.config import Config
from helpers.systems.bevformer.projection import cells, pillars

EPSILON = 1e-5
TINY = 1e-6  # not an addend: graph optimizers take the addition of a tiny constant for a no-op and remove it


def ego_shift(can_bus: Tensor, cell_size: tuple[float, float], bev_size: tuple[int, int]) -> Tensor:
    """Motion of the vehicle since the previous frame as a shift of the map.

    Args:
        can_bus: [B, 18]; [0:2] translation in meters in the global frame, [16] absolute yaw in radians.
        cell_size, bev_size: meters per cell and cells, each (y, x).

    Returns:
        [B, 2], (x, y) in map units (1 = the whole map). The heading is the deployment graph's: atan2, except that
        dx = 0 gives 180 degrees with the sign of dy, and that dy = 0 gives 0.
    """
    dx, dy, yaw = can_bus[:, 0], can_bus[:, 1], can_bus[:, 16]
    length = torch.sqrt(dx**2 + dy**2)
    slope = dy / torch.where(dx == 0, TINY, dx)
    heading = torch.atan(slope) + (1 - torch.sign(dx)) / 2 * torch.sign(dy) * math.pi
    angle = yaw - heading
    shift_y = length * torch.cos(angle) / cell_size[0] / bev_size[0]
    shift_x = length * torch.sin(angle) / cell_size[1] / bev_size[1]
    return torch.stack([shift_x, shift_y], -1)


class Projection(nn.Module):
    """Reference points of the map's pillars in every camera, and which cameras see a cell.

    A module of its own, without parameters and without matrix products, because it has to stay in float32: points
    behind a camera reach 1e7 image widths, beyond half precision.
    """

    def __init__(self, config: Config) -> None:
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

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, heads = config.embed_dims, config.num_heads
        spatial_points = config.pillar_points * config.pillar_offsets
        temporal = TemporalSelfAttention(dims, heads, config.points)
        self.attentions = nn.ModuleList([temporal, SpatialCrossAttention(dims, heads, spatial_points)])
        self.ffns = nn.ModuleList([FeedForward(dims, config.ffn_dims)])
        self.norms = nn.ModuleList(nn.LayerNorm(dims) for _ in range(3))
        self.bev_size, self.feature_size = (config.bev_h, config.bev_w), config.feature_size

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
        query = self.norms[1](spatial(query, tokens, references, mask, self.feature_size))
        return self.norms[2](self.ffns[0](query))


class Encoder(nn.Module):
    """Lifts camera features into the bird's-eye map."""

    def __init__(self, config: Config) -> None:
        super().__init__()
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
        moved = cells + shift[:, None, None] * use
        map_references = torch.cat([moved, cells.expand_as(moved)], 1).unsqueeze(3)
        past = torch.stack([previous, query], 1)
        for layer in self.layers:
            history = use * past + (1 - use) * query.unsqueeze(1)
            query = layer(query, position, history, map_references, tokens, references, mask)
        return query
