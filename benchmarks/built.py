"""What is kept of an engine: what its metadata file says of its build, and sums of its layers' times."""

import collections

from helpers.engine import cache

TOLD = ("sha256", "size_bytes", "build_seconds", "flags", "layer_count", "precisions", "constrained_layers",
        "held_constants", "device")  # fmt: skip
CHOSEN = {"builder_level": "optimization_level", "tactic_sources": "tactic_sources"}  # where not TensorRT's own choice


def told(path):
    """What the metadata file of an engine says of it and its build."""
    meta = cache.read_meta(path)
    chosen = {key: meta.get("options", {}).get(option) for key, option in CHOSEN.items()}
    return {key: meta[key] for key in TOLD if key in meta} | {k: v for k, v in chosen.items() if v is not None}


def both(before, after):
    """What is told of engines that run as one; its digest is that of the last, which `before` lists those before."""
    found = after | {"before": [*before.get("before", []), {key: before[key] for key in ("engine", "sha256")}]}
    for key in ("size_bytes", "build_seconds", "layer_count", "constrained_layers"):
        if key in before:
            found[key] = before[key] + after[key]
    if "precisions" in before:
        found["precisions"] = dict(sum(map(collections.Counter, (before["precisions"], after["precisions"])),
                                       collections.Counter()))  # fmt: skip
    return found | {"flags": sorted({*before.get("flags", ()), *after.get("flags", ())})}


def summed(rows):
    """What a profile says: the number of layers, the largest ones, and sums in ms, of all and by type and precision."""
    sums = {key: collections.Counter() for key in ("type", "precision")}
    for row in rows:
        for key, total in sums.items():
            total[row[key]] += row["ms"]
    top = sorted(rows, key=lambda row: -row["ms"])[:12]
    return {"layers": len(rows), "ms": sum(row["ms"] for row in rows),
            "top": [{**row, "layer": row["layer"][:300]} for row in top],
            **{f"ms_by_{key}": dict(total.most_common()) for key, total in sums.items()}}  # fmt: skip
