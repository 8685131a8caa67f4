"""The records of the stage `schedule`."""

from benchmarks import measured

SIZE = "tinyllama"  # of the language model of a published shape


def words(pieces, piece):
    """{form: ms} of a frame's words, all its tokens, of a piece of the stage `language`."""
    times = (pieces.get(f"language/{SIZE}/{piece}", {}).get("result") or {}).get("times", {})
    return {name: one["frame"]["p50"] for name, one in times.items() if "frame" in one}


def eager(pieces, shape):
    """ms of a frame in eager PyTorch, vision in FP32 and the words in half precision; None before both were timed."""
    vision = measured.timings_of(pieces, "pytorch", shape)[0].get("fp32", {}).get("host", {}).get("p50")
    spoken = words(pieces, "pytorch/eager").get("eager")
    return vision + spoken if vision and spoken else None


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
        whole = eager(pieces, shape)
        if whole:
            over = whole / found["serial"]["latency_ms_p50"]
            metrics |= {"pytorch_eager_ms": whole, "pytorch_eager_over_serial": over}
        files = artifacts(pieces, f"{runtime}/{shape}/build/{vision}")
        for name, one in pieces.items():
            if one.get("result", {}).get("engine") in entry["depends"].values() and name.startswith("language/"):
                files |= {one["result"]["engine"].rpartition("/")[2]: one["result"]["details"]["sha256"]}
        yield f"{system}-{shape}-{runtime}-{vision}-{form}-schedule", metrics, entry | {"artifacts": files}
