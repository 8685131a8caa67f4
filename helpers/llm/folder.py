"""Folders of Hugging Face: config.json, weights in one file or in shards with an index, tokenizer files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic, check_distinct, found_at, read_json, stays_inside
from helpers.layers.llama import Llama, LlamaConfig
from helpers.models.checkpoints import check_tensors, load_tensors, read_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

SINGLE, INDEX = ("model.safetensors", "pytorch_model.bin"), "{}.index.json"
TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
             "added_tokens.json", "generation_config.json")  # fmt: skip
PLAIN = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
DTYPES = ("float16", "bfloat16", "float32")
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
UNHANDLED = {  # what another value of a field would change in the network, and is not in it
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "rope_scaling": None,
    "pretraining_tp": 1,
}
SHARD = 5 << 30  # bytes


def read_config(folder: PathLike) -> tuple[LlamaConfig, dict[str, Any]]:
    """(sizes, the whole table) of a folder's config.json, or of the `text_config` or `llm_config` in it.

    Raises:
        BadInput: no such file, a size that is absent or no positive number, or, by name, what `Llama` does not have:
            biases, tied embeddings, scaled RoPE, another activation, heads of another width.
    """
    path = as_path(folder) / "config.json"
    fix = "give the folder that save_pretrained wrote"
    table = read_json(path, "the configuration of a Llama in Hugging Face's form", fix)
    if not isinstance(table, dict):
        raise BadInput(path, f"a {type(table).__name__}", "a table", fix)
    table = next((table[key] for key in ("text_config", "llm_config") if isinstance(table.get(key), dict)), table)
    return llama_config(table, path), table


def llama_config(table: dict[str, Any], path: PathLike) -> LlamaConfig:
    """The sizes of a table in Hugging Face's form; theta stands in `rope_theta`, or in `rope_parameters`."""
    rope = table.get("rope_parameters") or {}
    found = {key: table.get(key, usual) for key, usual in UNHANDLED.items()}
    if rope.get("rope_type", "default") != "default":
        found["rope_scaling"] = rope
    if other := {key: value for key, value in found.items() if value != UNHANDLED[key]}:
        expected = ", ".join(f"{key} {UNHANDLED[key]}" for key in other)
        raise BadInput(path, f"not handled: {json.dumps(other)}", expected, "convert this model with its own tools")
    values: dict[str, Any] = {key: table.get(key) for key in SIZES}
    values["num_key_value_heads"] = table.get("num_key_value_heads") or table.get("num_attention_heads")
    values["max_position_embeddings"] = table.get("max_position_embeddings", 2048)
    for key, value in values.items():
        if type(value) is not int or value < 1:
            raise BadInput(path, f"{key} {value!r}", "a whole number above zero", "take the model's own config.json")
    eps = table.get("rms_norm_eps", 1e-6)
    theta = table.get("rope_theta", rope.get("rope_theta", 10000.0))
    for key, real in {"rms_norm_eps": eps, "rope_theta": theta}.items():
        if type(real) not in (int, float) or not 0 < real < float("inf"):
            raise BadInput(path, f"{key} {real!r}", "a number above zero", "take the model's own config.json")
    config = LlamaConfig(**values, rms_norm_eps=eps, rope_theta=float(theta))
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    width = table.get("head_dim") or config.head_dim
    if config.hidden_size % heads or heads % groups or config.head_dim % 2 or width != config.head_dim:
        found_text = f"hidden_size {config.hidden_size}, {heads} heads of {width}, {groups} for keys"
        raise BadInput(
            path, found_text, "heads of one even width that divide evenly", "take the model's own config.json"
        )
    return config


def read_weights(folder: PathLike) -> dict[str, Tensor]:
    """All tensors of a folder by name: `model.safetensors` or `pytorch_model.bin`, or their shards by the index.

    Raises:
        BadInput: neither is there, a shard that is absent or damaged, or that lacks a tensor the index promises.
    """
    folder = as_path(folder)
    for name in SINGLE:
        if (folder / name).exists():
            return read_checkpoint(folder / name)
        if (index := folder / INDEX.format(name)).exists():
            return _shards(index)
    found = found_at(folder) if not folder.is_dir() else "a folder with neither"
    raise BadInput(folder, found, f"{' or '.join(SINGLE)}, or shards with an index", "give a model's folder")


