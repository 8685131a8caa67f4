"""What was measured beside what is published: the table and the ratios that the stage `records` prints."""

from benchmarks import measured, scheduled

HOW = {"": "native", measured.PLUGIN: "plugin", measured.SINGLE: "plugin on single halves"}


def table(pieces, shape, system):
    """Rows for `text`: every engine beside the published figures."""
    rows = []
    for runtime in measured.RUNTIMES:
        for name, _ in measured.named(pieces, runtime, shape):
            found = measured.metrics_of(pieces, runtime, shape, name)
            known = system.published.get(measured.bare(name), {}) if runtime == "tensorrt" else {}
            rows.append({
                "engine": f"{runtime} {name}",
                "GPU ms": found.get("gpu_ms_p50"), "p99": found.get("gpu_ms_p99"),
                "graph": found.get("graph_gpu_ms_p50"), "host": found.get("host_ms_p50"),
                "over roofline": found.get("over_roofline"),
                "end to end": found.get("end_to_end_ms"), "over FP32": found.get("speedup_over_fp32"),
                "MiB": found.get("engine_mib"), **{name: found.get(name) for name in system.accuracy},
                "finite": str(found.get("finite", "")),
                "ms, published": known.get("ms"),
                "over FP32, published": system.published["fp32"]["ms"] / known["ms"] if known else None,
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


def to_eager(pieces, system, shape="published"):
    """Lines with the ratios of eager PyTorch, another process on this GPU, over engines, queued or as a CUDA graph, and
    over whole frames with the words of a language model.
    """
    first = measured.timings_of(pieces, "pytorch", shape)[0].get("fp32", {}).get("gpu", {}).get("p50")
    published, (timings, _) = system.published, measured.timings_of(pieces, "tensorrt", shape)
    lines = []
    for name in [name for name in timings if first and not name.endswith(measured.GRAPH)]:
        forms = (timings.get(name + graph, {}).get("gpu", {}).get("p50") for graph in ("", measured.GRAPH))
        known = published.get(measured.bare(name), {}).get("ms")
        note = f" (published {published['eager']['ms'] / known:.2f})" if known and "eager" in published else ""
        lines.append(f"PyTorch eager FP32 / {name}: {first / min(filter(None, forms)):.2f}{note}")
    words, spoken = scheduled.words(pieces, "pytorch/eager").get("eager"), scheduled.words(pieces, "tensorrt/time")
    for name, ms in spoken.items() if words and system.language else ():
        note = f" (published {system.words_goal})" if name == "fp16" and system.words_goal else ""
        lines.append(f"words of a frame, eager PyTorch / {name}: {words / ms:.2f}{note}")
    for name, metrics, _ in scheduled.records(pieces, system.name, lambda *given: {}):
        if "pytorch_eager_over_serial" in metrics:
            lines.append(f"whole frame, eager PyTorch / {name}: {metrics['pytorch_eager_over_serial']:.2f}")
    return lines


def ratios(pieces, system, shape="published"):
    """Lines with the ratios that are to be beaten; FP32 with TF32 allowed is what trtexec measures by default."""
    timings, _ = measured.timings_of(pieces, "tensorrt", shape)
    eager, _ = measured.timings_of(pieces, "pytorch", shape)
    first = eager.get("fp32", {}).get("gpu", {}).get("p50")
    lines = []
    for plugin in ("", measured.PLUGIN, measured.SINGLE):
        for graph in ("", measured.GRAPH):
            bases = measured.PLUGIN if plugin else ""  # FP32 and TF32 have one form with the plugin
            timed = {"fp32": bases, "tf32": bases} | dict.fromkeys(system.goals, plugin)
            medians = {
                name: timings.get(name + form + graph, {}).get("gpu", {}).get("p50") for name, form in timed.items()
            }
            how = f"{HOW[plugin]}{', CUDA graph' if graph else ''}"
            for name, goal in system.goals.items():
                bases = {"TensorRT FP32": medians["fp32"], "TensorRT TF32": medians["tf32"]}
                bases |= {"PyTorch eager FP32, another process on this GPU,": first if "qdq" in name else None}
                for base, ms in bases.items():
                    if ms and medians[name]:
                        note = f" (published {goal})" if goal and base == "TensorRT FP32" else ""
                        lines.append(f"{base} / {name} ({how}): {ms / medians[name]:.2f}{note}")
    return lines
