"""A Llama of this project's plugins: attention over a cache in place, norms with their sum, matrix-vector products.

A layer is seven nodes, or eight kernels for a token: two norms, the projections of queries, keys and values as one,
attention, which takes two, the projection behind it, gate and up as one, and down. What is standard ONNX beside them is
the embedding and the first norm, which has nothing to add.
"""

import torch
from onnx import TensorProto
from torch import nn

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN, add_rms_norm, cached_attention, matvec, matvec_int4
from helpers.layers.llama import Attention, Llama, RMSNorm, rotary
from helpers.llm.flavors import Flavor
from helpers.llm.onnx import blocks
from helpers.llm.onnx.writer import Writer
from helpers.llm.tensorrt_llm.quantized import Parts, QuantizedLinear
from helpers.ops.matvec_int4 import pack


def write(b: Writer, model: Llama, flavor: Flavor, x: str, capacity: int, every: bool) -> None:
    """All from the embeddings [batch, tokens, hidden_size] to `logits`; `every` as `export` says.

    Raises:
        BadInput: a model that rounds activations or its cache, which no plugin does.
    """
    _check(model)
    config = model.config
    cos, sin = rotary(capacity, config.head_dim, config.rope_theta)
    half = config.head_dim // 2
    rotation = b.kept("rotation", torch.cat([cos[:, :half], sin[:, :half]], 1))
    more = ""  # what the part before gave, not yet added to x
    with b.within("model"):
        for number, layer in enumerate(model.model.layers):
            name = f"model.layers.{number}"
            with b.within(f"layers.{number}"):
                normal, x = _norm(b, layer.input_layernorm, flavor, x, more, f"{name}.input_layernorm")  # type: ignore[arg-type]
                more = _attention(b, layer.self_attn, flavor, rotation, normal, number)  # type: ignore[arg-type]
                normal, x = _norm(b, layer.post_attention_layernorm, flavor, x, more,  # type: ignore[arg-type]
                                  f"{name}.post_attention_layernorm")  # fmt: skip
                more = _mlp(b, layer.mlp, flavor, normal, f"{name}.mlp")  # type: ignore[arg-type]
    if not every and not flavor.single:
        last = b.Unsqueeze("last", b.ints(1))
        x, more = (b.GatherND(tensor, last, batch_dims=1) for tensor in (x, more))
    with b.within("model"):
        normal, _ = _norm(b, model.model.norm, flavor, x, more, "model.norm")
    found = _linear(b, flavor, normal, [model.lm_head], "lm_head")
    found = b.Squeeze(found, b.ints(1)) if flavor.single and not every else found
    b.Cast(found, to=TensorProto.FLOAT, output="logits")


def _check(model):
    for name, module in model.named_modules():
        rounds = isinstance(module, QuantizedLinear) and module.parts.activation is not None
        if rounds or (isinstance(module, Attention) and not isinstance(module.cached, nn.Identity)):
            raise BadInput(name, "activations or a cache in eight bits", "fp16, w8a16, w4a16 or awq",
                           "choose another flavor")  # fmt: skip


def _norm(b, module: RMSNorm, flavor, x, more, name):
    """(normalized sum, sum) of x and what is to be added."""
    if not more:
        return blocks.norm(b, module, flavor, x, name), x
    weight = b.weight(f"{name}.weight", module.weight)
    with b.within(name.rpartition(".")[2]):
        return b.add(add_rms_norm.OP_TYPE, x, more, weight, outputs=2, domain=DOMAIN, epsilon=module.eps)


def _attention(b, module: Attention, flavor, rotation, x, number):
    name = f"model.layers.{number}.self_attn"
    parts = [module.q_proj, module.k_proj, module.v_proj]
    past, present = ([names.format(number, part) for part in ("key", "value")] for names in blocks.CACHE)
    with b.within("self_attn"):
        qkv = _linear(b, flavor, x, parts, f"{name}.qkv_proj")
        attended, *_ = b.add(cached_attention.OP_TYPE, qkv, "write_indices", rotation, *past,
                             outputs=["", *present], domain=DOMAIN)  # fmt: skip
        return _linear(b, flavor, attended, [module.o_proj], f"{name}.o_proj")


def _mlp(b, module, flavor, x, name):
    with b.within("mlp"):
        both = _linear(b, flavor, x, [module.gate_proj, module.up_proj], f"{name}.gate_up_proj", gated=True)
        return _linear(b, flavor, both, [module.down_proj], f"{name}.down_proj")


def _linear(b, flavor, x, modules, name, gated=False):
    """[..., in] -> [..., out] of layers side by side; gated, the silu of the first one times the second."""
    with b.within(name.rpartition(".")[2]):
        if flavor.single and all(isinstance(one, QuantizedLinear) and one.parts.bits == 4 for one in modules):
            return _four_bits(b, x, [one.parts for one in modules], name, gated)
        weight = torch.cat([_plain(one) for one in modules]) if len(modules) > 1 else _plain(modules[0])
        if flavor.single:
            return _product(b, matvec.OP_TYPE, gated, x, b.weight(f"{name}.weight", weight))
        sums = b.MatMul(x, b.weight(f"{name}.weight", weight.T))
        if not gated:
            return sums
        rows = len(weight) // 2
        gate, up = b.Split(sums, b.ints(rows, rows), axis=-1, outputs=2)
        return b.Mul(b.Mul(gate, b.Sigmoid(gate)), up)


def _product(b, op_type, gated, *operands):
    return b.add(op_type, *operands, domain=DOMAIN, gated=int(gated))


def _plain(module):
    """[out, in], of a quantized layer what its codes stand for."""
    if isinstance(module, QuantizedLinear) and module.parts.prequant is not None:
        return module.weight * module.parts.prequant.float()
    return module.weight


def _four_bits(b, x, layers: list[Parts], name, gated):
    """Layers that share their input share what it is multiplied with."""
    if (prequant := layers[0].prequant) is not None:
        x = b.Mul(x, b.weight(f"{name}.prequant", prequant.float()))
    words = b.kept(f"{name}.weight", torch.cat([pack(parts.codes) for parts in layers]))
    scale = b.weight(f"{name}.scale", torch.cat([parts.scale.float().expand(len(parts.codes), -1) for parts in layers]))
    return _product(b, matvec_int4.OP_TYPE, gated, x, words, scale)
