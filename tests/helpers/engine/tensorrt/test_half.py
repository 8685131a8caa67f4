"""Which plugins a builder that chooses types is left no choice about."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers import calibration
from helpers.engine.tensorrt import inspector, plan
from helpers.engine.tensorrt.graph import for_version, keep_half
from helpers.graph.walk import attributes
from helpers.ops import library as plugin_library
from tests.builders.graphs import constant, save, value
from tests.helpers.engine.tensorrt.builders import built

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
SHAPES = {"x": (1, 8), "y": (1, 8), "angle": (1,)}
HELD = ["/half", "/behind", "/single_numbers"]


@pytest.fixture
def path(tmp_path):
    """Products and a norm in FP16, the type of its input not stated; a product in FP32, a plugin without weights."""
    weight = np.ones((8, 8))
    weights = [constant("w", weight, np.float16), constant("v", weight, np.float32), constant("n", [1] * 8, np.float16)]

    def node(op_type, inputs, name, **given):
        return helper.make_node(op_type, inputs, [name], f"/{name}", domain="trt.plugins", **given)

    nodes = [
        node("MatVecTRT2", ["x", "w"], "half", gated=0),
        node("AddRmsNormTRT2", ["half", "half", "n"], "behind", epsilon=1e-5),
        node("MatVecTRT", ["x", "w"], "single_numbers", gated=0),
        node("MatVecTRT2", ["y", "v"], "full", gated=0),
        node("RotateTRT2", ["x", "angle", "angle"], "turned", interpolation=0),
    ]
    kinds = {"behind": FLOAT16, "single_numbers": FLOAT16, "full": FLOAT, "turned": FLOAT16}
    inputs = [value(name, shape, FLOAT16 if name == "x" else FLOAT) for name, shape in SHAPES.items()]
    outputs = [value(name, [1, 8], kind) for name, kind in kinds.items()]
    return save(tmp_path / "half.onnx", nodes, inputs, outputs, weights, opsets=[("trt.plugins", 1)])


def held(model):
    return [node.name for node in model.graph.node if attributes(node).get("half") == 1]


@pytest.mark.parametrize("version", ["8.6.0", "10.13.0"])
def test_operators_in_fp16_are_held_there_under_both_names(path, version):
    written = for_version(onnx.load(path), version, plugins=True)
    assert held(written) == []
    assert held(keep_half(written)) == HELD
    again = keep_half(written).graph.node
    assert [len(node.attribute) for node in again] == [2, 2, 2, 1, 1], "never twice"


def test_a_first_input_in_fp32_counts_more_than_the_others():
    nodes = [helper.make_node("MatVecTRT2", ["y", "w"], ["z"], domain="trt.plugins", gated=0)]
    graph = helper.make_graph(nodes, "mixed", [value("y", [1, 8]), value("w", [8, 8], FLOAT16)], [])
    assert held(keep_half(helper.make_model(graph))) == []


@pytest.mark.parametrize(
    ("precision", "given", "expected"),
    [
        ("fp16", {}, HELD),
        ("obey", {"layer_precisions": {"/full": "fp32"}}, HELD),
        ("best", {"calibration": True}, HELD),
        ("int8-implicit", {"calibration": True}, []),
        ("fp32", {}, []),
    ],
)
def test_only_a_builder_that_may_use_half_precision_is_told(
    weak, path, tmp_path, monkeypatch, precision, given, expected
):
    library = tmp_path / "libproducts.so"
    library.write_bytes(b"Plugin MatVecTRT2 MatVecTRT AddRmsNormTRT2 RotateTRT2")
    weak._creators.update(library.read_bytes().decode().split()[1:])
    monkeypatch.setattr(plugin_library.ctypes, "CDLL", lambda *_: object())
    monkeypatch.setattr(plan, "deserialize", lambda *arguments: plan.Plan(None, None, None, 0))
    monkeypatch.setattr(inspector, "layers", lambda engine: [])
    if "calibration" in given:
        given = {"calibration": calibration.noise(tmp_path / "set.npz", SHAPES, samples=1)}
    built(path, plugins=[library], precision=precision, **given)
    assert held(weak._built[0][0]._model) == expected
