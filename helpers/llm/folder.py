"""Folders of Hugging Face: config.json, weights in one file or in shards with an index, tokenizer files."""

from __future__ import annotations

import fnmatch
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic, check_distinct, found_at, read_json, stays_inside
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm import config_json
from helpers.llm.sizes import SIZES, llama_sizes
from helpers.models.checkpoints import check_tensors, dtype_of, read_checkpoint, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

SINGLE, INDEX = ("model.safetensors", "pytorch_model.bin"), "{}.index.json"
TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
             "added_tokens.json", "generation_config.json")  # fmt: skip
ROTATION = "rotary_emb.inv_freq"
PLAIN = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
DTYPES = ("float16", "bfloat16", "float32")
KINDS = ("llama", "llava", "llava_llama", "mistral", None)  # of `model_type`: others have factors of their own
WRITTEN = (
    "config.json",
    *TOKENIZER,
    "model*.safetensors",
    "rank[0-9]*.safetensors",
    "model.safetensors.index.json",
    "*_tp*_sm*",
)  # what a folder here may hold
UNHANDLED = {  # what another value of a field would change in the network, and is not in it
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "rope_scaling": None,
    "sliding_window": None,
    "quantization_config": None,
    "pretraining_tp": 1,
}
SHARD = 5 << 30  # bytes


@typed
def read_config(folder: PathLike) -> tuple[LlamaConfig, dict[str, Any]]:
    """(sizes, the whole table) of a folder's config.json, or of the `text_config` or `llm_config` in it.

    Raises:
        BadInput: no such file, a size that is absent or no positive number, or, by name, what `Llama` does not have:
            biases, tied embeddings, scaled RoPE, another activation, heads of another width.
    """
    path = as_path(folder) / "config.json"
    table, _ = config_json.read(path)
    return llama_config(table, path), table


def llama_config(table: dict[str, Any], path: PathLike) -> LlamaConfig:
    """The sizes of a table in Hugging Face's form; theta stands in `rope_theta`, or in `rope_parameters`."""
    fix = "take the model's own config.json"
    if "architecture" in table and "architectures" not in table:
        expected = "that of a folder of Hugging Face, with architectures and model_type"
        raise BadInput(path, "config.json of a TensorRT-LLM checkpoint", expected, "give what it was converted from")
    theta, scaled = config_json.rotation(table, path, fix)
    found = {key: table.get(key, usual) for key, usual in UNHANDLED.items()}
    if table.get("model_type") not in KINDS:
        found["model_type"] = table["model_type"]
    if table.get("model_type") == "mistral" and "sliding_window" not in table:
        found["sliding_window"] = 4096  # what stands for none in transformers
    if scaled:
        found["rope_scaling"] = scaled
    usual = UNHANDLED | {"model_type": KINDS[0]}
    if other := {key: value for key, value in found.items() if value != usual[key]}:
        expected = ", ".join(f"{key} {usual[key]}" for key in other)
        raise BadInput(path, f"not handled: {json.dumps(other)}", expected, "convert this model with its own tools")
    values = {key: table.get(key) for key in SIZES}
    groups = table.get("num_key_value_heads")
    values |= {"num_key_value_heads": groups if groups is not None else table.get("num_attention_heads"),
               "max_position_embeddings": table.get("max_position_embeddings", 2048),
               "rms_norm_eps": table.get("rms_norm_eps", 1e-6), "rope_theta": theta}  # fmt: skip
    return llama_sizes(values, table.get("head_dim"), path, fix)


@typed
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
    files = sorted(set(places.values()))
    if absent := [file for file in files if not (index.parent / file).exists()]:
        expected = f"{len(files)} files that {index.name} names, of which {len(absent)} are absent"
        raise BadInput(index.parent / absent[0], "no such file", expected, "fetch the folder again")
    state = {}
    for file in files:
        tensors, told = read_checkpoint(index.parent / file), {name for name, place in places.items() if place == file}
        if differing := sorted(tensors.keys() ^ told):
            found = f"{len(differing)} tensors for {file} in the index or in {file} alone, such as {differing[0]}"
            raise BadInput(index, found, "each tensor in the file that the index says", "fetch the folder again")
        state |= tensors
    return state


