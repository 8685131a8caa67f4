"""A Llama with quantized linear layers, computed in FP32: what every form of a checkpoint is held against."""

import copy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.layers.llama import Llama
from helpers.llm.formats import GROUP, SHARING, SMOOTHING, Format, chosen

E4M3 = torch.float8_e4m3fn
MOST = {E4M3: 448.0, torch.int8: 127.0}
LEAST = 2**-15  # that an input is divided by: FP16 holds one over it
KEPT = 256  # rows of calibration that AWQ tries its scales on


@dataclass(frozen=True)
class Parts:
    """A quantized weight: w = codes * scale.

    codes: [out, in] int8 or float8_e4m3fn. scale: [out, 1], [1, 1], or [out, in / group]. prequant: [in], the input is
    multiplied with it. activation: [1], the step of the input; None where it is not quantized. bits: of a code.
    """

    codes: Tensor
    scale: Tensor
    prequant: Tensor | None = None
    activation: Tensor | None = None
    group: int | None = None
    bits: int = 8


class QuantizedLinear(nn.Module):
    """A linear layer of quantized weights, and of quantized inputs where `activation` says so."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts

    @property
    def weight(self) -> Tensor:
        """[out, in] FP32, without `prequant`."""
        scale = self.parts.scale.float()
        if self.parts.group:
            scale = scale.repeat_interleave(self.parts.group, 1)
        return self.parts.codes.float() * scale

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if self.parts.prequant is not None:
            x = x * self.parts.prequant.float()
        if self.parts.activation is not None:
            x = rounded(x, self.parts.activation, self.parts.codes.dtype)
        return F.linear(x, self.weight)


class QuantizedCache(nn.Module):
    """What an FP8 cache leaves of keys and values. scale: [1]."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """[B, heads, T, head_dim] -> the same."""
        return rounded(x, self.scale, E4M3)


def rounded(x: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """x in steps of `scale`, as whole numbers up to 127 or in E4M3."""
    return _codes(x, scale, dtype).float() * scale


def _codes(x, scale, dtype):
    steps = (x / scale.clamp_min(torch.finfo(torch.float32).tiny)).clamp(-MOST[dtype], MOST[dtype])
    return (steps if dtype == E4M3 else steps.round()).to(dtype)


@dataclass
class Seen:
    """Inputs of a layer in calibration: largest and mean magnitude of every channel [in], and rows [n, in]."""

    most: Tensor
    mean: Tensor
    rows: Tensor


@typed
@torch.no_grad()
def quantize(model: Llama, name: str, ids: Tensor | None = None, dtype: str | None = None) -> Llama:
    """A copy of `model` in FP32 arithmetic, its weights rounded to `dtype` and quantized in the format `name`.

    Layers that share their input share `prequant` and the step of it; q, k, v, and gate and up, share their FP8 scale,
    for an engine runs them as one. Embedding, norms and lm_head are not quantized.

    Args:
        ids: calibration, which FP8, INT8 and AWQ need: tokens [B, T] int64, or embeddings [B, T, hidden_size], where
            pictures are among them.
        dtype: "float16" or "bfloat16"; None for the usual one of the format.
    """
    form = chosen(name)
    kind = torch_dtype(dtype or form.dtype)
    if any(isinstance(module, QuantizedLinear) for module in model.modules()):
        raise BadInput(
            "model", "layers that are quantized", "a plain Llama", "quantize the model that they were made of"
        )
    if ids is None and form.algo and not form.preprocessed:
        raise BadInput("calibration", "none", f"token ids, which {name} measures its scales on", "give a text's ids")
    model = copy.deepcopy(model).to(kind).float()
    for key, tensor in model.state_dict().items():
        check_finite(key, tensor)
    if ids is not None:
        (check_embeddings if ids.is_floating_point() else check_ids)(model, ids)
    if ids is not None and ids.shape[1] > model.config.max_position_embeddings:
        expected = f"at most the model's {model.config.max_position_embeddings} positions"
        raise BadInput("calibration", f"{ids.shape[1]} tokens in a row", expected, "cut the text into rows")
    seen, cached = _calibrate(model, ids) if form.algo and not form.preprocessed else ({}, {})
    for number, layer in enumerate(model.model.layers) if form.algo else ():
        for place in SHARING:
            block = layer.get_submodule(place.block)
            weights = [getattr(block, name).weight for name in place.layers]
            inputs = seen.get((number, place.block, place.layers[0]))
            for name, parts in zip(place.layers, _quantized(weights, inputs, form, kind), strict=True):
                setattr(block, name, QuantizedLinear(parts))
        if form.kv:  # a scale below one would gain nothing: E4M3 has exponents enough
            layer.self_attn.cached = QuantizedCache((cached[number] / MOST[E4M3]).clamp_min(1).view(1))
    return model


def check_ids(model: Llama, ids: Tensor) -> None:
    """BadInput unless `ids` [B, T] are whole numbers of the model's vocabulary."""
    fits = ids.ndim == 2 and ids.numel() and ids.dtype in (torch.int64, torch.int32)
    if not fits or not 0 <= int(ids.min()) <= int(ids.max()) < model.config.vocab_size:
        expected = f"whole numbers [B, T] from 0 to {model.config.vocab_size - 1}"
        raise BadInput("ids", f"{ids.dtype} {list(ids.shape)}", expected, "use the model's own tokenizer")


