"""A PyTorch network as the function of NumPy dictionaries that metrics and evaluations drive."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from helpers.arguments import typed
from helpers.sequence import Arrays


@typed
def runner(model: nn.Module, device: torch.device | str) -> Callable[[Arrays], Arrays]:
    """What runs a frame through `model`, which is on `device`: input name -> array to output name -> array."""

    @torch.inference_mode()
    def run(inputs):
        outputs = model(**{name: torch.from_numpy(np.asarray(array)).to(device) for name, array in inputs.items()})
        return {name: out.cpu().numpy() for name, out in zip(model.config.output_shapes(), outputs, strict=True)}

    return run
