"""Small ONNX files for the stand-ins of TensorRT, what they compute, and how they are built."""

import numpy as np
from onnx import helper, numpy_helper

from helpers import engine
from tests.builders.graphs import save, value

SHAPES = [{"x": [(1, 2), (2, 2), (4, 2)]}, {"x": [(5, 2), (6, 2), (9, 2)]}]


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
    inputs, outputs = [value("x", shape), value("history", shape)], [value("kept", shape), value("top", [frames, 1])]
    return save(path, nodes, inputs, outputs, [weight, axes])


def step(x, history):
    kept = np.maximum(x + history @ np.float32([[0, 2], [-1, 0]]), 0)
    return {"kept": kept, "top": kept.max(1, keepdims=True)}


def sequences(loaded, driver, expected=step):
    """Run two sequences of four frames whose states stay on the GPU, and yield x of each frame that was right."""
    for _ in range(2):
        history = np.zeros((3, 2), np.float32)
        for seed in range(4):
            x = np.random.default_rng(seed).standard_normal((3, 2)).astype(np.float32)
            driver.log.clear()
            outputs = loaded.run({"x": x})
            assert driver.log.count("upload") == 1 and "copy" not in driver.log
            assert_equal(outputs, expected(x, history))
            yield x
            history = outputs["kept"]
        loaded.reset()


def save_quantized(path):
    scale = [numpy_helper.from_array(np.float32(0.05), "scale"), numpy_helper.from_array(np.int8(0), "zero"),
             numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")]  # fmt: skip
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "/q"),
             helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], "/dq"),
             helper.make_node("MatMul", ["dq", "w"], ["y"], "/MatMul")]  # fmt: skip
    return save(path, nodes, [value("x", [3, 2])], [value("y", [3, 2])], scale, opset=19)


def save_free(path):
    """y = 2x with a free first dimension."""
    two = numpy_helper.from_array(np.float32(2), "two")
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"], "/Mul")]
    return save(path, nodes, [value("x", ["n", 2])], [value("y", ["n", 2])], [two])


def save_counted(path):
    """Of x [3, 2] the rows whose first number is above 0, as many as there are, and all numbers doubled."""
    consts = {"zero": np.float32(0), "two": np.float32(2), "first": np.int64([0]), "last": np.int64([1])}
    nodes = [
        helper.make_node("Slice", ["x", "first", "last", "last"], ["column"], "/Slice"),
        helper.make_node("Squeeze", ["column", "last"], ["numbers"], "/Squeeze"),
        helper.make_node("Greater", ["numbers", "zero"], ["chosen"], "/Greater"),
        helper.make_node("NonZero", ["chosen"], ["places"], "/NonZero"),
        helper.make_node("Squeeze", ["places", "first"], ["rows"], "/Rows"),
        helper.make_node("Gather", ["x", "rows"], ["picked"], "/Gather"),
        helper.make_node("Mul", ["x", "two"], ["y"], "/Mul"),
    ]
    weights = [numpy_helper.from_array(np.array(array), name) for name, array in consts.items()]
    outputs = [value("picked", ["count", 2]), value("y", [3, 2])]
    return save(path, nodes, [value("x", [3, 2])], outputs, weights)


def save_custom(path):
    nodes = [helper.make_node("Twice", ["x"], ["y"], "/Twice", domain="trt.plugins")]
    return save(path, nodes, [value("x", [2])], [value("y", [2])], opsets=[("trt.plugins", 1)])


def built(model, **options):
    return engine.build(model, "tensorrt", model.parent / "cache", **options)


def assert_equal(outputs, expected):
    assert list(outputs) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, rtol=1e-6)
