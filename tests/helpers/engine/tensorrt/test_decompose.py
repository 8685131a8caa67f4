"""Operators written in simpler ones compute the same."""

import numpy as np
import pytest
from onnx import helper

from helpers.engine.tensorrt.graph import for_version
from helpers.errors import BadInput
from tests.builders.graphs import constant, value
from tests.builders.graphs import model as make
from tests.helpers.engine.tensorrt.forms import GRID_SAMPLE, assert_same, noise, one, ops, run

VERSIONS = ("8.6.0", "10.13.0", "11.1.0")


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("axis, scale", [(-1, (5,)), (1, (4, 5)), (-2, (4, 5))])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization(opset, axis, scale, bias):
    weights = [
        constant("g", noise(*scale), np.float32),
        *([constant("b", noise(*scale, seed=1), np.float32)] if bias else []),
    ]
    model = one("LayerNormalization", (3, 4, 5), weights=weights, opset=opset, axis=axis, epsilon=1e-3)
    for version in VERSIONS:
        rewritten = for_version(model, version, decompose=["LayerNormalization"])
        assert "LayerNormalization" not in ops(rewritten)
        assert_same(model, rewritten, {"x": 3 * noise(3, 4, 5) + 1}, atol=2e-6)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("attributes", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}])
def test_a_cumulative_sum_where_the_parser_would_make_a_loop(kind, axis, attributes):
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], "op", **attributes)
    x, y = (value(name, [3, 4, 5], helper.np_dtype_to_tensor_dtype(np.dtype(kind))) for name in "xy")
    model = make([node], [x], [y], [constant("axis", axis, np.int64)])
    feeds = {"x": (10 * noise(3, 4, 5)).astype(kind)}
    for version, whole in (("8.6.0", False), ("10.7.0", False), ("10.8.0", True)):
        rewritten = for_version(model, version)
        assert ("CumSum" in ops(rewritten)) == whole
        assert_same(model, rewritten, feeds, atol=1e-5)


def test_a_cumulative_sum_along_a_free_axis_stays():
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], "op")
    model = make([node], [value("x", ["n"])], [value("y", ["n"])], [constant("axis", 0, np.int64)])
    assert "CumSum" in ops(for_version(model, "8.6.0"))


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grid_sample(mode, align):
    """Points inside, on the edge, between cells, outside and far outside; two images; more rows than columns."""
    grid = np.random.default_rng(2).uniform(-1.4, 1.4, (2, 6, 7, 2)).astype(np.float32)
    grid[0, 0, :, 0] = [-1, 1, 0, 1e3, -1e3, 0.5, -0.5]
    grid[0, 1, :, 1] = [-1, 1, 0, 1e6, -1e6, 0.2, -0.2]
    nodes = [helper.make_node("GridSample", ["x", "grid"], ["y"], "op", mode=mode, align_corners=align)]
    model = make(nodes, [value("x", [2, 3, 5, 4]), value("grid", [2, 6, 7, 2])], [value("y", [2, 3, 6, 7])])
    feeds = {"x": noise(2, 3, 5, 4), "grid": grid}
    for version in VERSIONS:
        rewritten = for_version(model, version, decompose=["GridSample"])
        assert "GridSample" not in ops(rewritten)
        assert_same(model, rewritten, feeds, atol=1e-6)
    for far in (1e30, np.inf):  # an index would overflow, a difference would be NaN
        feeds["grid"] = np.full_like(grid, far)
        assert not run(rewritten, feeds)[0].any()


def test_grid_sample_of_opset_20():
    model = GRID_SAMPLE
    rewritten = for_version(model, "10.13.0", decompose=["GridSample"])
    assert "GridSample" not in ops(rewritten)
    assert_same(model, rewritten, {"x": noise(1, 1, 3, 3)}, atol=1e-6)


@pytest.mark.parametrize("attribute", [{"padding_mode": "border"}, {"mode": "bicubic"}])
def test_grid_sample_that_cannot_be_decomposed(attribute):
    nodes = [helper.make_node("GridSample", ["x", "grid"], ["y"], "op", **attribute)]
    model = make(nodes, [value("x", [1, 1, 5, 4]), value("grid", [1, 6, 7, 2])], [value("y", None)])
    with pytest.raises(BadInput, match=next(iter(attribute.values()))):
        for_version(model, "8.6.0", decompose=["GridSample"])
