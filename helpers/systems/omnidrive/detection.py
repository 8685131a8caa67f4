"""The detection head, StreamPETR (arXiv:2303.11926): object queries, of which the best come back on the next frame."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.layers.encoding import inverse_sigmoid
from helpers.layers.petr import Keys
from helpers.systems.omnidrive.config import KEPT_MOTIONS, MOTION, Config
from helpers.systems.omnidrive.head import Encoders, Head, grid
from helpers.systems.omnidrive.memory import Memory, Motion


class BoxState(NamedTuple):
    """What the head remembers: memory; driven [B, 1 + KEPT_MOTIONS, MOTION], newest first; sample_time [B], minus the
    time stamp.
    """

    memory: Memory
    driven: Tensor
    sample_time: Tensor


class DetectionHead(Head):
    """Queries in the order extra, learned, propagated. Frame: ego (meters)."""

    def __init__(self, config: Config, encoders: Encoders) -> None:
        super().__init__(config, encoders, config.num_classes, config.code_size, [2.0] * 2 + [1.0] * 8)
        self.reference_points = nn.Embedding(config.learned, 3)
        self.pseudo_reference_points = nn.Embedding(config.propagated, 3)
        self.pseudo_reference_points.requires_grad_(False)
        for table in (self.reference_points, self.pseudo_reference_points):
            nn.init.uniform_(table.weight)
        width = (1 + KEPT_MOTIONS) * MOTION + 16 * config.remembered // config.propagated
        wide = 4 * config.dims
        self.can_bus_embed = nn.Sequential(nn.Linear(width, wide), nn.ReLU(), nn.Linear(wide, config.tokens))

    def forward(
        self, cameras: Keys, command: Tensor, can_bus: Tensor, motion: Motion, state: BoxState
    ) -> tuple[Tensor, Tensor, Tensor, BoxState]:
        """Args:
            cameras: features [B, T, width] and positions [B, T, C] of all cells. command: [B]. can_bus: [B, 13].

        Returns:
            tokens [B, extra + 1, tokens], class logits [layers, B, queries, classes], box codes [layers, B, queries,
            10] and the next state.
        """  # fmt: skip
        kept = motion.kept(state.sample_time)
        memory = self._begun(state.memory.recalled(motion, kept, self.config.remembered), kept)
        driven = state.driven[:, :KEPT_MOTIONS] * kept[:, None, None]
        references, content, positions, past = self._queries(memory)
        tokens, results = self.decode(content, positions, past, cameras, self._visible(content, past))
        classes, boxes = self.cls_branches[0](results), self._boxes(results, references)
        now = torch.cat([command[:, None], can_bus], -1)
        told = self._told(now, driven, memory.pose)
        scores = classes[-1].detach().amax(-1)
        memory = memory.with_newest(results[-1], boxes[-1, ..., :3], scores, self.config.propagated).stored(motion)
        driven = torch.cat([now[:, None], driven], 1)
        return torch.cat([tokens, told], 1), classes, boxes, BoxState(memory, driven, -motion.timestamp)

    def _begun(self, memory, kept):
        """Where nothing is kept the newest rows stand at points of the head's own, at this pose."""
        count, new = self.config.propagated, (1 - kept)[:, None, None]
        points = memory.reference_point
        begun = points[:, :count] + new * self.meters(self.pseudo_reference_points.weight)
        poses = memory.pose[:, :count] + new[..., None] * torch.eye(4, dtype=points.dtype, device=points.device)
        return memory._replace(
            reference_point=torch.cat([begun, points[:, count:]], 1),
            pose=torch.cat([poses, memory.pose[:, count:]], 1),
        )

    def _queries(self, memory):
        """Reference points [B, queries, 3] in 0..1, contents and positions [B, queries, C], and the keys that are
        older than the propagated queries.
        """
        count, streams = self.config.propagated, len(memory.embedding)
        learned, remembered = self.reference_points.weight[None], self.normalized(memory.reference_point)
        past = self.past(memory, remembered.repeat(1, 1, self.config.points))
        fresh = self.positions(learned.repeat(1, 1, self.config.points)) + self.now(learned)
        fresh = fresh.expand(streams, -1, -1)
        references = torch.cat([learned.expand(streams, -1, -1), remembered[:, :count]], 1)
        content = torch.cat([torch.zeros_like(fresh), past.content[:, :count]], 1)
        positions = torch.cat([fresh, past.position[:, :count]], 1)
        return references, content, positions, Keys(*(part[:, count:] for part in past))

    def _visible(self, content, past):
        """The extra queries see all; object queries do not see the extra ones."""
        extra, queries = self.config.extra, self.config.extra + content.shape[1]
        row, column = grid(queries, queries + past.content.shape[1], content.device)
        return (row < extra) | (column >= extra)

    def _boxes(self, results, references):
        """Codes [layers, B, queries, 10]: centers in m, the rest as the branch gives it (`decode` has the meaning)."""
        found = self.reg_branches[0](results)
        centers = (found[..., :3] + inverse_sigmoid(references)).sigmoid()
        return torch.cat([self.meters(centers), found[..., 3:]], -1)

    def _told(self, now, driven, poses):
        """The token of how the vehicle drives, [B, 1, tokens]: now, before, and the mean pose of each frame before."""
        poses = poses.flatten(2).unflatten(1, (-1, self.config.propagated)).mean(2)
        return self.can_bus_embed(torch.cat([now, driven.flatten(1), poses.flatten(1)], -1))[:, None]
