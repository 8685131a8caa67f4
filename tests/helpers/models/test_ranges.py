"""The ranges of what enters the layers of a network."""

import pytest
import torch
from torch import nn

from helpers.errors import BadInput
from helpers.models.ranges import ranges


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(2, 1)
        nn.init.eye_(self.first.weight)
        nn.init.zeros_(self.first.bias)

    def forward(self, x):
        return self.second(self.first(x) * 2)


def test_the_largest_of_all_samples():
    samples = [{"x": torch.tensor(values).numpy()} for values in ([1.0, -3.0], [2.0, 0.5])]
    model = Toy()
    assert ranges(model, samples) == {"first": 3.0, "second": 6.0}
    assert not model.first._forward_pre_hooks


def test_what_is_refused():
    with pytest.raises(BadInput, match="samples"):
        ranges(Toy(), [])
    model = Toy()
    with pytest.raises(BadInput, match=r"module first[\s\S]*not finite"):
        ranges(model, [{"x": torch.tensor([1.0, float("nan")]).numpy()}])
    assert not model.first._forward_pre_hooks
