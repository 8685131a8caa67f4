"""The sizes of a Llama as a file tells them: each within its bounds before anything is made of them."""

from typing import Any

from helpers.errors import BadInput
from helpers.files import PathLike
from helpers.layers.llama import LlamaConfig

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
MOST, MOST_LAYERS, MOST_POSITIONS = 1 << 22, 1 << 10, 1 << 30  # some ten times those of the largest that are published
REALS = {"rms_norm_eps": (0.0, 1.0), "rope_theta": (1.0, 1e30)}


def llama_sizes(values: dict[str, Any], width: Any, path: PathLike, fix: str) -> LlamaConfig:
    """The configuration of these values, every field of LlamaConfig by name.

    Args:
        width: of a head, where the file tells it; None or 0 where not.
        path, fix: the file and what to do about it, for the message.

    Raises:
        BadInput: a size that is no whole number within its bounds, another number that is not within its own, or heads
            that do not divide evenly.
    """
    for key, value in values.items():
        if key in REALS:
            least, most = REALS[key]
            if type(value) not in (int, float) or not least < value <= most:
                raise BadInput(path, f"{key} {value!r}", f"a number above {least:g}, at most {most:g}", fix)
            continue
        limit = {"num_hidden_layers": MOST_LAYERS, "max_position_embeddings": MOST_POSITIONS}.get(key, MOST)
        if type(value) is not int or not 0 < value <= limit:
            raise BadInput(path, f"{key} {value!r}", f"a whole number above zero, at most {limit}", fix)
    config = LlamaConfig(**values | {"rope_theta": float(values["rope_theta"])})
    heads, groups, width = config.num_attention_heads, config.num_key_value_heads, width or config.head_dim
    if config.hidden_size % heads or heads % groups or config.head_dim % 2 or width != config.head_dim:
        found = f"hidden_size {config.hidden_size}, {heads} heads of {width!r}, {groups} for keys"
        raise BadInput(path, found, "heads of one even width that divide evenly", fix)
    return config
