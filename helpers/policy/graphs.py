"""A policy whose two sides are ONNX graphs: no network in PyTorch between a picture and its action."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from helpers import engine
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike
from helpers.llm import tokenizer
from helpers.policy.folder import read_config
from helpers.policy.policy import Policy


@typed
def load_graphs(folder: PathLike, vision: PathLike, language: PathLike) -> Policy:
    """The policy of a folder with graphs in the place of its networks, run by ONNX Runtime; weights are not read.

    Args:
        folder: as for `load`. vision: of `python -m helpers policy vision`. language: of its language model, by
            `python -m helpers llm export --inputs table`.

    Raises:
        BadInput: files that are absent or damaged, or a graph that is not of this policy.
    """
    from helpers.llm.onnx import OnnxModel  # with ONNX Runtime, which a training does without

    config, stats = read_config(folder)
    towers, model = engine.load(vision, "onnxruntime"), OnnxModel(language)
    wanted = config.input_shapes() | config.output_shapes()
    if (found := {name: tensor.shape for name, tensor in (towers.inputs | towers.outputs).items()}) != wanted:
        raise BadInput(vision, f"{found}", f"{wanted}", "export the vision side of this policy")
    sizes = {"vocab_size": model.vocab_size, "hidden_size": model.hidden_size}
    if sizes != (own := {name: config.language[name] for name in sizes}):
        raise BadInput(language, f"{sizes}", f"{own}", "export the language model of this policy")
    if model.rows == 0:
        raise BadInput(language, "a graph of ids alone", "a table for pictures", "export it with --inputs table")
    (output,) = config.output_shapes()

    def see(feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """The graph takes one picture at a time."""
        (name,) = feeds
        return np.concatenate([towers.run({name: picture[None]})[output] for picture in feeds[name]])

    return Policy(str(folder), config, tokenizer.read(folder), stats, see, model)
