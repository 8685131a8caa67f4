"""Models of one operator, what they compute in ONNX Runtime, and what is in them."""

import collections

import numpy as np
from onnx import TensorProto, helper

from helpers.graph import session
from tests.builders.graphs import constant, value
from tests.builders.graphs import model as make


def one(op_type, shape, outputs=1, weights=(), opset=18, inputs=None, free=False, kind=TensorProto.FLOAT, **attributes):
    """A model of one node `op` on x of `shape`; `inputs` are its inputs after x, `weights` their constants."""
    node = helper.make_node(op_type, ["x", *(inputs if inputs is not None else [w.name for w in weights])],
                            [f"y{i}" for i in range(outputs)], "op", **attributes)  # fmt: skip
    x = value("x", ["n", *shape[1:]] if free else shape)
    return make([node], [x], [value(f"y{i}", None, kind) for i in range(outputs)], weights, opset)


def run(model, feeds):
    """The outputs of a model whose operators run as they are written."""
    return session.run(session.open_session(model, "disable", threads=1), None, feeds)


def ops(model):
    return collections.Counter(node.op_type for node in model.graph.node)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_same(model, rewritten, feeds, atol=0.0):
    for a, b in zip(run(model, feeds), run(rewritten, feeds), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)


GRID_SAMPLE = one(
    "GridSample",
    (1, 1, 3, 3),
    opset=20,
    mode="linear",
    weights=[constant("grid", [[[[0.1, -0.3], [0.9, 1.2]]]], np.float32)],
)
