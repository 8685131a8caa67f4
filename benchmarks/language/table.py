"""The rows of the stage `language`: times beside the least that memory allows, and how far the logits are off."""

from pathlib import Path

from benchmarks.language.sizes import FORMS, PARTS, SIZES
from benchmarks.measured import GRAPH

TIMES = {"ttft": "ttft_ms", "tpot": "tpot_ms", "frame": "frame_ms", "gpu_prefill": "gpu_prefill_ms",
         "gpu_step": "gpu_step_ms"}  # fmt: skip
COLUMNS = {"ttft_ms_p50": "TTFT", "tpot_ms_p50": "TPOT", "frame_ms_p50": "frame", "gpu_step_ms_p50": "GPU step",
           "floor_ms": "floor", "tpot_over_floor": "over it", "memory_mib": "MiB"}  # fmt: skip
AGREEMENT = ("finite", "prefill_rel", "decode_rel", "same_token", "of", "queued_same_until")
OF_PYTORCH = ("ready_seconds", "transformers", "queued_same_until")


def rows(pieces):
    """[(size, runtime, name, metrics, entry)] of all that was timed; of a form whose prompt was not, its steps."""
    for size in SIZES:
        for runtime in ("pytorch", "tensorrt", "onnxruntime"):
            prefix = f"language/{size}/{runtime}/"
            timed = {key: one for key, one in pieces.items() if key.startswith(prefix) and _times(one)}
            whole = set().union(*(_times(one) for key, one in timed.items() if "/steps/" not in key))
            for key, entry in timed.items():
                if "/steps/" not in key or not _times(entry).keys() & whole:
                    yield from _rows(pieces, size, runtime, entry)


def _times(entry):
    return (entry.get("result") or {}).get("times", {})


def _rows(pieces, size, runtime, entry):
    result = entry["result"]
    for name, times in result["times"].items():
        if name.endswith(GRAPH):
            continue
        form = "fp16" if runtime == "pytorch" else name
        metrics = _about(SIZES[size], result) | _of(times)
        graph = result["times"].get(name + GRAPH)
        if graph:
            metrics |= {f"graph_{key}": value for key, value in _of(graph).items()}
        metrics |= _floor(pieces, size, form, result, metrics)
        memory = result.get("memory_mib")
        metrics |= {"memory_mib": memory[name] if isinstance(memory, dict) else memory} if memory else {}
        metrics |= {key: result[key] for key in OF_PYTORCH if key in result}
        found = f"reference/{_weights(form)}" if runtime == "pytorch" else f"{runtime}/check/{form}"
        checked = (pieces.get(f"language/{size}/{found}") or {}).get("result") or {}
        metrics |= {key: checked[key] for key in AGREEMENT if key in checked}
        built = _built(pieces, f"language/{size}/{runtime}/build/{form}", PARTS if "ttft" in times else PARTS[:1])
        for part, found in built.items():
            details = found["details"]
            metrics |= {f"{part}_engine_mib": details["size_bytes"] / 2**20,
                        f"{part}_build_seconds": details["build_seconds"]}  # fmt: skip
            metrics |= {} if details["level"] is None else {f"{part}_builder_level": details["level"]}
        artifacts = {Path(found["engine"]).name: found["details"]["sha256"] for found in built.values()}
        yield size, runtime, name, metrics, entry | {"artifacts": artifacts}


def _built(pieces, prefix, parts):
    """{part: result of its build} of the engines that were timed."""
    found = {part: (pieces.get(f"{prefix}/{part}") or {}).get("result") for part in parts}
    return {part: result for part, result in found.items() if result}


def _about(size, result):
    told = {"prompt": size.prompt, "tokens": size.tokens, "capacity": size.capacity, "rounds": result["rounds"]}
    return told | ({"copy_gb_s": result["copy_gb_s"]} if "copy_gb_s" in result else {})


def _of(times):
    found = {}
    for kind in TIMES.keys() & times.keys():
        name = TIMES[kind]
        found |= {f"{name}_{key}": times[kind][key] for key in ("p50", "n")}
        found |= {f"{name}_p99": times[kind]["p99"]} if times[kind]["n"] >= 100 else {}
    return found


def _floor(pieces, size, form, result, metrics):
    """The least time of a step: weights and the cache, half way through the answer, once at the copy rate."""
    exported = (pieces.get(f"language/{size}/export/{one}") or {} for one in FORMS if _weights(one) == _weights(form))
    weights = next((entry["result"]["bytes_read"] for entry in exported if entry.get("result")), None)
    if weights is None or "copy_gb_s" not in result:
        return {}
    read = weights + cache_bytes(SIZES[size])
    floor = read / result["copy_gb_s"] / 1e6
    found = {"bytes_read": read, "floor_ms": floor, "tpot_over_floor": metrics["tpot_ms_p50"] / floor}
    if "graph_tpot_ms_p50" in metrics:
        found["graph_tpot_over_floor"] = metrics["graph_tpot_ms_p50"] / floor
    return found


def _weights(form):
    return FORMS[form].weights


def cache_bytes(size):
    """Bytes of keys and values in FP16, half way through the answer."""
    model = size.model
    width = model["hidden_size"] // model["num_attention_heads"] * model["num_key_value_heads"]
    return 2 * 2 * model["num_hidden_layers"] * width * (size.prompt + size.tokens // 2)


def text(pieces):
    """Lines of the table, in milliseconds."""
    lines = [f"{'language model':<40}" + "".join(f"{column:>10}" for column in COLUMNS.values()) + "  logits"]
    for size, runtime, name, metrics, _ in rows(pieces):
        for prefix in ("", "graph_") if "graph_tpot_ms_p50" in metrics else ("",):
            found = [metrics.get(prefix + key, metrics.get(key)) for key in COLUMNS]
            cells = "".join(f"{'-':>10}" if value is None else f"{value:>10.3f}" for value in found)
            agrees = (
                f"  {metrics.get('prefill_rel', float('nan')):.1e}, {metrics.get('same_token')} of {metrics.get('of')}"
            )
            lines.append(f"{f'{size} {runtime} {prefix}{name}':<40}{cells}{agrees}")
    return lines if len(lines) > 1 else []


def records(pieces):
    """(name, metrics, entry) of every row; those of the tiny size are for a test of the way."""
    for size, runtime, name, metrics, entry in rows(pieces):
        if size == "tiny":
            continue
        yield f"language-{size}-{runtime}-{name}", metrics, entry
