"""The map head: lane queries of eleven points each, with a memory of lanes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.layers.encoding import inverse_sigmoid
from helpers.layers.petr import Keys
from helpers.systems.omnidrive.config import Config
from helpers.systems.omnidrive.head import Encoders, Head, grid
from helpers.systems.omnidrive.memory import Memory, Motion


class LaneState(NamedTuple):
    """What the head remembers: memory, whose reference points are [B, M, points, 3]; sample_time [B], minus the time
    stamp.
    """

    memory: Memory
    sample_time: Tensor


class LaneHead(Head):
    """Queries in the order extra, one to one, one to many; the last are for training. Frame: ego (meters)."""

    def __init__(self, config: Config, encoders: Encoders) -> None:
        super().__init__(config, encoders, 1, 3 * config.points, [1.0] * 2)
        self.reference_points_lane = nn.Linear(config.dims, 3)
        self.points_embedding_lane = nn.Embedding(config.points, config.dims)
        self.instance_embedding_lane = nn.Embedding(sum(config.lanes), config.dims)
        nn.init.xavier_uniform_(self.reference_points_lane.weight)
        nn.init.zeros_(self.reference_points_lane.bias)

    def forward(
        self, cameras: Keys, motion: Motion, state: LaneState, tokens_before: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...], LaneState]:
        """Args:
            tokens_before: [B, n, tokens], those of the detection head.

        Returns:
            tokens [B, n + extra, tokens]; logits [layers, B, lanes, 1] and points [layers, B, lanes, 3 * points] in m
            of the lanes that are one to one, then of those that are one to many; their queries [layers, B, lanes, C];
            the next state.
        """  # fmt: skip
        kept = motion.kept(state.sample_time)
        memory = state.memory.recalled(motion, kept, self.config.remembered)
        past = self.past(memory, self.normalized(memory.reference_point).flatten(2))
        instances = self.instance_embedding_lane.weight
        references = self.reference_points_lane(instances[:, None] + self.points_embedding_lane.weight)
        references = references.sigmoid().flatten(1)[None]
        positions = self.positions(references) + self.now(references)
        content, positions = (each.expand(len(kept), -1, -1) for each in (instances, positions))
        tokens, results = self.decode(content, positions, past, cameras, self._visible(past))
        classes = self.cls_branches[0](results)
        lines = (self.reg_branches[0](results) + inverse_sigmoid(references)).sigmoid()
        lines = self.meters(lines.unflatten(-1, (self.config.points, 3)))
        one, count = self.config.lanes[0], self.config.propagated
        scores = classes[-1, :, :one, 0].detach()
        memory = memory.with_newest(results[-1, :, :one], lines[-1, :, :one], scores, count).stored(motion)
        tokens, lines = torch.cat([tokens_before, tokens], 1), lines.flatten(3)
        groups = tuple(part[:, :, rows] for rows in (slice(one), slice(one, None)) for part in (classes, lines))
        queries = results[:, :, :one], results[:, :, one:]
        return tokens, groups, queries, LaneState(memory, -motion.timestamp)

    def _visible(self, past):
        """The two groups of lanes do not see each other; the extra queries are of the first, and no lane sees them."""
        extra, (one, many) = self.config.extra, self.config.lanes
        queries, first = extra + one + many, extra + one
        row, column = grid(queries, queries + past.content.shape[1], past.content.device)
        of_first = (row < first) & (column < first) & ((row < extra) | (column >= extra))
        return (column >= queries) | of_first | (row >= first) & (column >= first)