def check(config: LlamaConfig, state: dict[str, Tensor], where: PathLike) -> None:
    """BadInput if the tensors from `where` are not those of a Llama of this configuration, all of them finite."""
    import torch

    with torch.device("meta"):
        wanted = Llama(config).state_dict()
    check_tensors(state, wanted, where, "take weights and config.json of one model")


def without_rotation(state: Mapping[str, Tensor], config: LlamaConfig, where: PathLike) -> dict[str, Tensor]:
    """The tensors without those of `rotary_emb`, which follow from theta; BadInput if they tell of another one."""
    import torch

    power = torch.arange(0, config.head_dim, 2) / config.head_dim
    for name, tensor in state.items():
        if name.endswith(ROTATION) and not (
            tensor.shape == power.shape
            and torch.allclose(tensor.double(), config.rope_theta ** -power.double(), 0.02, 0)
        ):
            found = f"{name}, which is not that of rope_theta {config.rope_theta:g} and head_dim {config.head_dim}"
            raise BadInput(where, found, "weights and config.json of one model", "take both of one model")
    return {name: tensor for name, tensor in state.items() if not name.endswith(ROTATION)}


@typed
def load(folder: PathLike) -> Llama:
    """The Llama of a folder in FP32 and eval mode; raises as `read_config` and `read_weights`, and for what differs."""
    config, _ = read_config(folder)
    import torch

    state = without_rotation(read_weights(folder), config, folder)
    check(config, state, folder)
    with torch.device("meta"):
        model = Llama(config)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return model.eval()


@typed
def save(out: PathLike, state: dict[str, Tensor], table: dict[str, Any], tokenizer: PathLike | None = None,
         shard: int = SHARD, kind: dict[str, Any] = PLAIN) -> Path:  # fmt: skip
    """Write a folder that transformers loads as LlamaForCausalLM, whole or not at all.

    Args:
        table: of a config.json; `architectures` and `model_type` become those of `kind`, a plain Llama.
        tokenizer: the folder whose tokenizer files come along.
        shard: bytes of tensors in one file at most, unless one tensor is larger.
    """
    out = as_path(out)
    check_out(out, tokenizer)
    kinds = {dtype_of(tensor) for tensor in state.values()}
    if len(kinds) == 1:  # a reader casts the weights to what stands there, under the name that it knows
        table = table | dict.fromkeys(("dtype", "torch_dtype"), kinds.pop())
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
            write_tensors(tensors, part / name, {"format": "pt"})
        if len(parts) > 1:
            places = {key: name for name, tensors in zip(names, parts, strict=True) for key in tensors}
            index = {"metadata": {"total_size": total}, "weight_map": places}
            (part / INDEX.format(SINGLE[0])).write_text(json.dumps(index, indent=2) + "\n")
    return out


def check_out(out: PathLike, *inputs: PathLike | None, written: Sequence[str] = WRITTEN) -> None:
    """BadInput if the folder `out`, which is replaced as a whole, is or holds an input, or else what none of `written`
    is a pattern of: by default the names of a model's files."""
    out = as_path(out)
    check_distinct(out, *inputs)
    for path in (as_path(path) for path in inputs if path is not None):
        if path.resolve().is_relative_to(out.resolve()):
            raise BadInput(out, f"the folder holds {path}, an input", "a folder of its own", "give it another name")
    held = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if others := [name for name in held if not any(fnmatch.fnmatchcase(name, pattern) for pattern in written)]:
        found = f"a folder with {others[0]!r} and {len(others) - 1} more that no model's folder has"
        raise BadInput(out, found, "a new folder, or that of a model, which is replaced", "give it another name")


def check_file(out: PathLike, model: PathLike) -> None:
    """BadInput if writing the file `out` would replace one that the folder of a model has."""
    out = as_path(out)
    if out.resolve().parent == as_path(model).resolve() and any(fnmatch.fnmatchcase(out.name, p) for p in WRITTEN):
        raise BadInput(out, "a file of the model that is read", "a file of its own", "give the output another name")


def _parts(state, shard):
    """The tensors in their order, in tables of at most `shard` bytes."""
    parts, room = [{}], shard
    for name, tensor in state.items():
        if parts[-1] and tensor.nbytes > room:
            parts, room = [*parts, {}], shard
        parts[-1][name] = tensor
        room -= tensor.nbytes
    return parts
