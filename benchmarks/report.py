"""Stage `records`: the work folder as result records, and the table beside the published figures."""

from helpers import records
from helpers.files import ROOT

# Published for BEVFormer-tiny: NVIDIA A40, TensorRT 10.3.0.26, plugin nv_half2, median GPU compute time, nuScenes val.
PUBLISHED = {
    "fp32": {"ms": 18.82, "NDS": 0.354, "mAP": 0.252},
    "fp16": {"ms": 9.36, "NDS": 0.354, "mAP": 0.251},
    "best": {"ms": 6.20, "NDS": 0.353, "mAP": 0.250},
    "qdq": {"ms": 6.02, "NDS": 0.352, "mAP": 0.251},
    "qdq_tf32": {"ms": 6.02, "NDS": 0.352, "mAP": 0.251},  # the same engine: ours without half precision
}
DETECTION = ("NDS", "mAP", "mATE", "mASE", "mAOE", "mAVE", "mAAE", "frames", "finite", "frames_not_finite")
SHAPES = ("published", "mini")
RUNTIMES = ("pytorch", "tensorrt", "onnxruntime")
GRAPH, PLUGIN = "_graph", "_plugin"
COMPILED, TO_EAGER = ("compile_seconds", "speedup_over_eager"), "_rel_to_eager"  # of a network that was compiled


def run(session, options):
    """Write one record per engine and one for each other piece of evidence; print the table."""
    kind = "recorded" if options.out == ROOT / "results" else "measured"
    pieces = session.pieces()
    found = [*engines(pieces), *scaling(pieces), *gridsample(pieces), *divergence(pieces), *ceilings(pieces),
             *profiles(pieces)]  # fmt: skip
    for name, metrics, entry in found:
        print(records.write(_record(name, metrics, entry, kind), options.out))
    for shape in SHAPES:
        rows = table(pieces, shape)
        if rows:
            print(f"\n{shape}\n{text(rows)}")
    print("\n" + "\n".join(ratios(pieces)))
    failures = [f"{name}: {entry['error'][:200]}" for name, entry in pieces.items() if "error" in entry]
    print("\n".join(["", "not measured:", *failures] if failures else []))


def _record(name, metrics, entry, kind):
    device = entry["cpu"] if "onnxruntime" in name else entry["device"] or entry["cpu"]
    metrics = {key: str(value) if isinstance(value, bool) else value for key, value in metrics.items()}
    return records.Record(name.replace("_", "-"), kind, device, entry["versions"], entry["command"], entry["commit"],
                          entry["date"], metrics)  # fmt: skip


def engines(pieces):
    """[(record name, metrics, entry)] of every engine and every way to run the network in PyTorch."""
    return [
        (f"bevformer-{shape}-{runtime}-{name}", _metrics(pieces, runtime, shape, name), entry)
        for shape in SHAPES
        for runtime in RUNTIMES
        for name, entry in _named(pieces, runtime, shape)
    ]


def _named(pieces, runtime, shape):
    """[(name, entry)] of what was timed, then of what was streamed alone: the negative control."""
    timings, entry = _timings(pieces, runtime, shape)
    prefix = f"{runtime}/{shape}/stream/"
    streamed = {key.removeprefix(prefix): one for key, one in pieces.items() if key.startswith(prefix)}
    alone = [(name, one) for name, one in streamed.items() if "result" in one and name not in timings]
    return [(name, entry(name)) for name in timings if not name.endswith(GRAPH)] + alone


def _timings(pieces, runtime, shape):
    """({name: {"gpu", "host", "enqueue"}}, function of a name to its entry)."""
    whole = f"{runtime}/{shape}/" + ("eager" if runtime == "pytorch" else "time")
    timings, sources = {}, {}
    for name, found in _by_name(pieces.get(whole)).items():
        timings[name], sources[name] = found, whole
    if runtime == "pytorch":
        for key, entry in pieces.items():
            if key.startswith(f"pytorch/{shape}/compile") and "result" in entry:
                name = key.rsplit("/", 1)[1]
                timings[name], sources[name] = _by_name(entry)["compiled"], key
    return timings, lambda name: pieces[sources[name]]


