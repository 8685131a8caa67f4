"""The life of tracks as a state: rows that carry an object from frame to frame, how they move, are born and die.

All rows are there in every frame: first a fresh query for each learned one, the vehicle's own last, then the carried
ones. A carried row without a track has the identity -1; nothing sees it.
"""

import torch
from torch import Tensor

from helpers.layers.encoding import inverse_sigmoid
from helpers.ops.common import full_precision
from helpers.ops.inverse import inverse
from helpers.systems.uniad.common import NONE, Place, Tracks
from helpers.systems.uniad.config import Config


def fresh(query: Tensor, points: Tensor, slots: int) -> Tracks:
    """Rows without a past, of query [N, 2C] and points [N, 3]."""
    count, whole = query.shape[0], {"dtype": torch.int32, "device": query.device}
    none = torch.full((count,), NONE, **whole)
    zeros = query.new_zeros(count)
    memory = query.new_zeros(count, slots, query.shape[1] // 2)
    return Tracks(query, points, none, none, torch.zeros(count, **whole), zeros, zeros, query.new_zeros(count, 10),
                  memory, torch.ones(count, slots, **whole), zeros)  # fmt: skip


def moved(points: Tensor, velocity: Tensor, before: Place, now: Place, bounds: Tensor) -> Tensor:
    """Where carried objects are now, as logits of x and y [M, 2], seen from where the vehicle is now.

    Args:
        points: [M, 3] logits, seen from where it was. velocity: [M, 2] m/s, of that frame.
        bounds: [6] m, minimum x, y, z, then maximum.
    """
    points, low, size = full_precision(points), bounds[:3], bounds[3:] - bounds[:3]
    ahead = torch.cat([velocity, torch.zeros_like(velocity[:, :1])], 1) * (now.time - before.time)
    meters = points.sigmoid() * size + low + ahead
    meters = meters @ before.rotation[0] + before.translation - now.translation
    meters = meters @ inverse(now.rotation)[0]
    return inverse_sigmoid((meters - low) / size)[:, :2]


def aged(tracks: Tracks, scores: Tensor, newest: Tensor, config: Config) -> tuple[Tracks, Tensor]:
    """Births, misses and deaths of one frame.

    A row without an identity whose score reaches `birth_score` gets the next one, in the order of rows. A track below
    `alive_score` is missed once more, and dies at `patience` misses; from `birth_score` on it is missed no more.

    Args:
        scores: [N]. newest: int32 [1], the next identity.

    Returns:
        The tracks with new identities, and the next identity after them, int32 [1].
    """
    found = scores >= config.birth_score
    born = (tracks.ids == NONE) & found
    count = born.to(torch.int32).cumsum(0, dtype=torch.int32)
    ids = torch.where(born, newest + count - 1, tracks.ids)
    missing = (tracks.ids >= 0) & (scores < config.alive_score)
    missed = torch.where(found, 0, tracks.missed) + missing.to(torch.int32)
    ids = torch.where(missing & (missed >= config.patience), NONE, ids)
    return tracks._replace(ids=ids, missed=missed), newest + count[-1:]


def first(chosen: Tensor, count: int) -> Tensor:
    """Rows [count] int64 of which the first are those `chosen` (bool [N]), in their order; the rest are others.

    Of more than `count` the last are lost.
    """
    place = torch.arange(len(chosen), 0, -1, dtype=torch.float32, device=chosen.device)
    rank = torch.where(chosen, place + len(chosen), place)
    return rank.topk(count).indices
