"""The records of the stage `schedule`."""


def records(pieces, system, artifacts):
    """(name, metrics, entry) of every combination; `artifacts`: a build's {file: SHA-256} from all pieces."""
    for key, entry in pieces.items():
        if "/schedule/" not in key or "result" not in entry:
            continue
        runtime, shape, _, vision, form = key.split("/")
        found = entry["result"]
        metrics = {each: found[each] for each in ("frames", "tokens", "prompt", "faster")}
        for part, timing in found["alone"].items():
            metrics |= {f"{part}_{each}": timing[each] for each in ("p50", "n")}
        metrics |= {f"{way}_{each}": found[way][each] for way in ("serial", "overlapped") for each in found[way]}
        files = artifacts(pieces, f"{runtime}/{shape}/build/{vision}")
        for name, one in pieces.items():
            if one.get("result", {}).get("engine") in entry["depends"].values() and name.startswith("language/"):
                files |= {one["result"]["engine"].rpartition("/")[2]: one["result"]["details"]["sha256"]}
        yield f"{system}-{shape}-{runtime}-{vision}-{form}-schedule", metrics, entry | {"artifacts": files}
