"""The language model of a multimodal checkpoint: taken out, merged with its base, saved."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, check_target, read_json
from helpers.llm import folder
from helpers.models.checkpoints import dtype_of, is_plain, read_checkpoint, shape_of

if TYPE_CHECKING:
    from torch import Tensor

ANCHOR = re.compile(r"(?P<prefix>.*?)(?:base_model\.model\.)?model\.embed_tokens\.(?:base_layer\.)?weight")
DROPPED = re.compile(r"weighted_mask|.*rotary_emb\.inv_freq")  # weights of a loss; what the network computes itself
LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<part>[AB])(?:\.default)?\.weight")
MOST_ALPHA = 1e6  # of LoRA; those that are published are below a thousand
KEEPS_BASE = (True, False, "gaussian", "orthogonal", "eva")  # of init_lora_weights; others take from the base's weights
NO_PLAIN = ("use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "alora_invocation_tokens", "use_qalora",
            "use_bdlora", "layer_replication", "arrow_config", "kasa_config", "monteclora_config")  # fmt: skip
PEFT = ("base_model.model.", ".base_layer")  # what PEFT puts before names and into them


def take(state: dict[str, Tensor], where: PathLike, prefix: str | None = None) -> dict[str, Tensor]:
    """The tensors of the language model under their own names, LoRA's among them as PEFT calls them without prefix.

    Args:
        prefix: what stands before `model.embed_tokens.weight`, such as "language_model."; found if None.

    Raises:
        BadInput: no language model, or several, or none under that prefix.
    """
    found = {match["prefix"] for name in state if (match := ANCHOR.fullmatch(name))}
    if prefix is None and len(found) == 1:
        prefix = found.pop()
    if prefix is None or not any(name.startswith(prefix) for name in state):
        said = f"language models under {sorted(found)}" if found else f"none among {len(state)} tensors"
        expected = "one model.embed_tokens.weight behind a prefix" if prefix is None else f"tensors of {prefix!r}"
        raise BadInput(where, said, expected, "name the prefix of the language model")
    taken = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    plain = {name: name.removeprefix(PEFT[0]).replace(PEFT[1], "") for name in taken}
    if len(set(plain.values())) < len(plain):
        twice = next(short for name, short in plain.items() if list(plain.values()).count(short) > 1)
        raise BadInput(where, f"{twice} twice, under PEFT's name and its own", "each tensor once", "save it again")
    return {plain[name]: tensor for name, tensor in taken.items() if not DROPPED.fullmatch(plain[name])}


def merge(base: dict[str, Tensor], tuned: dict[str, Tensor], where: PathLike,
          scale: float | None = None) -> dict[str, Tensor]:  # fmt: skip
    """The base with the fine-tuned tensors in their places and LoRA's products added, W + scale * B A.

    Args:
        base, tuned: by names of a plain Llama; `tuned` may hold `.lora_A.weight` [r, in] and `.lora_B.weight` [out, r].
        scale: alpha / r of the adapters (alpha / sqrt(r) of rank-stabilized ones).

    Raises:
        BadInput: tensors that the base lacks, of another shape, half of an adapter, an adapter without `scale`, or one
            of another kind (DoRA, embeddings).
    """
    pairs, plain = {}, {}
    for name, tensor in tuned.items():
        match = LORA.fullmatch(name)
        if match:
            pairs.setdefault(f"{match['layer']}.weight", {})[match["part"]] = tensor
        else:
            plain[name] = tensor
    if other := sorted(name for name in plain if "lora_" in name):
        raise BadInput(
            where, f"{other[0]} and {len(other) - 1} more", "LoRA of linear layers alone", "merge it with PEFT"
        )
    if unknown := sorted((plain.keys() | pairs.keys()) - base.keys()):
        found = f"{len(unknown)} tensors that the base has not, such as {unknown[0]}"
        raise BadInput(where, found, "a fine-tune of this base", "name the prefix, or take its own base")
    if pairs and scale is None:
        raise BadInput(where, f"{len(pairs)} LoRA adapters", "their alpha", "give alpha, from the training's settings")
    merged = base | {name: _fitting(name, tensor, base[name], where) for name, tensor in plain.items()}
    for name, parts in pairs.items():
        if parts.keys() != {"A", "B"}:
            raise BadInput(where, f"{name}: lora_{next(iter(parts))} alone", "both factors", "save the adapter again")
        a, b = (_real(name, parts[letter], where).double() for letter in "AB")
        if a.ndim != 2 or b.ndim != 2 or b.shape[1] != a.shape[0] or not len(a):
            found = f"{name}: B {shape_of(b)} times A {shape_of(a)}"
            raise BadInput(where, found, "[out,r] times [r,in]", "save the adapter again")
        delta = _fitting(name, b @ a, merged[name], where, cast=False)
        merged[name] = (merged[name].double() + scale * delta).to(merged[name].dtype)
    return merged


def _fitting(name, tensor, wanted, where, cast=True):
    if tensor.shape != wanted.shape:
        found = f"{name} {shape_of(tensor)} instead of {shape_of(wanted)}"
        raise BadInput(
            where, found, "a fine-tune of this base (a grown vocabulary is another base)", "take its own base"
        )
    return _real(name, tensor, where).to(wanted.dtype) if cast else _real(name, tensor, where)


def _real(name, tensor, where):
    if not tensor.is_floating_point() or not is_plain(tensor):
        found = f"{name}: {dtype_of(tensor)}{'' if is_plain(tensor) else ', sparse or packed'}"
        raise BadInput(where, found, "floating point, each number by itself", "dequantize it, or take the original")
    if not tensor.double().isfinite().all():
        raise BadInput(where, f"{name}: not finite", "finite numbers", "fetch the file again")
    return tensor


def _check_precise(state, where):
    """BadInput for numbers of so few bits that what is merged into them would be rounded away."""
    if few := [name for name, tensor in state.items() if tensor.is_floating_point() and tensor.element_size() < 2]:
        found = f"{len(few)} tensors of less than 16 bits, such as {few[0]}: {dtype_of(state[few[0]])}"
        raise BadInput(where, found, "a base in FP16, BF16 or FP32", "take the original, quantize what was merged")


def adapter_scale(path: PathLike, rank: int, alpha: float | None, tuned: Collection[str] = (),
                  base: Collection[str] = ()) -> float | None:  # fmt: skip
    """alpha / rank; None without alpha. An adapter_config.json beside `path` says alpha, or has the same.

    Args:
        tuned, base: names of the adapter's tensors, and of those of the model that it is for.

    Raises:
        BadInput: another alpha than the configuration's, or a configuration of what is no plain LoRA: DoRA, another
            rank, other ranks for some layers, weights that are stored transposed, a base that was changed before the
            training, layers of which the file has no tensor.
    """
    if alpha is not None and not 0 < alpha <= MOST_ALPHA:
        raise BadInput("alpha", alpha, f"a number above 0, at most {MOST_ALPHA:g}", "give that of the training")
    config = as_path(path).parent / "adapter_config.json"
    if not config.is_file():
        return None if alpha is None else alpha / rank
    table = read_json(config, "PEFT's settings", "save the adapter again")
    if not isinstance(table, dict):
        raise BadInput(config, f"a {type(table).__name__}", "PEFT's settings, a table", "save the adapter again")
    wrong = [key for key in NO_PLAIN if table.get(key)] + ["r"] * (table.get("r", rank) != rank)
    wrong += ["peft_type"] * (table.get("peft_type", "LORA") != "LORA")
    wrong += ["init_lora_weights"] * (table.get("init_lora_weights", True) not in KEEPS_BASE)
    found_alpha: Any = table.get("lora_alpha", alpha)
    wrong += ["lora_alpha"] * (type(found_alpha) not in (int, float) or not 0 < found_alpha <= MOST_ALPHA)
    if wrong:
        found = f"{wrong[0]} {table.get(wrong[0])!r:.80}"
        expected = f"plain LoRA of rank {rank} with one alpha above zero"
        raise BadInput(config, found, expected, "merge it with PEFT")
    if lost := [one for key in ("modules_to_save", "target_modules") for one in _lost(table, key, tuned, base)]:
        raise BadInput(path, f"no tensors for some {lost[0]}", f"what {config} tells of", "save the adapter again")
    if alpha not in (None, found_alpha):
        raise BadInput("alpha", alpha, f"{found_alpha}, as {config} has it", "leave alpha out")
    return found_alpha / (math.sqrt(rank) if table.get("use_rslora") else rank)


def _lost(table, key, tuned, base):
    """What the settings name of which the adapter lacks tensors for layers of the base."""
    every = not any(table.get(name) for name in ("layers_to_transform", "layers_pattern", "exclude_modules"))
    for one in table[key] if isinstance(table.get(key), list) else ():
        layers = [name.removesuffix("weight") for name in base if f".{name}".endswith(f".{one}.weight")]
        held = [layer for layer in layers if any(name.startswith(layer) for name in tuned)]
        if len(held) < len(layers) and (every or not held):
            yield one


@typed
def save_language_model(base: PathLike, out: PathLike, checkpoint: PathLike | None = None, prefix: str | None = None,
                        alpha: float | None = None, shard: int = folder.SHARD) -> Path:  # fmt: skip
    """Write the plain Llama of a base folder, with the language model of a checkpoint merged into it; loaded as a test.

    Args:
        base: folder of Hugging Face with config.json, weights and tokenizer; for a multimodal one with everything.
        checkpoint: file with the fine-tune, a whole detector or policy, or a LoRA adapter; None to take the base alone.
        prefix: of the language model in the checkpoint, or else in the base; found if None.
        alpha: of LoRA; else from the adapter_config.json beside the checkpoint.

    Raises:
        BadInput: what cannot be read or does not fit, an output that is an input; nothing is written then.
    """
    folder.check_out(out, base, checkpoint)
    check_target(out, folder=True)
    _, table = folder.read_config(base)
    state = take(original := folder.read_weights(base), base, None if checkpoint else prefix)
    _check_precise(state, base)
    ranks = set()
    if checkpoint is not None:
        tuned = read_checkpoint(checkpoint)
        is_adapter = not any(map(ANCHOR.fullmatch, tuned))
        tuned = take(tuned, checkpoint, prefix or "") if is_adapter else take(tuned, checkpoint, prefix)
        ranks = {t.shape[:1].numel() for name, t in tuned.items() if (m := LORA.fullmatch(name)) and m["part"] == "A"}
        if len(ranks) > 1 or ranks == {0}:
            raise BadInput(checkpoint, f"LoRA of the ranks {sorted(ranks)}", "one rank", "merge it with PEFT")
        scale = adapter_scale(checkpoint, min(ranks), alpha, tuned, state) if ranks else None
        state = merge(state, tuned, checkpoint, scale)
        if not ranks and (lacking := sorted(state.keys() - tuned.keys())):
            found = f"{len(lacking)} tensors fewer than the base has, such as {lacking[0]}"
            raise BadInput(checkpoint, found, "a whole language model, or LoRA", "save all of its tensors")
    if alpha is not None and not ranks:
        raise BadInput("alpha", alpha, "a LoRA adapter that it scales", "name the adapter, or leave alpha out")
    config = folder.llama_config(table, base)
    folder.without_rotation({n: tensor for n, tensor in original.items() if ".self_attn." in n}, config, base)
    folder.check(config, state, checkpoint or base)
    return folder.save(out, state, table, base, shard)
