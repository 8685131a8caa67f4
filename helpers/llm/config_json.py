"""The config.json of a folder of Hugging Face. Needs no torch."""

from collections.abc import Mapping
from typing import Any

from helpers.errors import BadInput, entry
from helpers.files import PathLike, read_json

THETA = 10000.0  # where no file tells it
PARTS = ("text_config", "llm_config")
FIX = "give the folder that save_pretrained wrote"


def rotation(table: Mapping[str, Any], path: PathLike, fix: str) -> tuple[Any, dict[str, Any]]:
    """(theta, what else is told of RoPE, {} for the plain one).

    Theta stands in `rope_theta`, as older files have it, or in `rope_parameters`; 10000 where in neither. BadInput for
    two that differ.
    """
    rope = entry(table, "rope_parameters", {}, path, fix)
    told = [each["rope_theta"] for each in (table, rope) if each.get("rope_theta") is not None]
    if told and told[0] != told[-1]:
        found = f"rope_theta {table['rope_theta']!r}, and {rope['rope_theta']!r} in rope_parameters"
        raise BadInput(path, found, "one of them", fix)
    plain = rope.get("rope_type", rope.get("type", "default")) == "default"
    return (told or [THETA])[0], {} if plain and not any(isinstance(each, dict) for each in rope.values()) else rope


def read(path: PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the table of the language model, the whole one), which are the same where the model is nothing else.

    Raises BadInput if the file is not there or is no table, or a part of it is none.
    """
    table = read_json(path, "the configuration of a Llama in Hugging Face's form", FIX)
    if not isinstance(table, dict):
        raise BadInput(path, f"a {type(table).__name__}", "a table", FIX)
    return next(filter(None, (entry(table, key, {}, path, FIX) for key in PARTS)), table), table
