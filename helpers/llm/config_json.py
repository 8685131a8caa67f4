"""The config.json of a folder of Hugging Face. Needs no torch."""

from typing import Any

from helpers.errors import BadInput, entry
from helpers.files import PathLike, read_json

PARTS = ("text_config", "llm_config")
FIX = "give the folder that save_pretrained wrote"


def read(path: PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the table of the language model, the whole one), which are the same where the model is nothing else.

    Raises BadInput if the file is not there or is no table, or a part of it is none.
    """
    table = read_json(path, "the configuration of a Llama in Hugging Face's form", FIX)
    if not isinstance(table, dict):
        raise BadInput(path, f"a {type(table).__name__}", "a table", FIX)
    return next(filter(None, (entry(table, key, {}, path, FIX) for key in PARTS)), table), table
