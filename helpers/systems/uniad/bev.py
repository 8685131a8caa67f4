"""The head that makes the map from the bird's eye and finds objects on it."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.layers.attention import PositionalEncoding
from helpers.layers.bev import Decoder, Encoder
from helpers.layers.branches import class_branch, regression_branch
from helpers.layers.encoding import inverse_sigmoid
from helpers.ops.common import full_precision
from helpers.ops.rotate import rotate
from helpers.systems.uniad.config import Config

LEVELS = 4  # of which there are embeddings, whether there are as many or not


class Found(NamedTuple):
    """Of N queries: output [N, C], logits [N, classes], boxes [N, 10] (box codes with metric centers), points [N, 3],
    logits of the boxes' centers in the range, and path [N, steps, 2], where objects were and will be.
    """  # fmt: skip

    output: Tensor
    logits: Tensor
    boxes: Tensor
    points: Tensor
    path: Tensor


def ego_shift(can_bus: Tensor, cell_size: tuple[float, float], bev_size: tuple[int, int]) -> Tensor:
    """Motion of the vehicle since the previous frame as a shift of the map, [B, 2], (x, y) in map units.

    The published code turns the motion's own angle from the yaw; a rotation by the yaw says the same without one.

    can_bus: [B, 18]; [0:2] translation in meters in the global frame, [16] absolute yaw in radians.
    cell_size, bev_size: meters per cell and cells, each (y, x).
    """
    dx, dy, yaw = can_bus[:, 0], can_bus[:, 1], can_bus[:, 16]
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    y = (dx * cos + dy * sin) / (cell_size[0] * bev_size[0])
    x = (dx * sin - dy * cos) / (cell_size[1] * bev_size[1])
    return torch.stack([x, y], -1)


class Transformer(nn.Module):
    """The encoder and the decoder, and what goes into the encoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, low, high = config.embed_dims, config.pc_range[:2], config.pc_range[3:5]
        self.bev_size = config.bev_h, config.bev_w
        self.cell_size = (high[1] - low[1]) / config.bev_h, (high[0] - low[0]) / config.bev_w
        self.level_embeds = nn.Parameter(torch.randn(LEVELS, dims))
        self.cams_embeds = nn.Parameter(torch.randn(config.num_cameras, dims))
        self.encoder = Encoder(config, shift_present=config.temporal_shift == "both")
        self.decoder = Decoder(config)
        self.can_bus_mlp = nn.Sequential(nn.Linear(18, dims // 2), nn.ReLU(), nn.Linear(dims // 2, dims), nn.ReLU())
        self.can_bus_mlp.add_module("norm", nn.LayerNorm(dims))
        self.register_buffer("rotate_center", torch.tensor(config.rotate_center), persistent=False)

    def encode(
        self,
        features: list[Tensor],
        query: Tensor,
        position: Tensor,
        prev_bev: Tensor,
        use_prev_bev: Tensor,
        can_bus: Tensor,
        lidar2img: Tensor,
    ) -> Tensor:
        """features: of every level [1, cameras, C, H, W]; query [cells, C]; position [1, cells, C]; the rest as in
        `UniAD.forward` -> the map [1, cells, C].
        """
        tokens = [
            level.flatten(3).transpose(2, 3) + self.cams_embeds[:, None] + embed
            for level, embed in zip(features, self.level_embeds, strict=False)
        ]
        turned = rotate(prev_bev[:, 0].T.unflatten(1, self.bev_size), can_bus[:, 17], self.rotate_center)
        shift = ego_shift(can_bus, self.cell_size, self.bev_size)
        query = (query + self.can_bus_mlp(can_bus))[None]
        return self.encoder(
            query,
            position,
            torch.cat(tokens, 2).flatten(0, 1),
            turned.flatten(1).T[None],
            use_prev_bev,
            shift,
            (lidar2img,),
        )


class TrackHead(nn.Module):
    """The map of one frame, and objects on it of whatever queries are asked."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, layers = config.embed_dims, config.decoder_layers
        weights = torch.tensor([1.0] * (config.code_size - 2) + [0.2] * 2)
        self.code_weights = nn.Parameter(weights, requires_grad=False)
        self.register_buffer("bounds", torch.tensor(config.pc_range), persistent=False)
        self.positional_encoding = PositionalEncoding(config.bev_h, config.bev_w, dims)
        self.transformer = Transformer(config)
        self.cls_branches = nn.ModuleList(class_branch(dims, config.num_classes) for _ in range(layers))
        self.reg_branches = nn.ModuleList(regression_branch(dims, config.code_size) for _ in range(layers))
        paths = 2 * config.path_steps
        self.past_traj_reg_branches = nn.ModuleList(regression_branch(dims, paths) for _ in range(layers))
        self.bev_embedding = nn.Embedding(config.bev_h * config.bev_w, dims)

    def encode(self, features: list[Tensor], *motion: Tensor) -> tuple[Tensor, Tensor]:
        """features, and `motion`: prev_bev, use_prev_bev, can_bus [1, 18], lidar2img -> map and its position, each
        [1, cells, C].
        """
        position = self.positional_encoding()
        return self.transformer.encode(features, self.bev_embedding.weight, position, *motion), position

    def levels(self, bev: Tensor, query: Tensor, points: Tensor, visible: Tensor) -> list[Found]:
        """What every decoder layer finds.

        Args:
            bev: [1, cells, C]. query: [N, 2C], position and content. points: [N, 3] logits.
            visible: bool [N], the queries that hold something; the others are seen by none.
        """
        position, content = query[None].chunk(2, 2)
        start = full_precision(points)[None].sigmoid()
        results = self.transformer.decoder(content, position, bev, start, self.reg_branches, visible)
        found = zip(self.cls_branches, self.past_traj_reg_branches, results, strict=True)
        return [self._found(classes, path, *(each[0] for each in result)) for classes, path, result in found]

    def _found(self, classes, path, output, reference, delta):
        center = (torch.cat([delta[:, :2], delta[:, 4:5]], 1) + inverse_sigmoid(reference)).sigmoid()
        low, high = self.bounds.split(3)
        meters = center * (high - low) + low
        boxes = torch.cat([meters[:, :2], delta[:, 2:4], meters[:, 2:], delta[:, 5:]], 1)
        return Found(output, classes(output), boxes, inverse_sigmoid(center), path(output).unflatten(1, (-1, 2)))