def _by_name(entry):
    """{name: {kind: percentiles}} of a piece that timed several engines."""
    result = (entry or {}).get("result") or {}
    found = {}
    for kind in ("gpu", "host", "enqueue"):
        for name, timing in result.get(kind, {}).items():
            found.setdefault(name, {})[kind] = timing
    return found


def _metrics(pieces, runtime, shape, name):
    """Flat map of all that is known of one engine."""
    timings, _ = _timings(pieces, runtime, shape)
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
    built = result(f"{runtime}/{shape}/build/{name}")
    if built:
        metrics |= {"engine_mib": built["size_bytes"] / 2**20, "build_seconds": built["build_seconds"]}
    whole = "eager" if runtime == "pytorch" else "time"
    memory = result(f"{runtime}/{shape}/{whole}").get("memory_mib", {}).get(name)
    if isinstance(memory, dict):
        metrics |= {f"memory_{key}_mib": value for key, value in memory.items()}
    elif memory:
        metrics["memory_peak_mib"] = memory
    compiled = result(f"{runtime}/{shape}/{name}")
    metrics |= {key: value for key, value in compiled.items() if key in COMPILED or key.endswith(TO_EAGER)}
    streamed = result(f"{runtime}/{shape}/stream/{name}")
    metrics |= {key: value for key, value in streamed.items() if key != "frames"}
    scores = result(f"evaluate/{runtime}-{name}") if shape == "mini" else {}
    return metrics | {key: scores[key] for key in DETECTION if key in scores} | {"weights": _weights(shape)}


def _weights(shape):
    return "trained, MiniDrive" if shape == "mini" else "random, seed 0: for timing only"


def scaling(pieces):
    """How time grows, one record for each runtime, of what was measured with the latest settings."""
    for runtime in ("tensorrt", "pytorch"):
        found = {
            key.rsplit("/", 1)[1]: entry
            for key, entry in pieces.items()
            if key.startswith(f"{runtime}/scale/") and "/build/" not in key and "result" in entry
        }
        if not found:
            continue
        latest = max(found.values(), key=lambda entry: entry["date"])
        metrics = {"settings": latest["result"]["settings"]}
        for name, entry in found.items():
            if entry["result"]["settings"] != metrics["settings"]:
                continue
            for key in ("p50", "p99"):
                metrics[f"{name}_gpu_ms_{key}"] = entry["result"]["gpu"][key]
            memory = entry["result"].get("memory_mib", {})
            if memory:
                metrics[f"{name}_activations_mib"] = memory["activations"]
        yield f"bevformer-scaling-{runtime}", metrics, latest


def gridsample(pieces):
    """What the check saw: the error of every case and form, and how many were wrong."""
    entries = [
        entry
        for key, entry in pieces.items()
        if key.startswith(("gridsample/native/", "gridsample/rewrite/")) and "result" in entry
    ]
    if not entries:
        return
    found, verdicts = {}, {}
    for entry in entries:
        for name, forms in entry["result"].items():
            for form, one in forms.items():
                found.setdefault(name, {})[form] = one.get("error", one["verdict"])
                verdicts.setdefault(form, {})[name] = one["verdict"]
    metrics = {"cases": len(found)}
    for form, by_name in verdicts.items():
        for verdict in ("agrees", "wrong", "refused"):
            metrics[f"{form}_{verdict}"] = sum(value == verdict for value in by_name.values())
        wrong = [name for name, value in by_name.items() if value == "wrong"]
        metrics[f"{form}_wrong_cases"] = ", ".join(wrong) or "none"
    for name, forms in found.items():
        metrics |= {f"{name}/{form}": value for form, value in forms.items()}
    yield "gridsample-tensorrt", metrics, max(entries, key=lambda entry: entry["date"])


def divergence(pieces):
    """Where every engine parts from ONNX Runtime."""
    found = {key.split("/", 1)[1]: entry for key, entry in pieces.items() if key.startswith("divergence/")}
    found = {key: entry for key, entry in found.items() if "result" in entry}
    metrics = {}
    for name, entry in found.items():
        for key, value in entry["result"].items():
            if key == "notes":
                value = "; ".join(value) or "none"
            if key != "runtime" and not isinstance(value, (list, dict, type(None))):
                metrics[f"{name}/{key}"] = str(value) if isinstance(value, bool) else value
    if found:
        entry = max(found.values(), key=lambda entry: entry["date"])
        yield f"divergence-{entry['result']['runtime']}", metrics, entry


