"""The TensorRT runtime on recorded descriptions of the APIs of 8.6, 10.x and 11.x and a stand-in for the driver."""

import json
import sys

import fake_cuda
import fake_tensorrt
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import calibration, engine
from helpers.engine import cache, cuda, tensorrt, tensorrt_log, tensorrt_plugins, tensorrt_run, tensorrt_versions
from helpers.errors import BadInput

WEAK = ("8.6.0", "10.13.0")


@pytest.fixture
def driver(monkeypatch):
    with fake_cuda.installed(monkeypatch) as driver:
        yield driver


@pytest.fixture
def install(monkeypatch, driver):
    """Function that makes `import tensorrt` give the API of a version."""

    def install(version):
        module = fake_tensorrt.module(version, driver)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        tensorrt_log.logger.cache_clear()
        tensorrt_plugins._loaded.clear()
        return module

    yield install
    tensorrt_log.logger.cache_clear()


@pytest.fixture(params=fake_tensorrt.VERSIONS)
def trt(request, install):
    return install(request.param)


@pytest.fixture(params=WEAK)
def weak(request, install):
    return install(request.param)


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, inputs, outputs, weights=(), opsets=(("", 18),)):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*entry) for entry in opsets], ir_version=9)
    onnx.save(model, path)
    return path


def save_step(path, frames=3):
    """history' = relu(x + history · w), summed over its last axis: an axis given as an input, as opset 18 has it."""
    weight = numpy_helper.from_array(np.float32([[0, 2], [-1, 0]]), "w")
    axes = numpy_helper.from_array(np.int64([1]), "axes")
    nodes = [
        helper.make_node("MatMul", ["history", "w"], ["moved"], "/head/MatMul"),
        helper.make_node("Add", ["x", "moved"], ["added"], "/head/Add"),
        helper.make_node("Relu", ["added"], ["kept"], "/head/Relu_FORCEFP32"),
        helper.make_node("ReduceMax", ["kept", "axes"], ["top"], "/head/ReduceMax", keepdims=1),
    ]
    shape = [frames, 2]
    return save(path, nodes, [value("x", shape), value("history", shape)], [value("kept", shape), value("top", [frames, 1])],
                [weight, axes])  # fmt: skip


def step(x, history):
    kept = np.maximum(x + history @ np.float32([[0, 2], [-1, 0]]), 0)
    return {"kept": kept, "top": kept.max(1, keepdims=True)}


@pytest.fixture
def model(tmp_path):
    return save_step(tmp_path / "step.onnx")


@pytest.fixture
def feeds():
    generator = np.random.default_rng(0)
    return {name: generator.standard_normal((3, 2)).astype(np.float32) for name in ("x", "history")}


def built(model, **options):
    return engine.build(model, "tensorrt", model.parent / "cache", **options)


def assert_equal(outputs, expected):
    assert list(outputs) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------- build and run


def test_build_and_run(trt, model, feeds):
    path = built(model)
    with engine.load(path) as loaded:
        assert loaded.inputs == {"x": ((3, 2), np.float32), "history": ((3, 2), np.float32)}
        assert_equal(loaded.run(feeds), step(**feeds))
        assert trt.__version__ in loaded.description and "Fake GPU (9.0), fp32" in loaded.description
    meta = engine.inspect(path)
    assert meta["compute_capabilities"] == ["9.0"] and meta["device"] == "Fake GPU"
    assert meta["precisions"] == {"fp32": 4} and meta["layer_count"] == 4
    assert built(model) == path and len(trt._built) == 1
