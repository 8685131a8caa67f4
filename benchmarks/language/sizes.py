"""What is measured: sizes, prompts, and the forms that engines are built in. No torch."""

from typing import NamedTuple

import numpy as np


class Size(NamedTuple):
    """A Llama with its prompt and the tokens that a frame takes, the first one included.

    capacity: tokens that the cache holds, prompt and answer rounded up.
    """

    model: dict[str, int | float]
    prompt: int
    tokens: int
    capacity: int


_TINYLLAMA = {"vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
              "num_attention_heads": 32, "num_key_value_heads": 4, "rms_norm_eps": 1e-5}  # fmt: skip
_LLAMA = {"vocab_size": 32064, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
          "num_attention_heads": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-6}  # fmt: skip
_TINY = {"vocab_size": 512, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5}  # fmt: skip
SIZES = {
    # OmniDrive's: 513 rows of pictures and 64 tokens of text; its published times of a frame are those of 88 steps.
    "tinyllama": Size(_TINYLLAMA, 577, 89, 672),
    "llama2": Size(_LLAMA, 286, 7, 296),  # OpenVLA's: 256 rows of a picture and 30 tokens; an action is 7 tokens
    "tiny": Size(_TINY, 12, 10, 32),
}
SEED = 0
STEPS = 8  # decode steps whose logits are compared


class Form(NamedTuple):
    """Graphs that engines are built from: flavors of `helpers.llm.onnx`, and the format of the weights.

    decode takes one token, prefill the whole prompt. plugins: the plugin library computes nodes of them.
    """

    decode: str
    prefill: str
    weights: str = "fp16"
    plugins: bool = False


PARTS = ("decode", "prefill")
FORMS = {
    "fp16": Form("fixed", "fixed"),
    "fp16_plugins": Form("matvec", "plugins", plugins=True),
    "w4a16_plugins": Form("matvec", "plugins", "w4a16", plugins=True),
}


def forms(options):
    """The forms that are built: those with plugins where their library is given; ONNX Runtime has the functions."""
    return {name: form for name, form in FORMS.items() if not form.plugins or options.plugin}


def order(options):
    """[(form, part)] in the order of building: decode first, and first what leaves the builder least to choose."""
    found = [(name, part) for part in PARTS for name in forms(options)]
    return sorted(found, key=lambda one: (one[1] != PARTS[0], not FORMS[one[0]].plugins))


def asked(options):
    """Names of the sizes to measure: TinyLlama's alone, unless --only names another."""
    if options.tiny:
        return ["tiny"]
    return [name for name in SIZES if any(f"{name}/" in pattern for pattern in options.only or ())] or ["tinyllama"]


def prompt(size):
    """Ids of a prompt, random as the weights are."""
    return np.random.default_rng(SEED).integers(0, size.model["vocab_size"], size.prompt)


def rounds(size, options):
    """How often every answer is timed, so that there are some hundred steps."""
    return 2 if options.tiny else 5 if size.tokens > 20 else 30


def folder(work, size):
    """Where the graphs of a size and its reference lie."""
    return work / "language" / size
