"""What the proof times is captured in a CUDA graph: no number may cross between host and device meanwhile."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from plugins.check import CHECKS

CROSSING = {torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, torch.Tensor.new_tensor, torch.Tensor.item,
            torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy}  # fmt: skip


class Crossings(TorchFunctionMode):
    """Names of the functions in `CROSSING` that are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_function__(self, function, types, arguments=(), options=None):
        self.names += [function.__name__] if function in CROSSING else []
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_composition_keeps_to_its_device(check):
    for call in check.calls("cpu"):
        device = [given.to("meta") if isinstance(given, torch.Tensor) else given for given in call.arguments]
        with Crossings() as seen:
            check.composition(*device)
        assert not seen.names, call.what
