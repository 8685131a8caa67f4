"""A decode step of a Llama as one CUDA graph of the kernels alone, and each operator by itself: `--step SIZE`.

Every graph goes through all layers' own weights: what a layer needs is not in the GPU's cache from the layer before.
"""

import ctypes
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from helpers.ops import add_rms_norm, cached_attention, library, matvec, matvec_int4
from plugins.check import times
from plugins.check.common import HALF, captured_microseconds

GROUP, EPSILON = 128, 1e-5
DIVISIONS = {  # by whether weights are of four bits: outputs of a warp (-4: warps of an output), words at once
    False: ((1,), (2,), (4,), (-4,)),
    True: ((1, 1), (1, 2), (1, 4), (2, 2), (2, 4), (4, 4), (-4, 1), (-4, 2)),
}
PRODUCTS = ("qkv", "o", "gate_up", "down", "head")


class Shape(NamedTuple):
    """Sizes of a Llama and of its cache; `length` slots are filled when the step begins."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    dims: int
    ffn: int
    vocab: int
    slots: int = 672
    length: int = 640

    def products(self) -> dict[str, tuple[int, int]]:
        """[rows, inputs] of the weights of every product; `gate_up` is gated."""
        wide = self.heads * self.dims
        return {
            "qkv": (wide + 2 * self.kv_heads * self.dims, self.hidden), "o": (self.hidden, wide),
            "gate_up": (2 * self.ffn, self.hidden), "down": (self.hidden, self.ffn), "head": (self.vocab, self.hidden),
        }  # fmt: skip


SIZES = {"1.1b": Shape(22, 2048, 32, 4, 64, 5632, 32000), "7b": Shape(32, 4096, 32, 32, 128, 11008, 32064)}


class Step:
    """Random weights, a cache and what flows between the operators, all in half precision.

    Args:
        four: weights of four bits with a scale for 128 of them, but for the head's.
    """

    def __init__(self, shape: Shape, four: bool, loaded: ctypes.CDLL, device: str = "cuda"):
        self.shape, self.loaded, self.device, layers = shape, loaded, device, shape.layers
        self.divided: dict[str, tuple[int, ...]] = {}  # product: its division, where it is not the kernel's own
        sizes = shape.products()
        self.weights = {
            name: [self._weight(*size, four and name != "head") for _ in range(1 if name == "head" else layers)]
            for name, size in sizes.items()
        }
        self.outputs = {name: self.random(1, size[0] // (1 + (name == "gate_up"))) for name, size in sizes.items()}
        self.x, self.residual, self.normal, self.total = (self.random(1, shape.hidden) for _ in range(4))
        self.attended = self.random(1, shape.heads * shape.dims)
        self.inputs = {"qkv": self.normal, "o": self.attended, "gate_up": self.normal, "head": self.normal}
        self.inputs["down"] = self.outputs["gate_up"]
        self.norms = [self.random(shape.hidden) for _ in range(2 * layers + 1)]
        one = (1, shape.kv_heads, shape.slots, shape.dims)
        self.caches = [(self.random(*one), self.random(*one)) for _ in range(layers)]
        angles = torch.outer(torch.arange(shape.slots), 1e4 ** -(torch.arange(0, shape.dims, 2) / shape.dims))
        self.rotation = torch.cat([angles.cos(), angles.sin()], 1).to(device)
        self.lengths = torch.tensor([shape.length], dtype=torch.int32, device=device)

    def random(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, device=self.device, dtype=HALF) * scale

    def _weight(self, rows, inputs, four):
        if not four:
            return (self.random(rows, inputs, scale=inputs**-0.5),)
        words = torch.randint(-(1 << 31), 1 << 31, (rows, inputs // 8), device=self.device).int()
        return words, self.random(rows, max(inputs // GROUP, 1), scale=inputs**-0.5 / 4)

    def multiply(self, name: str, layer: int) -> torch.Tensor:
        weight, x, output = self.weights[name][layer], self.inputs[name], self.outputs[name]
        divided = self.divided.get(name, ())
        if len(weight) == 2:
            matvec_int4.launch(self.loaded, (x, *weight), output, name == "gate_up", *divided)
        else:
            matvec.launch(self.loaded, x, *weight, output, name == "gate_up", *divided)
        return output

    def attend(self, layer: int) -> None:
        given = cached_attention.Operands(
            self.outputs["qkv"][None], self.lengths, self.rotation, *self.caches[layer]
        )  # fmt: skip
        cached_attention.launch(self.loaded, given, (self.attended[None], *self.caches[layer]))

    def add(self, number: int, x: torch.Tensor, residual: torch.Tensor) -> None:
        add_rms_norm.launch(self.loaded, x, residual, self.norms[number], (self.normal, self.total), EPSILON)

    def run(self) -> torch.Tensor:
        """The logits [1, vocab] of a token."""
        x, residual = self.x, self.residual
        for layer in range(self.shape.layers):
            self.add(2 * layer, x, residual)
            self.multiply("qkv", layer)
            self.attend(layer)
            self.add(2 * layer + 1, self.multiply("o", layer), self.total)
            self.multiply("gate_up", layer)
            x, residual = self.multiply("down", layer), self.total
        self.add(2 * self.shape.layers, x, residual)
        return self.multiply("head", 0)

    def operators(self) -> dict[str, list[Callable[[], Any]]]:
        """The calls of each operator, one for each layer."""
        layers = range(self.shape.layers)
        products = {
            name: [lambda n=name, at=at: self.multiply(n, at) for at in range(len(self.weights[name]))]
            for name in PRODUCTS
        }
        attention = [lambda at=at: self.attend(at) for at in layers]
        return products | {
            "attention": attention,
            "norm": [lambda at=at: self.add(at, self.x, self.total) for at in layers],
        }

    def moved(self, name: str) -> int:
        """Bytes of a product's weights in one layer."""
        return sum(tensor.nbytes for tensor in self.weights[name][0])

    def least(self) -> tuple[int, int]:
        """Bytes that a step reads at least: all weights, and the slots that are filled."""
        row = 2 * self.shape.kv_heads * self.shape.dims * HALF.itemsize
        weights = sum(self.moved(name) * len(self.weights[name]) for name in PRODUCTS)
        return weights, self.shape.layers * self.shape.length * row


