"""The small networks behind the queries of a decoder, with the parameter names of the DETR family's checkpoints."""

import math

from torch import nn

from helpers.arguments import between, typed

MOST = 1 << 20  # channels
RARE = 0.01  # probability at which a class begins (focal loss, arXiv:1708.02002)


@typed
def class_branch(dims: int, classes: int, rare: bool = True) -> nn.Sequential:
    """[..., dims] -> logits [..., classes]: two hidden layers with LayerNorm; `rare`: the bias starts at `RARE`."""
    _check(dims, classes)
    hidden = [module for _ in range(2) for module in (nn.Linear(dims, dims), nn.LayerNorm(dims), nn.ReLU())]
    last = nn.Linear(dims, classes)
    if rare:
        nn.init.constant_(last.bias, -math.log((1 - RARE) / RARE))
    return nn.Sequential(*hidden, last)


@typed
def regression_branch(dims: int, outputs: int) -> nn.Sequential:
    """[..., dims] -> [..., outputs]: two hidden layers."""
    _check(dims, outputs)
    return nn.Sequential(nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, outputs))


def _check(dims, outputs):
    between("dims", dims, 1, MOST)
    between("outputs", outputs, 1, MOST)
