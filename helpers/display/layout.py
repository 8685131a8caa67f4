"""Layered drawing of a small directed acyclic graph, after Sugiyama, Tagawa & Toda (1981): rank, order, place."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import accumulate, pairwise
from statistics import fmean


def layered(
    rooms: Sequence[float], edges: Collection[tuple[int, int]], slim: float = 0.5, sweeps: int = 60
) -> tuple[list[float], list[int], dict[tuple[int, int], list[tuple[float, int]]]]:
    """Place items so that edges point down and rarely cross.

    Args:
        rooms: horizontal room of each item, the items numbered so that every edge (a, b) has a < b.
        edges: pairs (a, b).
        slim: horizontal room of an edge that passes through a layer.

    Returns:
        (x, layer, routes): x position and layer number per item, and per edge the (x, layer) points on its way.
    """
    count = len(rooms)
    layer = _rank(count, edges)
    chains, layer, room = _split_long_edges(edges, layer, rooms, slim)
    above, below = defaultdict(list), defaultdict(list)
    for chain in chains.values():
        for a, b in pairwise(chain):
            above[b].append(a)
            below[a].append(b)
    rows = [[] for _ in range(max(layer) + 1)]
    for item, number in enumerate(layer):
        rows[number].append(item)
    x = _order(rows, above, below, sweeps)
    for sweep in range(sweeps):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [fmean([x[n] for n in above[i] + below[i]] or [x[i]]) for i in row]
            x.update(zip(row, _spread(wanted, [room[i] for i in row]), strict=True))
    routes = {edge: [(x[i], layer[i]) for i in chain] for edge, chain in chains.items()}
    return [x[i] for i in range(count)], layer[:count], routes


def _rank(count, edges):
    """Longest path from the top; then every item that leads on sinks to just above its first successor."""
    layer, below = [0] * count, defaultdict(list)
    for a, b in sorted(edges):
        layer[b] = max(layer[b], layer[a] + 1)
        below[a].append(b)
    for item in reversed(range(count)):
        if below[item]:
            layer[item] = min(layer[b] for b in below[item]) - 1
    return layer


def _split_long_edges(edges, layer, rooms, slim):
    """Give an edge over several layers one item in each; returns edges as chains of items, all layers, all rooms."""
    layer, room = list(layer), list(rooms)
    chains = {}
    for a, b in edges:
        between = range(len(layer), len(layer) + layer[b] - layer[a] - 1)
        layer.extend(range(layer[a] + 1, layer[b]))
        room.extend(slim for _ in between)
        chains[a, b] = [a, *between, b]
    return chains, layer, room


def _order(rows, above, below, sweeps):
    """Sort each row by the mean position of the neighbors in the row before, downwards and upwards by turns."""
    place = {item: k for row in rows for k, item in enumerate(row)}
    for sweep in range(sweeps):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            near = above if down else below
            row.sort(key=lambda i: fmean([place[n] for n in near[i]] or [place[i]]))
            place.update((item, k) for k, item in enumerate(row))
    return {item: float(k) for item, k in place.items()}


def _spread(wanted, room):
    """The positions nearest to `wanted` (least squares) in the given order, neighbors half their rooms apart or more.

    Less the room that the items before it take, positions may not fall: isotonic regression, by pooling neighbors.
    """
    offsets = list(accumulate(((a + b) / 2 for a, b in pairwise(room)), initial=0.0))
    pools = []
    for at, offset in zip(wanted, offsets, strict=True):
        pools.append((at - offset, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (b, m), (a, n) = pools.pop(), pools.pop()
            pools.append(((a * n + b * m) / (n + m), n + m))
    level = [mean for mean, count in pools for _ in range(count)]
    return [at + offset for at, offset in zip(level, offsets, strict=True)]
