"""The parts of a policy, as TensorRT-OpenVLA takes them: the language model for an engine, the rest for PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic, check_target
from helpers.llm import folder as hugging_face
from helpers.llm import merge, tokenizer
from helpers.models.checkpoints import check_tensors, read_checkpoint
from helpers.policy import folder
from helpers.policy.policy import Policy
from helpers.systems.openvla import published
from helpers.systems.openvla.network import OpenVLA

LANGUAGE = "LLM_backbone"
PARTS = ("vision_backbone", "projector")  # each a file NAME.pth
CONFIG = "openvla_config.json"


@typed
def save_backbone(source: PathLike, save_dir: PathLike, shard: int = hugging_face.SHARD) -> Path:
    """Write the parts of a policy's folder: LLM_backbone/, a plain Llama that every tool converts, with the tokenizer;
    vision_backbone.pth and projector.pth, tables of tensors without prefix; openvla_config.json. All types stay.

    Raises:
        BadInput: as `load`, or a `save_dir` that is or holds the source, or what no such parts are; nothing is written
            then.
    """
    hugging_face.check_out(save_dir, source, written=(LANGUAGE, *(f"{name}.pth" for name in PARTS), CONFIG))
    check_target(save_dir, folder=True)
    config, stats = folder.read_config(source)
    state = hugging_face.read_weights(source)
    with torch.device("meta"):
        wanted = OpenVLA(config).state_dict()
    kept = {name: tensor for name, tensor in state.items() if not merge.DROPPED.fullmatch(name)}
    check_tensors(kept, wanted, source, folder.FIX)
    with atomic(save_dir, folder=True) as part:
        part.mkdir(exist_ok=True)
        language = merge.take(kept, source, "language_model.")
        hugging_face.save(part / LANGUAGE, language, dict(config.language), source, shard)
        for name in PARTS:
            torch.save(_under(f"{name}.", kept), part / f"{name}.pth")
        told = published.table_of(config, stats)
        (part / CONFIG).write_text(json.dumps(told, indent=2) + "\n")
    return as_path(save_dir)


@typed
def load_backbone(save_dir: PathLike, dtype: torch.dtype = torch.float32) -> Policy:
    """The policy of what `save_backbone` wrote; raises BadInput for a part that is absent, damaged or another's."""
    root = as_path(save_dir)
    if not (root / CONFIG).is_file():
        expected = f"{LANGUAGE}/, {', '.join(f'{name}.pth' for name in PARTS)} and {CONFIG}"
        raise BadInput(root, "no parts of a policy", expected, "python -m helpers policy save-backbone --help")
    config, stats = folder.read_config(root, CONFIG)
    state = {f"language_model.{name}": tensor for name, tensor in hugging_face.read_weights(root / LANGUAGE).items()}
    for name in PARTS:
        state |= {f"{name}.{key}": tensor for key, tensor in read_checkpoint(root / f"{name}.pth").items()}
    network = folder.assembled(config, state, root, dtype)
    return folder.policy_of(network, tokenizer.read(root / LANGUAGE), stats, str(root))


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