def figures(step: Step, copy_gb_per_s: float) -> dict[str, float]:
    """step_ms, floor_ms (what a step reads, at the copy rate), and of each operator *_us; of products *_share of it."""
    weights, cache = step.least()
    floor = (weights + cache) / copy_gb_per_s / 1e6
    found = {"step_ms": _once(step.run) / 1e3, "floor_ms": floor, "weights_mb": weights / 1e6}
    for name, calls in step.operators().items():
        found[f"{name}_us"] = _all(calls)
    return found | {f"{name}_share": step.moved(name) / found[f"{name}_us"] / 1e3 / copy_gb_per_s for name in PRODUCTS}


def divisions(step: Step) -> dict[str, float | str]:
    """*_us of every division of every product, `best`, the fastest of each, and best_step_ms, a step with these."""
    found: dict[str, float | str] = {}
    for name, calls in step.operators().items():
        if name not in PRODUCTS:
            continue
        took = {}
        for division in DIVISIONS[len(step.weights[name][0]) == 2]:
            step.divided[name] = division
            took[division] = found[f"{name}_{_told(division)}_us"] = _all(calls)
        step.divided[name] = min(took, key=lambda one: took[one])
    found["best_step_ms"] = _once(step.run) / 1e3
    return found | {"best": "; ".join(f"{name} {_told(division)}" for name, division in step.divided.items())}


def _told(division):
    return "x".join(map(str, division)).replace("-", "across")


def pytorch(step: Step) -> dict[str, float]:
    """*_us of what PyTorch has: its products, attention without rotation and write, sum and norm; its INT4 products."""
    with torch.no_grad():
        return {f"{name}_us": _all(calls) for name, calls in _pytorch(step)}


def _pytorch(step) -> Iterator[tuple[str, list[Callable[[], Any]]]]:
    shape, layers = step.shape, range(step.shape.layers)
    for name, (rows, inputs) in shape.products().items():
        x = step.random(1, inputs)
        yield f"fp16_{name}", [lambda w=w, x=x: F.linear(x, w) for (w,) in step.weights[name]]
        if name != "head":
            codes = torch.randint(255, (rows, inputs // 2), device=step.device, dtype=torch.uint8)
            packed = [torch._convert_weight_to_int4pack(codes, 8) for _ in layers]
            scales, x = torch.randn(inputs // GROUP, rows, 2).to(step.device, torch.bfloat16), x.bfloat16()
            yield (
                f"int4_{name}",
                [lambda w=w, x=x, s=scales: torch._weight_int4pack_mm(x, w, GROUP, s) for w in packed],
            )
    query, filled = step.random(1, shape.heads, 1, shape.dims), shape.length + 1
    caches = [[cache[:, :, :filled] for cache in pair] for pair in step.caches]
    yield "fp16_attention", [lambda c=c: F.scaled_dot_product_attention(query, *c, enable_gqa=True) for c in caches]
    norms = step.norms[: shape.layers]
    yield "fp16_norm", [lambda w=w: F.rms_norm(step.x + step.residual, w.shape, w, EPSILON) for w in norms]


def _once(work):
    return captured_microseconds(work, launches=1, rounds=25)


def _all(calls):
    return _once(lambda: [call() for call in calls]) / len(calls)


def summary(path: Path, size: str) -> dict[str, Any]:
    """The figures of a size with weights of both kinds, those of PyTorch beside them, and what they were taken with.

    What PyTorch refuses is told under `failed`, and the kernels keep their figures.
    """
    loaded, rate, failed = library.load(path), times.copy_gb_per_s(), {}
    found: dict[str, float | str] = {"copy_gb_per_s": rate}
    for kind in ("fp16", "int4"):
        step = Step(SIZES[size], kind == "int4", loaded)
        every = figures(step, rate) | divisions(step)
        found |= {f"{kind}_{key}": value for key, value in every.items()}
    names: dict[str, dict[str, Any]] = {f"decode-step-{size}": found}
    try:
        names[f"decode-step-{size}-pytorch"] = pytorch(Step(SIZES[size], False, loaded))
    except RuntimeError as error:  # or NotImplementedError, which is one
        failed["pytorch"] = str(error)
    return {
        "device": torch.cuda.get_device_name(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "library": library.info(loaded) | library.identity([path])[0],
        "failed": failed,
        "records": {name: {key: _short(value) for key, value in one.items()} for name, one in names.items()},
    }


def _short(value):
    return value if isinstance(value, str) else round(value, 4)


def show(found: dict[str, Any]) -> None:
    print(found["device"], "| torch", found["torch"], "|", *(f"{k}={v}" for k, v in found["library"].items()))
    for name, why in found["failed"].items():
        print(f"{name}: not timed ({why})")
    for name, metrics in found["records"].items():
        print(f"\n{name}")
        for key, value in metrics.items():
            print(f"  {key:<20} {value if isinstance(value, str) else f'{value:10.3f}'}")
