"""The parts of a Llama in ONNX, each in the form that a flavor asks for."""

from dataclasses import dataclass
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from helpers.layers.llama import Attention, Layer, Llama, RMSNorm, rotary
from helpers.llm.flavors import Flavor
from helpers.llm.onnx.writer import Writer, finite_least
from helpers.llm.tensorrt_llm.quantized import E4M3, QuantizedCache

CACHE = "past_key_values.{}.{}", "present.{}.{}"  # as Optimum and ONNX Runtime GenAI name them


@dataclass(frozen=True)
class Shared:
    """Tensors that every layer uses: cos and sin (tables, or where not fused those of the tokens), and which slots of
    the cache a token sees [batch, 1, tokens, slots].

    fresh, rows: where a static cache is written without an operator for it, which slots take a new token [batch, 1,
    slots, 1], and which row of the new tokens' keys [batch * heads * tokens, width] that is [batch, heads, slots].
    """

    cos: str
    sin: str
    seen: str
    fresh: str = ""
    rows: str = ""
    width: int = 0


def decoder(b: Writer, model: Llama, flavor: Flavor, x: str, capacity: int) -> str:
    """Embeddings [batch, tokens, hidden_size] -> the same, past all layers and not yet normalized."""
    config = model.config
    tables = rotary(capacity, config.head_dim, config.rope_theta)
    cos, sin = (_rotation(b, flavor, table) for table in tables)
    written: tuple[Any, ...] = ()
    if flavor.static and not flavor.fused:
        written = *_written(b, config.num_key_value_heads, capacity), config.head_dim
    shared = Shared(cos, sin, _seen(b, flavor, capacity), *written)
    with b.within("model"):
        for number, layer in enumerate(model.model.layers):
            with b.within(f"layers.{number}"):
                x = _layer(b, layer, flavor, shared, x, number)  # type: ignore[arg-type]
    return x


def norm(b: Writer, module: RMSNorm, flavor: Flavor, x: str, name: str) -> str:
    """[..., dims] -> the same; the mean is taken in FP32."""
    weight = b.weight(f"{name}.weight", module.weight)
    with b.within(name.rpartition(".")[2]):
        if flavor.fused:
            return b.RMSNormalization(x, weight, axis=-1, epsilon=module.eps)
        wide = x if b.dtype == torch.float32 else b.float(x)
        mean = (
            b.ReduceMean(b.Mul(wide, wide), axes=[-1]) if b.opset < 18 else b.ReduceMean(b.Mul(wide, wide), b.ints(-1))
        )
        normal = b.Div(wide, b.Sqrt(b.Add(mean, b.real(module.eps))))
        return b.Mul(normal if b.dtype == torch.float32 else b.Cast(normal, to=b.kind), weight)


def _layer(b, layer: Layer, flavor, shared, x, number):
    name = f"model.layers.{number}"
    entered = norm(b, layer.input_layernorm, flavor, x, f"{name}.input_layernorm")
    with b.within("self_attn"):
        attended = _attention(b, layer.self_attn, flavor, shared, entered, number)
    x = b.Add(x, attended)
    entered = norm(b, layer.post_attention_layernorm, flavor, x, f"{name}.post_attention_layernorm")
    with b.within("mlp"):
        gate, up = (
            b.linear(entered, getattr(layer.mlp, part), f"{name}.mlp.{part}") for part in ("gate_proj", "up_proj")
        )
        product = b.Mul(b.Mul(gate, b.Sigmoid(gate)), up)
        return b.Add(x, b.linear(product, layer.mlp.down_proj, f"{name}.mlp.down_proj"))


def _attention(b, module: Attention, flavor, shared, x, number):
    name, dims = f"model.layers.{number}.self_attn", module.head_dim
    heads = b.ints(0, 0, -1, dims)
    q, k, v = (
        b.Transpose(b.Reshape(b.linear(x, getattr(module, part), f"{name}.{part}"), heads), perm=[0, 2, 1, 3])
        for part in ("q_proj", "k_proj", "v_proj")
    )
    q, k = (_rotated(b, flavor, shared, tensor, dims) for tensor in (q, k))
    if isinstance(module.cached, QuantizedCache):
        k, v = (b.rounded(tensor, module.cached.scale, E4M3) for tensor in (k, v))
    keys, values = (_cached(b, flavor, shared, tensor, number, part) for tensor, part in ((k, "key"), (v, "value")))
    if flavor.fused:
        attended = b.Attention(q, keys, values, shared.seen)
    else:
        attended = _decomposed(b, q, keys, values, shared.seen, module)
    return b.linear(
        b.Reshape(b.Transpose(attended, perm=[0, 2, 1, 3]), b.ints(0, 0, -1)), module.o_proj, f"{name}.o_proj"
    )


def _cached(b, flavor, shared, new, number, part):
    """The keys or values of all tokens so far, [batch, heads, slots, dims]: the cache, which is an output too."""
    past, present = (name.format(number, part) for name in CACHE)
    if flavor.static and flavor.fused:
        return b.TensorScatter(past, new, "write_indices", axis=2, mode="linear", output=present)
    if flavor.static:
        picked = b.Gather(b.Reshape(new, b.ints(-1, shared.width)), shared.rows, axis=0)
        return b.Where(shared.fresh, picked, past, output=present)
    return b.Concat(past, new, axis=2, output=present)


