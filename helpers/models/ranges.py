"""How large what enters the layers of a network becomes on real frames: the ranges of INT8."""

from collections.abc import Iterable

import torch
from torch import nn

from helpers.arguments import typed
from helpers.errors import BadInput, check_network
from helpers.sequence import Arrays


@typed
@torch.inference_mode()
def ranges(model: nn.Module, samples: Iterable) -> dict[str, float]:
    """Name of every linear layer and convolution that runs -> largest magnitude of what enters it.

    Args:
        model: on the CPU, in eval mode.
        samples: dicts of input name to array, such as a `helpers.calibration.CalibrationReader`.

    Raises:
        BadInput: no sample, or one on which a layer is given what is not finite.
    """
    check_network(model)
    found: dict[str, float] = {}

    def watch(name):
        def seen(_, operands):
            largest = float(operands[0].abs().max())
            if not largest < float("inf"):
                raise BadInput(f"module {name}", "an operand that is not finite", "finite ones", "look at the sample")
            found[name] = max(found.get(name, 0.0), largest)

        return seen

    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in layers.items()]
    try:
        for sample in samples:
            _run(model, sample)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise BadInput("samples", "none", "one at least", "see helpers.calibration.collect")
    return found


def _run(model: nn.Module, sample: Arrays) -> None:
    model(**{name: torch.from_numpy(array) for name, array in sample.items()})
