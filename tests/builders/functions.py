"""Graphs with a local function, and with the custom operators as an exporter leaves them."""

import numpy as np
import onnxruntime
from onnx import helper

from tests.builders.graphs import model

N, S, M, D, Q, P = 2, 12, 4, 8, 5, 4


def halving():
    """Conv → Relu → demo::Halve (a local function with a MatMul) → Gemm."""
    halve = helper.make_function(
        "demo",
        "Halve",
        ["x", "w"],
        ["y"],
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        [helper.make_opsetid("", 18)],
    )
    rng = np.random.default_rng(0)
    weights = {
        "backbone.w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "shape": np.array([1, -1]),
        "mix": rng.normal(size=(144, 10)).astype(np.float32),
        "head.w": rng.normal(size=(6, 10)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "backbone.w"], ["c"], name="/backbone/conv1/Conv"),
        helper.make_node("Relu", ["c"], ["r"], name="/backbone/relu/Relu"),
        helper.make_node("Reshape", ["r", "shape"], ["f"], name="/head/Reshape"),
        helper.make_node("Halve", ["f", "mix"], ["h"], name="/head/mix/Halve", domain="demo"),
        helper.make_node("Gemm", ["h", "head.w"], ["out"], name="/head/fc/Gemm", transB=1),
    ]
    return model(nodes, {"image": [1, 3, 8, 8]}, {"out": [1, 6]}, weights, functions=[halve], opsets=[("demo", 1)])


def with_plugins(domain):
    """RotateTRT2 and MultiScaleDeformableAttnTRT2 as an exporter leaves them: no function, no shapes behind them."""
    nodes = [
        helper.make_node(
            "RotateTRT2", ["map", "angle", "center"], ["turned"], "rotate", domain=domain, interpolation=1
        ),
        helper.make_node("Reshape", ["turned", "tokens"], ["value"], "reshape"),
        helper.make_node(
            "MultiScaleDeformableAttnTRT2",
            ["value", "levels", "points", "offsets", "weights"],
            ["attended"],
            "msda",
            domain=domain,
        ),
        helper.make_node("Relu", ["attended"], ["out"], "relu"),
    ]
    inputs = {
        "map": [N * D, S, M],
        "angle": [1],
        "points": [N, Q, 1, 2],
        "offsets": [N, Q, M, P * 2],
        "weights": [N, Q, M, P],
    }
    weights = {"center": np.float32([2, 6]), "tokens": np.array([N, S, M, D]), "levels": np.array([[3, 4]])}
    return model(nodes, inputs, {"out": None}, weights)


def run(model, **inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def image():
    return np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