def check_embeddings(model: Llama, rows: Tensor) -> None:
    """BadInput unless `rows` [B, T, hidden_size] are finite numbers."""
    hidden = model.config.hidden_size
    if rows.ndim != 3 or rows.shape[2] != hidden or not rows.numel() or not rows.isfinite().all():
        found = f"{rows.dtype} {list(rows.shape)}"
        raise BadInput("embeddings", found, f"finite numbers [B, T, {hidden}]", "use the model's own embeddings")


def check_finite(name: str, tensor: Tensor) -> None:
    """BadInput for a weight that is not finite in the type it is kept in."""
    if not tensor.float().isfinite().all():
        raise BadInput(name, "not finite in the type of the weights", "numbers that it holds (float16: up to 65504)",
                       "convert to bfloat16, in a format that has it")  # fmt: skip


def torch_dtype(name: str) -> torch.dtype:
    """torch.float16 or torch.bfloat16 of its name; BadInput for another."""
    if name not in ("float16", "bfloat16"):
        raise BadInput("dtype", repr(name), "float16 or bfloat16", "choose one of them")
    return getattr(torch, name)


def _calibrate(model, ids):
    """({(layer, block, name): Seen}, {layer: largest key or value}) of one pass."""
    seen, cached, hooks = {}, {}, []

    def look(key):
        def hook(module, inputs, output):
            rows = inputs[0].flatten(0, -2)
            seen[key] = Seen(rows.abs().amax(0), rows.abs().mean(0), rows[:KEPT])

        return hook

    def keep(number):
        def hook(module, inputs, output):
            cached[number] = torch.maximum(cached.get(number, output.new_zeros(())), output.abs().max())

        return hook

    for number, layer in enumerate(model.model.layers):
        hooks.append(layer.self_attn.cached.register_forward_hook(keep(number)))
        for place in SHARING:
            module = layer.get_submodule(f"{place.block}.{place.layers[0]}")
            hooks.append(module.register_forward_hook(look((number, place.block, place.layers[0]))))
    try:
        model(**{"inputs_embeds" if ids.is_floating_point() else "input_ids": ids})
    finally:
        for hook in hooks:
            hook.remove()
    return seen, cached


def _quantized(weights: list[Tensor], seen: Seen | None, form: Format, kind: torch.dtype) -> list[Parts]:
    """The parts of layers that share their input."""
    if seen is None:
        return [weight_only(weight, form.bits, kind) for weight in weights]
    if form.algo == "W4A16_AWQ":
        prequant = _searched(torch.cat(weights), seen, kind)
        return [replace(in_groups(weight / prequant.float()), prequant=prequant) for weight in weights]
    if form.algo == "FP8":
        scale, activation = (x.abs().max() / MOST[E4M3] for x in (torch.cat(weights), seen.most))
        return [Parts(_codes(w, scale, E4M3), scale.view(1, 1), None, activation.view(1)) for w in weights]
    heavy = torch.cat(weights).abs().amax(0)
    smoother = seen.most**SMOOTHING / heavy.clamp_min(1e-5) ** (1 - SMOOTHING)
    prequant = (1 / smoother.clamp_min(LEAST)).to(kind)
    activation = (seen.most * prequant.float()).max().view(1) / 127
    found = []
    for weight in weights:
        smoothed = weight / prequant.float()
        scale = smoothed.abs().amax(1, keepdim=True) / 127
        found.append(Parts(_codes(smoothed, scale, torch.int8), scale, prequant, activation))
    return found


def weight_only(weight: Tensor, bits: int, kind: torch.dtype) -> Parts:
    """One scale per output, max / 128 or / 8, kept in the model's type; rounded half away from zero."""
    most = 2 ** (bits - 1)
    scale = weight.abs().amax(1, keepdim=True) / most
    steps = weight / scale.clamp_min(torch.finfo(torch.float32).tiny)
    codes = (steps.abs() + 0.5).floor() * steps.sign()
    return Parts(codes.clamp(-most, most - 1).to(torch.int8), scale.to(kind), bits=bits)


def in_groups(weight: Tensor) -> Parts:
    """INT4 with one scale for 128 inputs of an output, max / 7."""
    if weight.shape[1] % GROUP:
        raise BadInput("AWQ", f"{weight.shape[1]} inputs", f"a multiple of {GROUP}", "choose another format")
    grouped = weight.unflatten(1, (-1, GROUP))
    scale = grouped.abs().amax(-1) / 7
    steps = grouped / scale[..., None].clamp_min(torch.finfo(torch.float32).tiny)
    return Parts(steps.round().clamp(-8, 7).to(torch.int8).flatten(1), scale, group=GROUP, bits=4)


def _searched(weight, seen, kind):
    """AWQ: of eleven powers of the channels' mean magnitude, the scales that change the outputs least."""
    exact, best = seen.rows @ weight.T, (float("inf"), torch.ones_like(seen.mean).to(kind))
    for power in torch.linspace(0, 1, 11):
        scales = seen.mean.clamp_min(1e-4) ** power
        prequant = (1 / (scales / (scales.max() * scales.min()).sqrt())).to(kind)
        parts = replace(in_groups(weight / prequant.float()), prequant=prequant)
        error = (QuantizedLinear(parts)(seen.rows) - exact).square().mean().item()
        best = min(best, (error, prequant), key=lambda entry: entry[0])
    return best[1]
