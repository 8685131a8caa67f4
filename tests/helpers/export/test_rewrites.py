"""An exported graph is tidy, and computes what it did: the traps on a toy model."""

import numpy as np
import torch
from onnx import numpy_helper

from helpers import export, graph
from tests.helpers.export.toy import noise


def test_graph_is_tidy(mini):
    table = {row["op"]: row for row in graph.op_table(mini[1])}
    assert not table.keys() & {
        "BatchNormalization",
        "ScatterND",
        "Shape",
        "Constant",
        "ConstantOfShape",
        "NonZero",
        "If",
        "Loop",
    }
    assert table["MultiScaleDeformableAttnTRT2"]["count"] == 2 * 2 + 3 and table["RotateTRT2"]["count"] == 1
    assert table["Conv"]["count"] == 1 + 3 * 9 + 3 + 2
    assert sum(row["count"] for row in table.values()) < 700
    model = graph.load(mini[1])
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        assert node.op_type != "Conv" or (len(node.input) == 3 and constants.issuperset(node.input[1:])), node.name


def test_an_epsilon_of_1e_8_survives(toy):
    """On the first frame the quotient is 0/0 without it."""
    model, path = toy
    export.assert_parity(export.check(path, model, noise(1)))


def test_folding_and_no_ops(toy):
    model = graph.load(toy[1])
    ops = [node.op_type for node in model.graph.node]
    assert "Expand" not in ops and "BatchNormalization" not in ops
    conv = model.graph.node[ops.index("Conv")]
    norm = toy[0].layers[0][1]
    weight = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == conv.input[1])
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).view(-1, 1, 1, 1)
    np.testing.assert_allclose(weight, (toy[0].layers[0][0].weight * scale).detach(), rtol=1e-6)
    assert conv.name == "/layers.0.0/Conv"
