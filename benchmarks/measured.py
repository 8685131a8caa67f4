"""What the pieces of a work folder say of every engine: its times, its size, its accuracy."""

import math

from benchmarks import roofline

SCORES = ("NDS", "mAP", "mATE", "mASE", "mAOE", "mAVE", "mAAE", "mIoU", "mIoU/labeled", "RayIoU", "RayIoU/labeled",
          "AMOTA", "AMOTP", "recall", "IDS", "IoU-lane", "minADE/car", "minFDE/car", "MR/car", "EPA/car",
          "minADE/pedestrian", "EPA/pedestrian", "IoU-n", "IoU-f", "VPQ-n", "VPQ-f", "L2/mean@1s", "L2/mean@2s",
          "L2/mean@3s", "L2/at@3s", "collision/mean@3s", "frames", "finite", "frames_not_finite")  # fmt: skip
OF_CLASS = "IoU/"  # the beginning of a score's name, of every class
SHAPES = ("published", "mini")
RUNTIMES = ("pytorch", "tensorrt", "onnxruntime")
GRAPH = "_graph"  # run by a CUDA graph
PLUGIN, SINGLE = "_plugin", "_half_plugin"  # with the plugins: in half precision on pairs (half2), on single numbers
FULL = "fp16_full"  # everything may be in half precision
KERNELS = "kernels"  # eager PyTorch with the compiled kernels: a piece, and the end of its names
COMPILED, TO_EAGER = ("compile_seconds", "speedup_over_eager"), "_rel_to_eager"  # of a network that was compiled


def bare(name):
    """The name of an engine without the form of its plugins."""
    return name.removesuffix(SINGLE).removesuffix(PLUGIN)


def named(pieces, runtime, shape):
    """[(name, entry)] of what was timed, then of what was streamed alone: the negative control."""
    timings, entry = timings_of(pieces, runtime, shape)
    prefix = f"{runtime}/{shape}/stream/"
    streamed = {key.removeprefix(prefix): one for key, one in pieces.items() if key.startswith(prefix)}
    alone = [(name, one) for name, one in streamed.items() if "result" in one and name not in timings]
    return [(name, entry(name)) for name in timings if not name.endswith(GRAPH)] + alone


def timings_of(pieces, runtime, shape):
    """({name: {"gpu", "host", "enqueue"}}, function of a name to its entry)."""
    timings, sources = {}, {}
    for whole in ("eager", KERNELS) if runtime == "pytorch" else ("time",):
        key = f"{runtime}/{shape}/{whole}"
        for name, found in _by_name(pieces.get(key)).items():
            timings[name], sources[name] = found, key
    if runtime == "pytorch":
        for key, entry in pieces.items():
            if key.startswith(f"pytorch/{shape}/compile") and "result" in entry:
                name = key.rsplit("/", 1)[1]
                timings[name], sources[name] = _by_name(entry)["compiled"], key
    return timings, lambda name: pieces[sources[name]]


def refused(pieces):
    """[(piece and engine, reason)] of what could not be timed in turns with others."""
    in_turns = {key: entry for key, entry in pieces.items() if key.rsplit("/", 1)[1] in ("time", "eager", KERNELS)}
    return [(f"{key}/{name}", why) for key, entry in in_turns.items()
            for name, why in entry.get("result", {}).get("refused", {}).items()]  # fmt: skip


def _by_name(entry):
    """{name: {kind: percentiles}} of a piece that timed several engines."""
    result = (entry or {}).get("result") or {}
    found = {}
    for kind in ("gpu", "host", "enqueue"):
        for name, timing in result.get(kind, {}).items():
            found.setdefault(name, {})[kind] = timing
    return found


def metrics_of(pieces, runtime, shape, name):
    """Flat map of all that is known of one engine."""
    timings, _ = timings_of(pieces, runtime, shape)
    result = lambda key: (pieces.get(key) or {}).get("result") or {}  # noqa: E731
    metrics = {}
    for prefix, one in (("", timings.get(name, {})), ("graph_", timings.get(name + GRAPH, {}))):
        for kind, timing in one.items():
            metrics |= {f"{prefix}{kind}_ms_{key}": timing[key] for key in ("p50", "p99", "n")}
    before = result(f"prepare/{shape}/preprocess").get("ms_p50")
    host = [metrics[key] for key in ("host_ms_p50", "graph_host_ms_p50") if key in metrics]
    if before and host:
        metrics |= {"preprocess_ms_p50": before, "end_to_end_ms": before + min(host)}
    kind = "gpu" if "gpu" in timings.get(name, {}) else "host"
    for baseline in ("fp32", f"fp32{PLUGIN}" if name.endswith(PLUGIN) else "fp32"):
        if baseline in timings and name in timings:
            metrics[f"speedup_over_{baseline}"] = timings[baseline][kind]["p50"] / timings[name][kind]["p50"]
    if FULL in timings and name in timings:
        metrics["of_full_half_speed"] = timings[FULL][kind]["p50"] / timings[name][kind]["p50"]
    bound = roofline.of(name, pieces, shape)
    if bound and "gpu" in timings.get(name, {}):
        times = [one["gpu"]["p50"] for key in (name, name + GRAPH) if "gpu" in (one := timings.get(key, {}))]
        metrics |= {"roofline_ms": bound["least_ms"], "over_roofline": min(times) / bound["least_ms"]}
    built = result(f"{runtime}/{shape}/build/{name}")
    if built:
        metrics |= {"engine_mib": built["size_bytes"] / 2**20, "build_seconds": built["build_seconds"]}
        metrics |= {"builder_level": built["builder_level"]} if "builder_level" in built else {}
        if "tactic_sources" in built:
            metrics["tactic_sources"] = ", ".join(built["tactic_sources"]) or "none"
    whole = "time" if runtime != "pytorch" else KERNELS if name.endswith(f"_{KERNELS}") else "eager"
    together = result(f"{runtime}/{shape}/{whole}")
    if name in timings and "operators" in together:
        metrics["operators"] = together["operators"]
    memory = together.get("memory_mib", {}).get(name)
    if isinstance(memory, dict):
        metrics |= {f"memory_{key}_mib": value for key, value in memory.items()}
    elif memory:
        metrics["memory_peak_mib"] = memory
    compiled = result(f"{runtime}/{shape}/{name}")
    metrics |= {key: value for key, value in compiled.items() if key in COMPILED or key.endswith(TO_EAGER)}
    streamed = result(f"{runtime}/{shape}/stream/{name}")
    metrics |= {key: value for key, value in streamed.items() if key != "frames"}
    scores = result(f"evaluate/{runtime}-{name}") if shape == "mini" else {}
    metrics |= result(f"paths/{runtime}-{name}") if shape == "mini" else {}
    return metrics | _told(scores) | {"weights": _weights(shape)}


def _told(scores):
    """Those of `SCORES` and the IoU of every class, but for those that nothing defines: a record takes numbers."""
    names = [*SCORES, *(key for key in scores if key.startswith(OF_CLASS))]
    return {key: scores[key] for key in names if key in scores and math.isfinite(scores[key])}


def _weights(shape):
    return "trained, MiniDrive" if shape == "mini" else "random, seed 0: for timing only"
