"""Stage `language`: a Llama of a published size with random weights, batch 1: PyTorch, torch.compile and TensorRT.

Runs what the Python at hand has the libraries for, so it is called in two of them: the graphs, the reference and
PyTorch's rows need torch and transformers (and time on its GPU), the engines need TensorRT and no torch. Llama-2-7B is
measured only where --only names it.

A form is two engines, one for a token and one for the prompt, each of fixed sizes. Those that decode are built first,
and their steps are checked and timed at once. A prompt's engine that takes the builder too long may be built in a call
of its own, at a lower level: --only '/build/*/prefill$' --builderOptimizationLevel 1. Its record says the level.
"""

import importlib.util

from benchmarks.language import sizes
from helpers import engine
from helpers.errors import BadInput


def run(session, options):
    """All pieces of the sizes that are asked for, as far as this Python can make them."""
    torch = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    found = engine.available()[options.runtime]
    if not torch and not found:
        expected = "torch and transformers, or a runtime"
        raise BadInput("stage language", f"neither; {options.runtime}: {found.reason}", expected, "install one of them")
    for name in sizes.asked(options):
        if torch:
            importlib.import_module("benchmarks.language.pytorch").run(session, options, name)
        if found:
            importlib.import_module("benchmarks.language.engines").run(session, options, name)
        else:
            print(f"language/{name}: no engines here ({found.reason})")
