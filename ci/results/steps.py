"""The tables of docs/results.md about a decode step of the kernels alone: `python -m plugins.check --step`."""

import contextlib

from ci.results.recorded import figure, markdown, ratio
from helpers.errors import BadInput

NAME = "decode-step-"
SHOWN = NAME + "1.1b"
OPERATORS = {
    "qkv": "queries, keys, values", "attention": "attention over 640 tokens", "o": "output of attention",
    "gate_up": "gate and up, SwiGLU", "down": "down", "norm": "sum and norm", "head": "head",
}  # fmt: skip
STEPS = {  # the end of a record's name, and the beginning of its step's metric: what the row is called
    ("1.1b-first-attention", ""): "1.1B: ordinary launches, the first attention",
    ("1.1b-ordinary", ""): "attention loads a tile at once, 32 splits",
    ("1.1b-two-launches", ""): "programmatic launch",
    ("1.1b", ""): "**the norm's weights before the wait, attention in one launch: the kernels as they are**",
    ("1.1b", "best_"): "its products divided as was fastest for each",
    ("1.1b-held", ""): "first weights in registers before the wait",
    ("1.1b-held-loads", ""): "and the cache's first tile, and the norm's weights",
    ("1.1b-held-loads-choices", ""): "the same in another process",
    ("1.1b-held-loads-choices", "best_"): "its products divided as was fastest for each",
    ("1.1b-held-loads-ordinary", ""): "the same with ordinary launches",
    ("1.1b-prefetch", ""): "weights brought into the second cache (another H200)",
    ("7b", ""): "7B: the products and attention as they are",
    ("7b", "best_"): "its products divided as was fastest for each",
    ("7b-held-loads", ""): "7B: first weights, first tile and the norm's weights before the wait",
    ("7b-held-loads", "best_"): "its products divided as was fastest for each",
    ("7b-prefetch", ""): "weights brought into the second cache (another H200)",
    ("7b-prefetch", "best_"): "its products divided as was fastest for each",
}  # fmt: skip


def step_operators(results):
    """Microseconds of each operator of a step of the 1.1B shape beside what PyTorch has, taken on another machine."""
    kernels, beside = results.latest(SHOWN), results.latest(SHOWN + "-pytorch")
    links = {"record": f"{results.link(kernels, 'kernels')}, {results.link(beside, 'PyTorch')}"}
    return markdown([_operator(kernels, beside, name, label) | links for name, label in OPERATORS.items()])


def _operator(kernels, beside, name, label):
    row = {"": label}
    for kind, title in (("fp16", "FP16"), ("int4", "INT4")):
        share = kernels.metrics.get(f"{kind}_{name}_share")
        row |= {
            f"{title}, us": figure(kernels, f"{kind}_{name}_us", 2),
            f"{title}, of the copy rate": "" if share is None else f"{share:.0%}",
            f"PyTorch {title}, us": figure(beside, f"{kind}_{name}_us", 2),
        }
    return row


def steps(results):
    """The times of whole steps, variant by variant that is recorded, over the time in which the card copies what a step
    reads."""
    rows = []
    for (end, prefix), label in STEPS.items():
        with contextlib.suppress(BadInput):
            record = results.latest(NAME + end)
            rows += [_step(results, record, prefix, label)] if f"fp16_{prefix}step_ms" in record.metrics else []
    return markdown(rows)


def _step(results, record, prefix, label):
    row = {"": label}
    for kind, title in (("fp16", "FP16"), ("int4", "INT4")):
        metric = f"{kind}_{prefix}step_ms"
        over = ratio(record.metrics[metric] / record.metrics[f"{kind}_floor_ms"])
        row |= {
            f"{title}, ms": figure(record, metric, 3),
            f"{title} floor, ms": figure(record, f"{kind}_floor_ms", 3),
            f"{title} / floor": over,
        }
    return row | {"record": results.link(record)}
