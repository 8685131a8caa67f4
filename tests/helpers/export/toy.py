"""A small recurrent model to export, and frames of noise for it."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from helpers.ops.rotate import rotate


class Toy(nn.Module):
    """A recurrent model with a custom operator and what optimizers get wrong: BatchNorm, an epsilon, an idle Expand."""

    def __init__(self, width=4):
        super().__init__()
        inputs, outputs = {"image": (1, 3, 8, 8), "prev_bev": (1, 4)}, {"bev_embed": (1, width)}
        self.config = SimpleNamespace(
            input_shapes=lambda: inputs,
            input_types=lambda: dict.fromkeys(inputs, np.float32),
            output_shapes=lambda: outputs,
            free_axes=dict,
            states={"prev_bev": "bev_embed"},
            initial_states=lambda: {"prev_bev": np.zeros((1, 4), np.float32)},
        )
        self.layers = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))])
        self.register_buffer("gain", torch.tensor(0.5))  # of the history; and a point to turn about

    def forward(self, image, prev_bev):
        turned = rotate(self.layers[0](image)[0], prev_bev[0, :1], torch.stack([self.gain, self.gain]))
        total = prev_bev.sum()
        now = turned.mean((1, 2))[None].expand(1, -1)
        return (now + prev_bev.expand(1, -1) * self.gain + total / (total + 1e-8),)


def noise(count):
    return [{"image": np.random.default_rng(i).normal(size=(1, 3, 8, 8)).astype(np.float32)} for i in range(count)]
