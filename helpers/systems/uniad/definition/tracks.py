"""`helpers.systems.uniad.tracks`: the life of tracks, all of it in float32 and whole numbers."""

import numpy as np

from helpers.engine.definition import Network, Tensor
from helpers.engine.definition.functions import atan2, cat, where
from helpers.graph.functions.inverse import MINORS
from helpers.systems.uniad.common import NONE, Place, Tracks
from helpers.systems.uniad.config import EMPTY, TRACKS, Config
from helpers.systems.uniad.definition.bev import inverse_sigmoid


def fresh(network: Network, query: Tensor, points: Tensor, config: Config) -> Tracks:
    """Rows without a past: what `Config.empty` says of every field but the first two."""
    types, count = config.input_types(), query.shape[0]
    empty = []
    for number in TRACKS[2:]:
        name = f"prev_track_intances{number}"
        shape = count, *config.input_shapes()[name][1:]
        empty.append(network.constant(np.full(shape, EMPTY.get(number, 0), types[name])))
    return Tracks(query, points, *empty)


def moved(points: Tensor, velocity: Tensor, before: Place, now: Place, config: Config) -> Tensor:
    """Where carried objects are now, as logits of x and y [M, 2]. Products of matrices are written as sums: TF32, which
    8.6 may take for a matrix product, would cost decimeters far from a map's origin.
    """
    low, high = np.array(config.pc_range, np.float32).reshape(2, 3)
    ahead = cat([velocity, np.zeros((velocity.shape[0], 1))], 1) * (now.time - before.time)
    meters = points.sigmoid() * (high - low) + low + ahead
    meters = turned(meters, before.rotation) + before.translation - now.translation
    meters = turned(meters, inverse(now.rotation))
    return inverse_sigmoid((meters - low) / (high - low))[:, :2]


def turned(points: Tensor, rotation: Tensor) -> Tensor:
    """points [M, 3] @ rotation [1, 3, 3]."""
    return (points.unsqueeze(2) * rotation).sum(1)


def inverse(matrix: Tensor) -> Tensor:
    """`helpers.ops.inverse` of [1, 3, 3]: the adjugate by the determinant."""
    entries = matrix.flatten()
    p, q, r, s = (entries.take(list(places)) for places in zip(*MINORS, strict=True))
    adjugate = p * q - r * s
    determinant = (entries[:3] * adjugate.take([0, 3, 6])).sum(0, keepdim=True)
    return (adjugate / determinant).reshape(1, 3, 3)


def aged(tracks: Tracks, scores: Tensor, newest: Tensor, config: Config) -> tuple[Tracks, Tensor]:
    """Births, misses and deaths of one frame: scores [N], newest int32 [1], the next identity."""
    found = scores >= config.birth_score
    born = tracks.ids.equals(NONE) & found
    count = born.whole().cumsum(0)
    ids = where(born, newest + count - 1, tracks.ids)
    missing = (tracks.ids > NONE) & (scores < config.alive_score)
    missed = where(found, 0, tracks.missed) + missing.whole()
    ids = where(missing & (missed > config.patience - 1), NONE, ids)
    return tracks._replace(ids=ids, missed=missed), newest + count[-1:]


def first(chosen: Tensor, count: int) -> Tensor:
    """Rows [count] int32 of which the first are those `chosen` (BOOL [N]), in their order; the rest are others."""
    size = chosen.shape[0]
    place = np.arange(size, 0, -1)
    return where(chosen, place + float(size), place.astype(np.float32)).topk(count)[1]


def decoded(code: Tensor) -> Tensor:
    """`UniAD._decoded`: box codes [N, 10] -> [N, 9]."""
    center, size = code.take([0, 1, 4], 1), code.take([2, 3, 5], 1).exp()
    return cat([center, size, atan2(code[:, 6:7], code[:, 7:8]), code[:, 8:]], 1)
