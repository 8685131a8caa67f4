"""What the detection head and the map head share: the decoder, its branches, positions and the past as keys."""

import torch
from torch import Tensor, nn

from helpers.layers.branches import class_branch, regression_branch
from helpers.layers.encoding import fourier, sine
from helpers.layers.petr import ConditionedNorm, Keys, Transformer
from helpers.systems.omnidrive.config import Config
from helpers.systems.omnidrive.memory import Memory


class Encoders(nn.Module):
    """Positions, times and motions as vectors: modules that both heads hold, and the network itself, under one name."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.dims
        points, motion = fourier(torch.zeros(3 * config.points)), fourier(torch.zeros(13))
        self.query_pos = nn.Sequential(nn.Linear(len(points), dims), nn.ReLU(), nn.Linear(dims, dims))
        self.time_embedding = nn.Sequential(nn.Linear(dims, dims), nn.LayerNorm(dims))
        self.ego_pose_pe = ConditionedNorm(len(motion), dims)


class Head(nn.Module):
    """One decoder over the tokens of all cameras, whose first queries become tokens of the language model.

    The branches are one module each, which stands in the checkpoint once for every layer of the decoder.
    """

    def __init__(self, config: Config, encoders: Encoders, classes: int, code: int, weights: list[float]) -> None:
        super().__init__()
        self.config, dims = config, config.dims
        for name in ("code_weights", "match_costs"):  # of the loss
            setattr(self, name, nn.Parameter(torch.tensor(weights), requires_grad=False))
        self.pc_range = nn.Parameter(torch.tensor(config.pc_range), requires_grad=False)
        self.transformer = Transformer(config.decoder_layers, dims, config.decoder_heads, config.ffn_dims)
        self.cls_branches = nn.ModuleList([class_branch(dims, classes)] * config.decoder_layers)
        self.reg_branches = nn.ModuleList([regression_branch(dims, code)] * config.decoder_layers)
        self.input_projection = nn.Linear(config.width, dims)
        self.output_projection = nn.Linear(dims, config.tokens)
        self.query_embedding = nn.Embedding(config.extra, dims)
        self.query_pos = encoders.query_pos
        self.time_embedding = encoders.time_embedding
        self.ego_pose_pe = encoders.ego_pose_pe

    def normalized(self, points: Tensor) -> Tensor:
        """Meters [..., 3] to 0..1 within `pc_range`."""
        return (points - self.pc_range[:3]) / (self.pc_range[3:] - self.pc_range[:3])

    def meters(self, points: Tensor) -> Tensor:
        """The inverse of `normalized`."""
        return points * (self.pc_range[3:] - self.pc_range[:3]) + self.pc_range[:3]

    def positions(self, points: Tensor) -> Tensor:
        """Points on a lane, or one point as often, [B, Q, points * 3] in 0..1 -> [B, Q, C]."""
        return self.query_pos(fourier(points))

    def now(self, queries: Tensor) -> Tensor:
        """What the time of this frame adds to positions: [1, 1, C]."""
        return self.time_embedding(sine(queries.new_zeros(1, 1, 1), self.config.dims))

    def past(self, memory: Memory, points: Tensor) -> Keys:
        """The remembered as keys; points [B, M, points * 3] in 0..1, where its rows are now."""
        moved = torch.cat([memory.timestamp, memory.pose[:, :, :3].flatten(2)], -1)
        positions = self.ego_pose_pe(self.positions(points), fourier(moved))
        return Keys(memory.embedding, positions + self.time_embedding(sine(memory.timestamp, self.config.dims)))

    def decode(
        self, content: Tensor, positions: Tensor, past: Keys, cameras: Keys, visible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Queries behind the extra ones [B, Q, C] -> the extra ones' tokens [B, extra, tokens], and [layers, B, Q, C].

        past: what is remembered and no query. cameras: features and positions of all cells. visible: as in
        `helpers.layers.petr`.
        """
        extra = self.query_embedding.weight.expand(len(content), -1, -1)
        content, positions = torch.cat([extra, content], 1), torch.cat([torch.zeros_like(extra), positions], 1)
        cameras = cameras._replace(content=self.input_projection(cameras.content))
        results = self.transformer(content, positions, past, cameras, visible)
        count = self.config.extra
        return self.output_projection(results[-1, :, :count]), results[:, :, count:]


def grid(queries: int, keys: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Numbers of queries [Q, 1] and of keys [1, K]: who sees whom is said by comparing them.

    Assigning parts of a mask would be exported as ScatterND of truths, which TensorRT 8.6 lacks.
    """
    return torch.arange(queries, device=device)[:, None], torch.arange(keys, device=device)[None]