def _shards(index):
    expected = '{"weight_map": {tensor: file}}'
    table = read_json(index, expected, "fetch the folder again")
    places = table.get("weight_map") if isinstance(table, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise BadInput(index, "no weight_map", expected, "fetch the folder again")
    if outside := [file for file in places.values() if not stays_inside(file, index.parent)]:
        raise BadInput(index, f"a file {outside[0]!r}", "names within the folder", "fetch the folder again")
    state = {}
    for file in sorted(set(places.values())):
        state |= read_checkpoint(index.parent / file)
    if differing := sorted(state.keys() ^ places.keys()):
        found = f"{len(differing)} tensors in the index or the shards alone, such as {differing[0]}"
        raise BadInput(index, found, "the same in both", "fetch the folder again")
    return state


def check(config: LlamaConfig, state: dict[str, Tensor], where: PathLike) -> None:
    """BadInput if the tensors from `where` are not those of a Llama of this configuration, all of them finite."""
    import torch

    with torch.device("meta"):
        wanted = Llama(config).state_dict()
    check_tensors(state, wanted, where, "take weights and config.json of one model")


def load(folder: PathLike) -> Llama:
    """The Llama of a folder in FP32 and eval mode; raises as `read_config` and `read_weights`, and for what differs."""
    config, _ = read_config(folder)
    state = {name: t for name, t in read_weights(folder).items() if not name.endswith("rotary_emb.inv_freq")}
    return load_tensors(Llama(config), state, folder, "take weights and config.json of one model").eval()


def save(out: PathLike, state: dict[str, Tensor], table: dict[str, Any], tokenizer: PathLike | None = None,
         shard: int = SHARD, kind: dict[str, Any] = PLAIN) -> Path:  # fmt: skip
    """Write a folder that transformers loads as LlamaForCausalLM, whole or not at all.

    Args:
        table: of a config.json; `architectures` and `model_type` become those of `kind`, a plain Llama.
        tokenizer: the folder whose tokenizer files come along.
        shard: bytes of tensors in one file at most, unless one tensor is larger.
    """
    from safetensors.torch import save_file

    out = as_path(out)
    check_apart(out, tokenizer)
    if shard < 1:
        raise BadInput("shard", shard, "a number of bytes above zero", "leave it out")
    parts = _parts(state, shard)
    total = sum(tensor.nbytes for tensor in state.values())
    with atomic(out, folder=True) as part:
        (part / "config.json").write_text(json.dumps(table | kind, indent=2) + "\n")
        for name in TOKENIZER:
            if tokenizer is not None and (source := as_path(tokenizer) / name).is_file():
                shutil.copyfile(source, part / name)
        names = [f"model-{k:05}-of-{len(parts):05}.safetensors" for k in range(1, len(parts) + 1)]
        for name, tensors in zip(names if len(parts) > 1 else SINGLE, parts, strict=False):
            save_file({key: _apart(tensor) for key, tensor in tensors.items()}, part / name, {"format": "pt"})
        if len(parts) > 1:
            places = {key: name for name, tensors in zip(names, parts, strict=True) for key in tensors}
            index = {"metadata": {"total_size": total}, "weight_map": places}
            (part / INDEX.format(SINGLE[0])).write_text(json.dumps(index, indent=2) + "\n")
    return out


def check_apart(out: PathLike, *inputs: PathLike | None) -> None:
    """BadInput if the folder `out`, which is replaced as a whole, is one of `inputs` or holds one."""
    check_distinct(out, *inputs)
    for path in (as_path(path) for path in inputs if path is not None):
        if path.resolve().is_relative_to(as_path(out).resolve()):
            raise BadInput(out, f"the folder holds {path}, an input", "a folder of its own", "give it another name")


def _apart(tensor):
    """A copy that shares its memory with no other tensor, which safetensors refuses."""
    import torch

    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _parts(state, shard):
    """The tensors in their order, in tables of at most `shard` bytes."""
    parts, room = [{}], shard
    for name, tensor in state.items():
        if parts[-1] and tensor.nbytes > room:
            parts, room = [*parts, {}], shard
        parts[-1][name] = tensor
        room -= tensor.nbytes
    return parts