def _written(b, heads, capacity):
    """`fresh` and `rows` of `Shared`: a slot takes the token as many behind the first as it lies behind that one's."""
    with b.within("slots"):
        behind = b.Sub(b.constant(torch.arange(capacity)), b.Unsqueeze("write_indices", b.ints(1)))
        tokens, batch = (b.Shape("position_ids", start=axis, end=axis + 1) for axis in (1, 0))
        column = b.Unsqueeze(behind, b.ints(1, 3))
        fresh = b.And(b.LessOrEqual(b.ints(0), column), b.Less(column, tokens))
        inside = b.Max(b.Min(behind, b.Sub(tokens, b.ints(1))), b.ints(0))
        ends = (b.ints(0), b.Mul(batch, b.ints(heads)), b.ints(1))
        first = b.Mul(b.Range(*(b.Squeeze(end, b.ints(0)) for end in ends)), tokens)
        rows = b.Add(b.Reshape(first, b.ints(-1, heads, 1)), b.Unsqueeze(inside, b.ints(1)))
        return fresh, rows


def _decomposed(b, q, keys, values, seen, module):
    """Attention by matrix products; the query heads that share a key head are rows of one product."""
    dims = module.head_dim
    groups = module.k_proj.weight.shape[0] // dims
    rows, heads = b.ints(0, groups, -1, dims), module.q_proj.weight.shape[0] // dims
    grouped = b.Reshape(b.Mul(q, b.number(dims**-0.5)), rows)
    scores = b.MatMul(grouped, b.Transpose(keys, perm=[0, 1, 3, 2]))
    slots = b.Shape(keys, start=2, end=3)
    scores = b.Reshape(scores, b.Concat(b.ints(0, heads, -1), slots, axis=0))
    shares = b.Softmax(b.Where(seen, scores, b.number(finite_least(b.dtype))), axis=-1)
    shares = b.Reshape(shares, b.Concat(b.ints(0, groups, -1), slots, axis=0))
    return b.Reshape(b.MatMul(shares, values), b.ints(0, heads, -1, dims))


def _rotation(b, flavor, table: Tensor) -> str:
    """A table [capacity, dims / 2] for the operator, or what the positions have of it, [batch, 1, tokens, dims]."""
    with b.within("rotary"):
        if flavor.fused:
            return b.constant(table[:, : table.shape[1] // 2])
        return b.Unsqueeze(b.Gather(b.constant(table), "position_ids"), b.ints(1))


def _rotated(b, flavor, shared, x, dims):
    if flavor.fused:
        return b.RotaryEmbedding(x, shared.cos, shared.sin, "position_ids")
    left, right = b.Split(x, b.ints(dims // 2, dims // 2), axis=-1, outputs=2)
    return b.Add(b.Mul(x, shared.cos), b.Mul(b.Concat(b.Neg(right), left, axis=-1), shared.sin))


def _seen(b, flavor, capacity):
    """[batch, 1, tokens, slots] bool. In a static cache a slot is a position, and a token sees those up to its own; an
    appended one is seen where `attention_mask` says that it holds a token, by those that come at it or after it."""
    with b.within("mask"):
        if flavor.static:
            slots = b.constant(torch.arange(capacity))
            return b.LessOrEqual(slots, b.Unsqueeze(b.Unsqueeze("position_ids", b.ints(1)), b.ints(3)))
        total, tokens = b.Shape("attention_mask", start=1, end=2), b.Shape("position_ids", start=1, end=2)
        slots = b.Range(*(b.Squeeze(end, b.ints(0)) for end in (b.ints(0), total, b.ints(1))))
        own = b.Unsqueeze(b.Slice(slots, b.Sub(total, tokens), total, b.ints(0)), b.ints(1))
        held = b.Unsqueeze(b.Unsqueeze("attention_mask", b.ints(1)), b.ints(2))
        return b.And(held, b.LessOrEqual(slots, own))


def embedded(b: Writer, model: Llama, inputs: str) -> str:
    """Embeddings of what comes in, [batch, tokens, hidden_size]; ids from vocab_size on are rows of `prompt_table`."""
    if inputs == "embeds":
        return "inputs_embeds"
    words = b.weight("model.embed_tokens.weight", model.model.embed_tokens.weight)
    with b.within("embed_tokens"):
        if inputs == "ids":
            return b.Gather(words, "input_ids")
        count = b.ints(model.config.vocab_size)
        word = b.Less("input_ids", count)
        zero = b.ints(0)
        entries = b.Where(word, zero, b.Sub("input_ids", count)), b.Where(word, "input_ids", zero)
        row, token = b.Gather("prompt_table", entries[0]), b.Gather(words, entries[1])
        return b.Where(b.Unsqueeze(word, b.ints(2)), token, row)


def logits(b: Writer, model: Llama, flavor: Flavor, x: str, every: bool) -> str:
    """[batch, tokens, hidden_size] -> `logits` in FP32, of every token, or [batch, vocab_size] of the token `last`."""
    if not every:
        x = b.GatherND(x, b.Unsqueeze("last", b.ints(1)), batch_dims=1)
    with b.within("model"):
        x = norm(b, model.model.norm, flavor, x, "model.norm")
    if b.dtype == torch.float32:
        with b.within("lm_head"):
            return b.MatMul(x, b.weight("lm_head.weight", model.lm_head.weight.T), output="logits")
    return b.Cast(b.linear(x, model.lm_head, "lm_head"), to=TensorProto.FLOAT, output="logits")
