"""The mini BEVFormer's graph, rewritten for TensorRT, computes the same in ONNX Runtime."""

import collections

import numpy as np
import onnx
import pytest

from helpers.engine.tensorrt.graph import for_version
from helpers.graph.walk import attributes
from tests.helpers.engine.tensorrt.forms import noise, ops, run


@pytest.fixture(scope="module")
def network(mini):
    """The mini BEVFormer's graph, inputs of its shapes, and its outputs."""
    model = onnx.load(mini[1])
    feeds = {
        v.name: noise(*(d.dim_value for d in v.type.tensor_type.shape.dim), seed=i)
        for i, v in enumerate(model.graph.input)
    }
    camera = np.float32([[200, 130, 0, 5], [10, 120, -200, 3], [0.1, 1, 0, 0.2], [0, 0, 0, 1]])
    feeds["lidar2img"] = np.tile(camera, (1, 6, 1, 1))
    feeds["use_prev_bev"] = np.ones(1, np.float32)
    return model, feeds, run(model, feeds)


@pytest.mark.parametrize(
    "version, decompose, limit",
    [("8.6.0", (), 0), ("10.13.0", (), 0), ("8.6.0", ("LayerNormalization", "GridSample"), 1e-6)],
)
def test_mini_bevformer_computes_the_same(network, version, decompose, limit):
    model, feeds, expected = network
    rewritten = for_version(model, version, decompose=decompose)
    assert not rewritten.functions and {node.domain for node in rewritten.graph.node} == {""}
    assert not set(decompose) & set(ops(rewritten))
    for before, after in zip(expected, run(rewritten, feeds), strict=True):
        assert np.abs(after - before).max() <= limit * np.abs(before).max()


def test_mini_bevformer_has_the_forms_of_opset_17(network):
    rewritten = for_version(network[0], "8.6.0")
    assert rewritten.opset_import[0].version == 17 and rewritten.ir_version == 8
    found = ops(rewritten)
    assert (
        not {"CastLike", "Constant", "Shape"} & set(found) and found["GridSample"] == ops(network[0])["GridSample"] + 8
    )
    for node in rewritten.graph.node:
        if node.op_type in ("ReduceMean", "ReduceMax"):
            assert len(node.input) == 1 and attributes(node)["axes"]
        if node.op_type == "Split":
            assert len(node.input) == 2 and "num_outputs" not in attributes(node)


def test_mini_bevformer_with_plugins_keeps_its_nodes(network):
    model = network[0]
    custom = collections.Counter(node.op_type for node in model.graph.node if node.domain == "trt.plugins")
    assert sum(custom.values()) == 8
    for version, domain in (("8.6.0", ""), ("10.13.0", "trt.plugins")):
        kept = for_version(model, version, plugins=True)
        assert not kept.functions
        assert (
            collections.Counter(n.op_type for n in kept.graph.node if n.op_type in custom and n.domain == domain)
            == custom
        )
    assert len(model.functions) == 2  # the model given is left as it was
