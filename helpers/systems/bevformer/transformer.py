"""The transformer of BEVFormer: around the encoder the decoder, from the bird's-eye map to object queries."""

import torch
from torch import Tensor, nn

from helpers.layers.bev import Decoder, Encoder
from helpers.ops.common import full_precision
from helpers.ops.rotate import rotate
from helpers.systems.bevformer.config import Config
from helpers.systems.bevformer.motion import ego_shift


class Transformer(nn.Module):
    """Everything between image features and object queries."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, low, high = config.embed_dims, config.pc_range[:2], config.pc_range[3:5]
        self.bev_size = config.bev_h, config.bev_w
        self.cell_size = (high[1] - low[1]) / config.bev_h, (high[0] - low[0]) / config.bev_w
        self.level_embeds = nn.Parameter(torch.randn(config.num_feature_levels, dims))
        self.cams_embeds = nn.Parameter(torch.randn(config.num_cameras, dims))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("rotate_center", torch.tensor(config.rotate_center), persistent=False)
        self.reference_points = nn.Linear(dims, 3)
        self.can_bus_mlp = nn.Sequential(nn.Linear(18, dims // 2), nn.ReLU(), nn.Linear(dims // 2, dims), nn.ReLU())
        self.can_bus_mlp.add_module("norm", nn.LayerNorm(dims))

    def forward(
        self,
        features: Tensor,
        bev_query: Tensor,
        position: Tensor,
        object_query: Tensor,
        reg_branches: nn.ModuleList,
        prev_bev: Tensor,
        use_prev_bev: Tensor,
        can_bus: Tensor,
        geometry: tuple[Tensor, ...],
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        """Camera features to the map, and the map to object queries.

        Args:
            features: [B, cameras, C, H, W]. bev_query: [cells, C]. position: [1, cells, C].
            object_query: [Q, 2C], position and content. reg_branches: a module per decoder layer, [.., C] -> [.., 10].
            prev_bev, use_prev_bev: as in `BEVFormer.forward`; can_bus: [B, 18]. geometry: lidar2img, or references and
                mask.

        Returns:
            The map [B, cells, C] and the results of `Decoder.forward`.
        """
        bev_query = bev_query + self.can_bus_mlp(can_bus).unsqueeze(1)
        tokens = features.flatten(3).transpose(2, 3) + self.cams_embeds[:, None] + self.level_embeds[0]
        previous, shift = self._rotate(prev_bev, can_bus[:, 17]), ego_shift(can_bus, self.cell_size, self.bev_size)
        bev = self.encoder(bev_query, position, tokens.flatten(0, 1), previous, use_prev_bev, shift, geometry)
        object_position, query = object_query.unsqueeze(0).chunk(2, -1)
        reference = full_precision(self.reference_points(object_position)).sigmoid()
        query, reference = (tensor.expand(bev.shape[0], -1, -1) for tensor in (query, reference))
        return bev, self.decoder(query, object_position, bev, reference, reg_branches)

    def _rotate(self, prev_bev, degrees):
        """prev_bev [Q, B, C] turned by degrees [B] -> [B, Q, C]."""
        maps = prev_bev.permute(1, 2, 0).unflatten(2, self.bev_size)
        turned = [rotate(maps[i], degrees[i : i + 1], self.rotate_center) for i in range(maps.shape[0])]
        return torch.stack(turned).flatten(2).transpose(1, 2)
