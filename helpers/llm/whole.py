"""One file with a whole network: its own tensors, and those of its language model behind a prefix, as published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic, check_distinct
from helpers.llm import folder
from helpers.llm.merge import ANCHOR, DROPPED
from helpers.models.checkpoints import read_checkpoint, write_tensors

if TYPE_CHECKING:
    from torch import Tensor


@typed
def save_whole(checkpoint: PathLike, language: PathLike, out: PathLike, prefix: str) -> Path:
    """Write one safetensors file with the tensors of a checkpoint, and those of a language model behind `prefix`.

    `helpers.models.load_checkpoint` reads the network out of it again, whose configuration names the prefix among what
    is `elsewhere`, and `helpers.llm.merge.save_language_model` the language model. Types stay what they were.

    Args:
        checkpoint: of the network without a language model.
        language: folder of Hugging Face, a plain Llama.
        prefix: such as "lm_head.", with its dot.

    Raises:
        BadInput: what cannot be read, a checkpoint with a language model or with tensors of that prefix, a folder whose
            tensors are not those of its config.json, an output that is an input; nothing is written then.
    """
    out = as_path(out)
    check_distinct(out, checkpoint, language)
    folder.check_file(out, language)
    if out.suffix != ".safetensors":
        raise BadInput(out, f"the ending {out.suffix!r}", "a name that ends in .safetensors", "rename it")
    if not prefix.endswith("."):
        raise BadInput("prefix", repr(prefix), "a text that ends with a dot, such as 'lm_head.'", "add it")
    own = _without_language_model(checkpoint, prefix)
    config, _ = folder.read_config(language)
    words = {name: tensor for name, tensor in folder.read_weights(language).items() if not DROPPED.fullmatch(name)}
    folder.check(config, words, language)
    with atomic(out) as part:
        write_tensors(own | {f"{prefix}{name}": tensor for name, tensor in words.items()}, part, {"format": "pt"})
    return out


def _without_language_model(checkpoint: PathLike, prefix: str) -> dict[str, Tensor]:
    own = read_checkpoint(checkpoint)
    if held := [name for name in own if name.startswith(prefix) or ANCHOR.fullmatch(name)]:
        found = f"{len(held)} tensors of a language model or of {prefix!r}, such as {held[0]}"
        raise BadInput(checkpoint, found, "a network without its language model", "take the file that has none")
    return own
