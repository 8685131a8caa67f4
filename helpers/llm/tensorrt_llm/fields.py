"""The fields of a checkpoint's config.json: what is refused, and what an exporter writes wrongly and is put right."""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

from helpers.errors import BadInput, entry
from helpers.files import PathLike
from helpers.layers.llama import LlamaConfig
from helpers.llm import config_json
from helpers.llm.formats import FORMATS, GROUP
from helpers.llm.sizes import SIZES, llama_sizes

ARCHITECTURES = {"LlamaForCausalLM", "LlavaLlamaForCausalLM"}  # the second is written for OmniDrive's, and corrected
EXPECTED = {  # what another value would change in the network
    "hidden_act": ("silu", "swiglu", None),
    "position_embedding_type": ("rope_gpt_neox", None),
    "rotary_scaling": (None,),
    "mlp_bias": (False, None),
    "attn_bias": (False, None),
    "bias": (False, None),
    "residual_mlp": (False, None),
    "share_embedding_table": (False, None),
    "rotary_pct": (1.0, None),
    "use_parallel_embedding": (False, True, None),
    "embedding_sharding_dim": (0, 1, None),
    "qk_layernorm": (False, None),
    "embedding_multiplier": (1.0, None),
    "attention_multiplier": (1.0, None),
    "residual_multiplier": (1.0, None),
    "output_multiplier_scale": (1.0, None),
}
FIX = "build it with the tools it was made with, or convert the model again"


class Correction(NamedTuple):
    """One field of config.json: what it said, what it has to say, and why."""

    field: str
    was: Any
    now: Any
    why: str


def check_handled(table: dict[str, Any], path: PathLike) -> int:
    """The number of GPUs a checkpoint is for; BadInput, by name, for what cannot be read back."""
    settings, mapping = (entry(table, key, {}, path, FIX) for key in ("quantization", "mapping"))
    found = {"architecture": table.get("architecture"), "pp_size": mapping.get("pp_size", 1)}
    found |= {key: settings.get(key) for key in ("quant_algo", "kv_cache_quant_algo")}
    allowed: dict[str, Iterable] = {
        "architecture": ARCHITECTURES,
        "kv_cache_quant_algo": (None, "FP8"),
        "pp_size": (1,),
    }
    allowed["quant_algo"] = [form.algo for form in FORMATS.values()]
    if settings.get("quant_algo") == "W4A16_AWQ":
        found["group_size"], allowed["group_size"] = settings.get("group_size"), (GROUP, None)
    found |= {key: table.get(key, values[-1]) for key, values in EXPECTED.items()}
    for key, value in found.items():
        choices = list(dict.fromkeys(allowed.get(key, EXPECTED.get(key, ()))))
        if not any(value == choice and type(value) in (type(choice), int, float) for choice in choices):
            raise BadInput(path, f"{key} {value!r}, which is not handled", f"one of {choices}", FIX)
    tp = mapping.get("tp_size", 1)
    if type(tp) is not int or tp < 1 or mapping.get("world_size", tp) != tp:
        raise BadInput(path, f"tp_size {tp!r} of {mapping.get('world_size')!r} GPUs", "tensor parallelism alone", FIX)
    return tp


def llama_config(table: dict[str, Any], path: PathLike) -> LlamaConfig:
    """The sizes of a corrected table."""
    values = {key: table.get(key) for key in SIZES}
    groups = table.get("num_key_value_heads")
    values |= {"num_key_value_heads": groups if groups is not None else table.get("num_attention_heads"),
               "max_position_embeddings": table.get("max_position_embeddings", 2048),
               "rms_norm_eps": table.get("norm_epsilon"), "rope_theta": table["rotary_base"]}  # fmt: skip
    return llama_sizes(values, table.get("head_size"), path, FIX)


def correct(table: dict[str, Any], names: Iterable[str], base: dict[str, Any] | None = None
            ) -> tuple[dict[str, Any], list[Correction]]:  # fmt: skip
    """(config.json with its fields put right, what was changed).

    ModelOpt 0.47 leaves out `rotary_base`, so that TensorRT-LLM takes 10000 whatever the model has; writes the model's
    type as that of the logits; and calls INT4 without AWQ's scales AWQ with them. OmniDrive's own class is a Llama.

    Args:
        names: of the tensors of rank 0.
        base: config.json of the Hugging Face model.

    Raises BadInput for a base whose RoPE is not the plain one, which no field of these could say.
    """
    changed, found = copy.deepcopy(table), []

    def put(holder, field, now, why):
        if (was := holder.get(field)) != now or field not in holder:
            holder[field] = now
            found.append(Correction(field, was, now, why))

    put(changed, "architecture", "LlamaForCausalLM", "trtllm-build knows the class of a plain Llama alone")
    put(changed, "logits_dtype", "float32", "the sampler takes logits in FP32, as the converter writes")
    fix = "give config.json of the model as Hugging Face has it"
    theta, rope = config_json.rotation(base, "base", fix) if base else (None, {})
    if found_rope := rope or (base or {}).get("rope_scaling"):
        raise BadInput("base", f"RoPE that is scaled: {found_rope!r:.200}", "the plain one", FIX)
    if theta is not None or "rotary_base" not in changed:
        put(changed, "rotary_base", theta or 10000.0, "TensorRT-LLM would take 10000" if theta else "its default, said")
    put(changed, "rotary_scaling", None, "its default, said")
    settings = changed.get("quantization") or {}
    if settings.get("quant_algo") == "W4A16_AWQ":
        scaled = any(name.endswith(".prequant_scaling_factor") for name in names)
        put(settings, "pre_quant_scale", scaled, "there are such tensors" if scaled else "there are no such tensors")
    return changed, found
