"""Folders of OpenVLA in Hugging Face's form, as published and as trained here: read and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helpers.arguments import typed
from helpers.errors import BadInput, entry
from helpers.files import PathLike, as_path, read_json
from helpers.llm import folder as hugging_face
from helpers.llm import tokenizer
from helpers.llm.pytorch import TorchModel
from helpers.models.checkpoints import check_tensors
from helpers.policy.policy import Policy
from helpers.systems.openvla import published
from helpers.systems.openvla.config import Config
from helpers.systems.openvla.network import OpenVLA

Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
STATISTICS = "dataset_statistics.json"  # of a fine-tune, beside config.json
FIX = "take all files of one model"


@typed
def read_config(folder: PathLike, name: str = "config.json") -> tuple[Config, dict[str, Any]]:
    """(configuration, statistics of actions by data set) of a folder's config.json, or its file `name`.

    Raises:
        BadInput: no such file, another model's, a Llama that is not handled, no statistics.
    """
    path = as_path(folder) / name
    table = read_json(path, "the configuration of an OpenVLA", FIX)
    config = published.config_of(table, path)
    text = entry(table, "text_config", {}, path, FIX)
    told = hugging_face.llama_config({**config.language, "rope_theta": None, **text}, path)
    config = replace(config, language=asdict(told))
    fine_tuned = path.with_name(STATISTICS)
    stats = read_json(fine_tuned, "statistics of actions", FIX) if fine_tuned.exists() else table.get("norm_stats")
    if not isinstance(stats, dict) or not all(isinstance(each, dict) and "action" in each for each in stats.values()):
        raise BadInput(path, "no norm_stats of actions", "{data set: {action: {q01, q99, mask}}}", FIX)
    return config, stats


@typed
def load(folder: PathLike, dtype: torch.dtype = torch.float32) -> Policy:
    """The policy of a folder: config.json, weights in one file or in shards, tokenizer.json.

    Args:
        dtype: of weights and arithmetic.

    Raises:
        BadInput: files that are absent or damaged, or that do not belong together.
    """
    _, stats = read_config(folder)
    return policy_of(load_network(folder, dtype), tokenizer.read(folder), stats, str(folder))


@typed
def load_network(folder: PathLike, dtype: torch.dtype = torch.float32) -> OpenVLA:
    """The network of a folder, which `helpers.export` exports; raises as `load`."""
    return assembled(read_config(folder)[0], hugging_face.read_weights(folder), folder, dtype)


def assembled(config: Config, state: Mapping[str, Tensor], where: PathLike, dtype: torch.dtype) -> OpenVLA:
    """The network with tensors from `where` and no second copy of them; BadInput if they are not its own."""
    with torch.device("meta"):
        network = OpenVLA(config)
    kept = hugging_face.without_rotation(state, network.language_model.config, where)
    check_tensors(kept, network.state_dict(), where, FIX)
    network.load_state_dict({name: tensor.to(dtype) for name, tensor in kept.items()}, assign=True)
    return network.requires_grad_(False).eval()


def policy_of(network: OpenVLA, words: tokenizer.Tokenizer, norm_stats: Mapping[str, Any], name: str) -> Policy:
    """The policy of a network in PyTorch."""
    if (tokens := max(words.vocab.values()) + 1) != network.config.action_vocab:
        expected = f"{network.config.action_vocab}, the last of which are those of actions"
        raise BadInput(name, f"a tokenizer of {tokens} tokens", expected, FIX)
    (output,) = network.config.output_shapes()
    run = vision_of(network)
    language = TorchModel(network.language_model)
    return Policy(name, network.config, words, norm_stats, lambda feeds: run(feeds)[output], language)


def vision_of(network: OpenVLA) -> Run:
    """The vision side of a network as a function of arrays by name."""
    weight = next(network.parameters())

    @torch.no_grad()
    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = network(**{name: torch.from_numpy(array).to(weight) for name, array in feeds.items()})
        names = network.config.output_shapes()
        return {name: out.float().cpu().numpy() for name, out in zip(names, outputs, strict=True)}

    return run


@typed
def save(out: PathLike, network: OpenVLA, norm_stats: Mapping[str, Any], words: PathLike,
         shard: int = hugging_face.SHARD) -> Path:  # fmt: skip
    """Write a folder that `load` reads, in the form of the published ones, whole or not at all.

    Args:
        words: a folder with the tokenizer's files. shard: bytes of tensors in one file at most.
    """
    table = published.table_of(network.config, norm_stats)
    return hugging_face.save(out, network.state_dict(), table, words, shard, published.KINDS)
