"""A Llama, plain or quantized, as a checkpoint folder of TensorRT-LLM: config.json and one file of tensors per GPU."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm.build import MOST_GPUS
from helpers.llm.folder import check_out
from helpers.llm.formats import EMBEDDING, GROUP, HEAD, KV_SCALE, NORM, NORMS, PLACES, Format, chosen
from helpers.llm.tensorrt_llm import mixed_gemm, parallel
from helpers.llm.tensorrt_llm.quantized import Parts, QuantizedCache, QuantizedLinear, check_finite, torch_dtype
from helpers.models.checkpoints import write_tensors

CONFIG, RANK = "config.json", "rank{}.safetensors"


@typed
@torch.no_grad()
def write(model: Llama, out: PathLike, name: str, tp: int = 1, sm: int = 80, dtype: str | None = None) -> Path:
    """Write `model` in the format `name` for `tp` GPUs; the folder is whole or absent.

    Args:
        model: plain for "fp16" and "bf16"; for the others what `quantize` made with the same name and dtype.
        tp: tensor parallelism: GPUs that share every layer.
        sm: compute capability of the GPU, which decides the order of the weights in W8A16 and W4A16 and nothing else.
        dtype: of what is not quantized; None for the format's usual one.

    Raises:
        BadInput: a model that was not quantized in this format, heads or sizes that cannot be shared among `tp` GPUs,
            numbers that the type cannot hold, an `out` that holds what is no model's.
    """
    form, out = chosen(name), as_path(out)
    check_out(out)
    dtype = dtype or form.dtype
    kind = torch_dtype(dtype)
    _check(model, form, name, tp)
    with atomic(out, folder=True) as part:
        table = config_json(model.config, form, dtype, tp)
        (part / CONFIG).write_text(json.dumps(table, indent=4) + "\n")
        for rank in range(tp):
            tensors = _tensors(model, form, kind, rank, tp, sm)
            for key, tensor in tensors.items():
                check_finite(key, tensor)
            write_tensors(tensors, part / RANK.format(rank), {"format": "pt"} | described(form, rank, tp, sm))
    return out


def described(form: Format, rank: int, tp: int, sm: int) -> dict[str, str]:
    """What the metadata of a file of tensors says of it, which its name and its shapes do not: whose part it is, and
    in which order its weights are packed. TensorRT-LLM reads tensors alone.
    """
    order = {"order": f"sm{mixed_gemm.form(sm)}"} if form.preprocessed else {}
    return {"rank": str(rank), "tp_size": str(tp)} | order


def config_json(config: LlamaConfig, form: Format, dtype: str, tp: int) -> dict[str, Any]:
    """The table of config.json, with every key that the converter for Llama writes."""
    sizes = {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_size": config.head_dim,
        "intermediate_size": config.intermediate_size,
    }
    network = {
        "hidden_act": "silu",
        "norm_epsilon": config.rms_norm_eps,
        "position_embedding_type": "rope_gpt_neox",
        "rotary_base": config.rope_theta,
        "rotary_scaling": None,
        "mlp_bias": False,
        "attn_bias": False,
        "residual_mlp": False,
        "disable_weight_only_quant_plugin": False,
    }
    embedding = {"use_parallel_embedding": False, "embedding_sharding_dim": 0, "share_embedding_table": False}
    quantization = {
        "quant_algo": form.algo,
        "kv_cache_quant_algo": form.kv,
        "group_size": GROUP,
        "smoothquant_val": 0.5,
        "clamp_val": None,
        "has_zero_point": False,
        "pre_quant_scale": form.prequant,
        "exclude_modules": ["lm_head"] if form.algo else None,
    }
    mapping = {"world_size": tp, "tp_size": tp, "pp_size": 1}
    head = {"architecture": "LlamaForCausalLM", "dtype": dtype, "logits_dtype": "float32"}
    return head | sizes | network | embedding | {"mapping": mapping, "quantization": quantization}


def _check(model, form, name, tp):
    config = model.config
    if not 1 <= tp <= MOST_GPUS:
        raise BadInput("tp", tp, f"1 to {MOST_GPUS} GPUs", "choose another number")
    shared = {"num_key_value_heads": config.num_key_value_heads, "num_attention_heads": config.num_attention_heads,
              "intermediate_size": config.intermediate_size}  # fmt: skip
    if uneven := [f"{key} {value}" for key, value in shared.items() if value % tp]:
        raise BadInput("tp", f"{tp}, with {', '.join(uneven)}", "a divisor of these", "choose fewer GPUs")
    inputs = {"hidden_size": config.hidden_size, "intermediate_size": config.intermediate_size}
    if form.algo == "W4A16_AWQ" and (uneven := [f"{k} {v}" for k, v in inputs.items() if v // tp % GROUP]):
        raise BadInput(
            "tp", f"{tp}, with {', '.join(uneven)}", f"groups of {GROUP} that stay whole", "choose fewer GPUs"
        )
    for layer in model.model.layers:
        linear = layer.self_attn.q_proj
        is_quantized = isinstance(linear, QuantizedLinear)
        if is_quantized != bool(form.algo) or (is_quantized and _algo(linear.parts, layer.self_attn) != form.algo):
            found = "a model that is not quantized" if not is_quantized else "a model quantized in another format"
            raise BadInput(name, found, f"what quantize makes for {name}", "pass quantize's result")


def _algo(parts, attention):
    """The `quant_algo` that parts can be written in."""
    if isinstance(attention.cached, QuantizedCache):
        return "FP8"
    if parts.group:
        return "W4A16_AWQ"
    if parts.activation is not None:
        return "W8A8_SQ_PER_CHANNEL"
    return f"W{parts.bits}A16"


def _tensors(model, form, kind, rank, tp, sm):
    """What one GPU holds, by TensorRT-LLM's names."""
    head = parallel.padded(model.lm_head.weight.data, tp).chunk(tp)[rank]
    tensors = {EMBEDDING: model.model.embed_tokens.weight.data, NORM: model.model.norm.weight.data, HEAD: head}
    tensors = {name: tensor.to(kind).clone() for name, tensor in tensors.items()}
    for number, layer in enumerate(model.model.layers):
        prefix = f"transformer.layers.{number}."
        for ours, theirs in NORMS.items():
            tensors[f"{prefix}{ours}.weight"] = layer.get_submodule(theirs).weight.data.to(kind)
        for target, place in PLACES.items():
            linears = [layer.get_submodule(f"{place.block}.{name}") for name in place.layers]
            pieces = [parallel.cut(_parts(linear), place.axis, tp)[rank] for linear in linears]
            whole = parallel.stack(pieces, where=prefix + target)
            tensors |= {f"{prefix}{target}.{key}": value for key, value in _encoded(whole, form, kind, sm).items()}
        if form.kv:
            tensors[prefix + KV_SCALE] = layer.self_attn.cached.scale.float()
    return tensors


def _parts(linear: nn.Module) -> Parts:
    """The parts of a layer; a plain weight is codes with a scale of one."""
    if isinstance(linear, QuantizedLinear):
        return linear.parts
    return Parts(linear.weight.data, torch.ones(1, 1))  # type: ignore[arg-type, union-attr]


def _encoded(parts: Parts, form: Format, kind: torch.dtype, sm: int) -> dict[str, Tensor]:
    """The tensors of one linear layer."""
    if form.algo is None:
        return {"weight": parts.codes.to(kind)}
    if form.preprocessed:
        packed = mixed_gemm.pack(parts.codes.T.contiguous(), form.bits, sm)
        return {"weight": packed, "per_channel_scale": parts.scale.flatten().to(kind)}
    weight = mixed_gemm.nibbles(parts.codes.T).T if form.bits == 4 else parts.codes
    scale = parts.scale.float() if parts.group else parts.scale.float().flatten()
    found = {"weight": weight, "weights_scaling_factor": scale}
    if parts.prequant is not None:
        found["prequant_scaling_factor"] = parts.prequant.to(kind)
    if parts.activation is not None:
        found["activation_scaling_factor"] = parts.activation.float()
    return found