def ceilings(pieces):
    entry = pieces.get("pytorch/ceilings", {})
    if "result" in entry:
        yield "gpu-ceilings", entry["result"], entry


def profiles(pieces):
    """Per-layer profiles: sums by type and precision, and the largest layers."""
    for key, entry in pieces.items():
        if "/profile/" not in key or "result" not in entry:
            continue
        runtime, shape, _, name = key.split("/")
        result = entry["result"]
        metrics = {"layers": result["layers"], "sum_ms": result["ms"]}
        for by in ("type", "precision"):
            metrics |= {f"{by}/{kind or 'none'}_ms": ms for kind, ms in result[f"ms_by_{by}"].items()}
        for index, row in enumerate(result["top"], 1):
            metrics |= {f"top_{index:02}_layer": row["layer"], f"top_{index:02}_type": row["type"] or "none",
                        f"top_{index:02}_ms": row["ms"]}  # fmt: skip
        yield f"bevformer-{shape}-{runtime}-{name}-profile", metrics, entry


def table(pieces, shape):
    """Rows for `text`: every engine beside the published figures."""
    rows = []
    for runtime in RUNTIMES:
        for name, _ in _named(pieces, runtime, shape):
            found = _metrics(pieces, runtime, shape, name)
            known = PUBLISHED.get(name.removesuffix(PLUGIN), {}) if runtime == "tensorrt" else {}
            rows.append({
                "engine": f"{runtime} {name}",
                "GPU ms": found.get("gpu_ms_p50"), "p99": found.get("gpu_ms_p99"),
                "graph": found.get("graph_gpu_ms_p50"), "host": found.get("host_ms_p50"),
                "end to end": found.get("end_to_end_ms"), "over FP32": found.get("speedup_over_fp32"),
                "MiB": found.get("engine_mib"), "NDS": found.get("NDS"), "mAP": found.get("mAP"),
                "finite": str(found.get("finite", "")),
                "A40, published": known.get("ms"),
                "over FP32, published": PUBLISHED["fp32"]["ms"] / known["ms"] if known else None,
            })  # fmt: skip
    return rows


def text(rows):
    """Aligned columns."""
    cells = [{key: _cell(value) for key, value in row.items()} for row in rows]
    widths = {key: max(len(key), *(len(row[key]) for row in cells)) for key in cells[0]}
    lines = ["  ".join(key.ljust(width) for key, width in widths.items())]
    lines += ["  ".join(row[key].ljust(width) for key, width in widths.items()).rstrip() for row in cells]
    return "\n".join(lines)


def _cell(value):
    return "" if value is None else value if isinstance(value, str) else f"{value:.3f}"


GOALS = {"fp16": 2.01, "best": None, "qdq": 3.13, "qdq_tf32": 3.13}  # published FP32 over each


def ratios(pieces, shape="published"):
    """Lines with the ratios that are to be beaten; FP32 with TF32 allowed is what trtexec measures by default."""
    timings, _ = _timings(pieces, "tensorrt", shape)
    eager, _ = _timings(pieces, "pytorch", shape)
    first = eager.get("fp32", {}).get("gpu", {}).get("p50")
    lines = []
    for plugin in ("", PLUGIN):
        for graph in ("", GRAPH):
            medians = {name: timings.get(name + plugin + graph, {}).get("gpu", {}).get("p50") for name in
                       ("fp32", "tf32", *GOALS)}  # fmt: skip
            how = f"{'plugin' if plugin else 'native'}{', CUDA graph' if graph else ''}"
            for name, goal in GOALS.items():
                bases = {"TensorRT FP32": medians["fp32"], "TensorRT TF32": medians["tf32"]}
                bases |= {"PyTorch eager FP32, another process on this GPU,": first if "qdq" in name else None}
                for base, ms in bases.items():
                    if ms and medians[name]:
                        note = f" (published {goal})" if goal and base == "TensorRT FP32" else ""
                        lines.append(f"{base} / {name} ({how}): {ms / medians[name]:.2f}{note}")
    return lines
