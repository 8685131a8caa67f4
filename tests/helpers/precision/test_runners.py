"""Runners of ONNX graphs and of engines."""

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.precision import faults, first_divergence
from tests.builders.graphs import chain

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_a_graph_that_mixes_types_is_refused():
    mixed = faults.half(chain(), "/t2/*")
    assert mixed.graph.node[4].op_type == "Mul"
    mixed.graph.node[4].input[0] = "t1"  # past the Cast
    with pytest.raises(BadInput, match="ONNX Runtime runs on a CPU"):
        first_divergence(chain(), mixed, X)
