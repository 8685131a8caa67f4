"""The table of language models on a GPU; it has the rows that are recorded."""

from ci.results.recorded import GPU, figure, markdown, ratio
from helpers.errors import BadInput

ROWS = {  # the end of a record's name, and the beginning of its metrics: what the row is called
    ("pytorch-eager", ""): "transformers, eager",
    ("pytorch-compile", ""): "transformers, static cache, torch.compile (reduce-overhead)",
    ("tensorrt-fp16", ""): "TensorRT, standard operators",
    ("tensorrt-fp16", "graph_"): "the same as CUDA graphs",
    ("tensorrt-fp16-plugins", ""): "TensorRT with our kernels",
    ("tensorrt-fp16-plugins", "graph_"): "the same as CUDA graphs",
    ("tensorrt-w4a16-plugins", ""): "TensorRT with our kernels, INT4 weights",
    ("tensorrt-w4a16-plugins", "graph_"): "the same as CUDA graphs",
}
SIZES = {
    "tinyllama": "TinyLlama-1.1B's shape, as OmniDrive asks it",
    "llama2": "Llama-2-7B's shape, as OpenVLA asks it",
}

STEPS_ALONE = "Of a row without TTFT only the engine that decodes was built: the prompt went through it token by token."


def language(results):
    """A table for each size that has records, under a sentence that says what was asked; one sentence without any."""
    parts = []
    for size, title in SIZES.items():
        rows = list(_rows(results, f"language-{size}-"))
        if rows:
            metrics = rows[0][1].metrics
            asked = f"{title}: a prompt of {metrics['prompt']} tokens, an answer of {metrics['tokens']}"
            parts += [f"{asked}, a cache for {metrics['capacity']}.", markdown([_row(results, *row) for row in rows])]
            if any(f"{graph}ttft_ms_p50" not in record.metrics for _, record, graph in rows):
                parts.append(STEPS_ALONE)
    return "\n\n".join(parts) or "Nothing is recorded yet."


def _rows(results, prefix):
    for (end, graph), label in ROWS.items():
        try:
            record = results.latest(prefix + end, GPU)
        except BadInput:
            continue
        if f"{graph}tpot_ms_p50" in record.metrics:
            yield label, record, graph


def _row(results, label, record, graph):
    metrics = record.metrics
    over = metrics.get(f"{graph}tpot_over_floor")
    error = [f"{metrics[key]:.1e}" for key in ("prefill_rel", "decode_rel") if key in metrics]
    return {
        "": label,
        "TTFT, ms": figure(record, f"{graph}ttft_ms_p50", 2),
        "TPOT, ms": figure(record, f"{graph}tpot_ms_p50", 2),
        "step on the GPU, ms": figure(record, f"{graph}gpu_step_ms_p50", 2),
        "whole answer, ms": figure(record, f"{graph}frame_ms_p50", 1),
        "floor, ms": figure(record, "floor_ms", 2),
        "TPOT / floor": "" if over is None else ratio(over),
        "memory, MiB": figure(record, "memory_mib", 0),
        "error of the logits": ", ".join(error) or ("not finite" if "finite" in metrics else "not checked"),
        "same token": f"{metrics['same_token']} of {metrics['of']}" if "of" in metrics else "",
        "record": results.link(record),
    }
