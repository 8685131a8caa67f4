"""The branches behind queries: their sizes, and what is none."""

import pytest
import torch

from helpers.errors import BadInput
from helpers.layers.branches import RARE, class_branch, regression_branch


def test_a_class_begins_as_rare_as_is_said():
    branch = class_branch(8, 3)
    assert branch(torch.zeros(2, 5, 8)).shape == (2, 5, 3) and regression_branch(8, 10)(torch.zeros(4, 8)).shape == (
        4,
        10,
    )
    assert torch.allclose(branch[-1].bias.sigmoid(), torch.full((3,), RARE))


@pytest.mark.parametrize("sizes", [(0, 4), (-1, 4), (4, 0), ("4", 4), (4, 2.5), (None, 3), (True, 4), (1 << 40, 4)])
def test_sizes_that_are_none_are_refused(sizes):
    for branch in (class_branch, regression_branch):
        with pytest.raises(BadInput):
            branch(*sizes)
