"""Free dimensions of a graph, and a three-dimensional convolution without a bias."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from helpers import export, graph
from helpers.errors import BadInput
from helpers.systems.base import Free


class Sums(nn.Module):
    """Sums of picked rows, and a volume through Conv3d and BatchNorm; `picks` and `weights` are of one free length."""

    def __init__(self, named=True):
        super().__init__()
        inputs = {"picks": (4,), "weights": (4,), "volume": (1, 2, 3, 4, 5)}
        length = {0: Free("length", 1, 9)}
        self.config = SimpleNamespace(
            input_shapes=lambda: inputs,
            input_types=lambda: dict.fromkeys(inputs, np.float32) | {"picks": np.int64},
            output_shapes=lambda: {"total": (3,), "out": (1, 6, 3, 4, 5)},
            free_axes=lambda: {"picks": length, "weights": length} if named else {},
            states={},
            initial_states=dict,
        )
        self.table = nn.Parameter(torch.randn(7, 3))
        self.conv = nn.Sequential(nn.Conv3d(2, 6, 3, padding=1, bias=False), nn.BatchNorm3d(6))

    def forward(self, picks, weights, volume):
        return (self.table[picks] * weights[:, None]).sum(0), self.conv(volume)


def frame(length):
    random = np.random.default_rng(length)
    volume = random.normal(size=(1, 2, 3, 4, 5)).astype(np.float32)
    return {"picks": random.integers(0, 7, length), "weights": np.ones(length, np.float32), "volume": volume}


def test_a_free_dimension_keeps_its_name_and_takes_every_length(tmp_path):
    model = Sums().eval()
    path = export.export(model, tmp_path / "sums.onnx")
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.load(path).graph.input
    }
    assert shapes == {"picks": ["length"], "weights": ["length"], "volume": [1, 2, 3, 4, 5]}
    export.assert_parity(export.check(path, model, [frame(length) for length in (4, 1, 9, 2)]), 1e-5)


def test_without_a_name_a_dimension_is_fixed(tmp_path):
    path = export.export(Sums(named=False).eval(), tmp_path / "sums.onnx")
    with pytest.raises(BadInput, match="Got: 3 Expected: 4"):
        export.check(path, Sums(named=False).eval(), [frame(3)])


def test_a_convolution_of_volumes_without_a_bias_takes_in_its_batch_norm(tmp_path):
    made = graph.load(export.export(Sums().eval(), tmp_path / "sums.onnx")).graph
    conv = next(node for node in made.node if node.op_type == "Conv")
    weights = {tensor.name: list(tensor.dims) for tensor in made.initializer}
    assert "BatchNormalization" not in {node.op_type for node in made.node} and weights[conv.input[2]] == [6]
