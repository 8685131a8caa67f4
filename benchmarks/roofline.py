"""The least time of a network on a card: every layer at the card's measured rate or at its copy bandwidth.

A lower bound: operators between the layers are free, and what a layer reads may lie in no cache.
"""

import collections
import re

from helpers import benchmark

BYTES = {"fp32": 4, "tf32": 4, "fp16": 2}  # precision: bytes of an element
BLOCK = "ForeignNode["  # what TensorRT calls several nodes that another compiler of its own made one


def bounds(rows, ceilings):
    """dict of precision to least_ms, by_compute_ms and by_memory_ms (the layers that each ceiling bounds), and by op.

    Args:
        rows: `helpers.graph.cost.layers`.
        ceilings: what `benchmarks.pytorch.ceilings` measured.
    """
    found = {}
    for precision in BYTES:
        bound, ops = collections.Counter(compute=0.0, memory=0.0), collections.Counter()
        for row in rows:
            one = _least(row, ceilings, precision)
            bound[one["bound"]] += one["least_ms"]
            ops[row["op"]] += one["least_ms"]
        found[precision] = {"least_ms": sum(bound.values()), **{f"by_{name}_ms": ms for name, ms in bound.items()}}
        found[precision] |= {f"{op}_ms": ms for op, ms in ops.most_common()}
    return found


def _least(row, ceilings, precision):
    """`helpers.benchmark.roofline` of one layer."""
    rate, bandwidth = ceilings[f"{precision}_tflop_s"] * 1e12, ceilings["copy_gb_s"] * 1e9
    return benchmark.roofline(max(row["flops"], 1), BYTES[precision] * row["elements"], rate, bandwidth)


def of(name, pieces, shape):
    """The bound of an engine by its name, such as "fp16_plugin"; None for another precision, or before it is known.

    An engine with layers in INT8 has none, "qdq_tf32" neither: those layers are bound by a rate that is not measured.
    """
    kind, costs, ceilings = _known(name, pieces, shape)
    return bounds(costs["layers"], ceilings)[kind] if kind else None


def farthest(name, profile, pieces, shape, count=8):
    """Metrics of the layers that are farthest from their least time: far_01_layer, _ms and _least_ms, and so on.

    {} for an engine that `of` knows no bound of, and where the piece of the costs has no `nodes`.
    """
    kind, costs, ceilings = _known(name, pieces, shape)
    if not kind or "nodes" not in costs:
        return {}
    rows, lost = by_layer(profile, costs, ceilings, kind)
    metrics = {"least_ms": sum(row["least_ms"] for row in rows) + lost, "least_unplaced_ms": lost,
               "without_cost_ms": sum(row["ms"] for row in rows if not row["nodes"])}  # fmt: skip
    for index, row in enumerate(rows[:count], 1):
        key = f"far_{index:02}"
        metrics |= {f"{key}_layer": row["layer"], f"{key}_ms": row["ms"], f"{key}_least_ms": row["least_ms"]}
    return metrics


def _known(name, pieces, shape):
    """(precision, costs, ceilings) of an engine; three times None for another precision, or before they are known."""
    costs, ceilings = ((pieces.get(key) or {}).get("result") for key in (f"prepare/{shape}/cost", "pytorch/ceilings"))
    parts = name.split("_")
    kind = None if {"qdq", "best"} & {*parts} else next((part for part in parts if part in BYTES), None)
    return (kind, costs, ceilings) if costs and ceilings and kind else (None, None, None)


def by_layer(profile, costs, ceilings, precision):
    """The rows of an engine's profile with the least time of what each holds, the farthest from it first.

    A builder fuses nodes and names a layer by them, or by the first and the last node of a block. A costed node that no
    layer names belongs to the shortest block whose range in the graph's order holds it. Layers without a costed node,
    such as reformats, have a least time of 0: they could be spared.

    Args:
        profile: rows of layer and ms.
        costs: the piece `prepare/SHAPE/cost`: its `layers`, and its `nodes`, every node's name in the graph's order.
        precision: one of `BYTES`.

    Returns:
        ([{"layer", "ms", "least_ms", "nodes"}], milliseconds of the costed nodes that no layer could be given).
    """
    order = {name: position for position, name in enumerate(costs["nodes"])}
    rows = [{"layer": row["layer"], "ms": row["ms"], "least_ms": 0.0, "nodes": 0} for row in profile]
    named = {name: row for row in rows if BLOCK not in row["layer"] for name in row["layer"].split(" + ")}
    blocks = [(*_range(row["layer"], order), row) for row in rows if BLOCK in row["layer"]]
    lost = 0.0
    for cost in costs["layers"]:
        least = _least(cost, ceilings, precision)
        at = order[cost["node"]]
        around = [(last - first, index) for index, (first, last, _) in enumerate(blocks) if first <= at <= last]
        row = named.get(cost["node"]) or (blocks[min(around)[1]][2] if around else None)
        if row is None:
            lost += least["least_ms"]
            continue
        row["least_ms"] += least["least_ms"]
        row["nodes"] += 1
    return sorted(rows, key=lambda row: row["least_ms"] - row["ms"]), lost


def _range(layer, order):
    """(first, last) position in the graph of a block `{ForeignNode[FIRST...LAST]}`; an end that is unknown is open."""
    first, _, last = layer.partition(BLOCK)[2].rstrip("]}").partition("...")
    ends = []
    for text, unknown in ((first, 0), (last, len(order))):
        names = [re.sub(r"_(constant|output)(_\d+)+$", "", part) for part in text.split(" + ")]
        known = [order[name] for name in names if name in order]
        ends.append(known[0] if known else unknown)
    return tuple(ends)
