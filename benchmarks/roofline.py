"""The least time of a network on a card: every layer at the card's measured rate or at its copy bandwidth.

A lower bound: operators between the layers are free, and what a layer reads may lie in no cache.
"""

import collections

from helpers import benchmark

BYTES = {"fp32": 4, "tf32": 4, "fp16": 2}  # precision: bytes of an element


def bounds(rows, ceilings):
    """dict of precision to least_ms, by_compute_ms and by_memory_ms (the layers that each ceiling bounds), and by op.

    Args:
        rows: `helpers.graph.cost.layers`.
        ceilings: what `benchmarks.pytorch.ceilings` measured.
    """
    found = {}
    for precision, size in BYTES.items():
        rate, bandwidth = ceilings[f"{precision}_tflop_s"] * 1e12, ceilings["copy_gb_s"] * 1e9
        bound, ops = collections.Counter(compute=0.0, memory=0.0), collections.Counter()
        for row in rows:
            one = benchmark.roofline(max(row["flops"], 1), size * row["elements"], rate, bandwidth)
            bound[one["bound"]] += one["least_ms"]
            ops[row["op"]] += one["least_ms"]
        found[precision] = {"least_ms": sum(bound.values()), **{f"by_{name}_ms": ms for name, ms in bound.items()}}
        found[precision] |= {f"{op}_ms": ms for op, ms in ops.most_common()}
    return found


def of(name, pieces, shape):
    """The bound of an engine by its name, such as "fp16_plugin"; None for another precision, or before it is known.

    Half precision is what an engine of INT8 is held against too: its layers in INT8 could be faster still.
    """
    costs, ceilings = ((pieces.get(key) or {}).get("result") for key in (f"prepare/{shape}/cost", "pytorch/ceilings"))
    kind = next((part for part in name.split("_") if part in BYTES), None)
    if not costs or not ceilings or not kind:
        return None
    return bounds(costs["layers"], ceilings)[kind]
