"""Graphs rewritten for TensorRT compute what they did, proven in ONNX Runtime, and have the forms its parser reads."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from helpers.engine.tensorrt.graph import for_version
from helpers.errors import BadInput
from helpers.graph.walk import attributes, is_quantized
from tests.builders.graphs import constant, value
from tests.builders.graphs import model as make
from tests.helpers.engine.tensorrt.forms import GRID_SAMPLE, assert_same, noise, one, ops, run

VERSIONS = ("8.6.0", "10.13.0", "11.1.0")


# ----------------------------------------------------------------------------------------------------- quantized graphs


def quantized():
    """A convolution with Q/DQ on both sides (opset 19, one scale per output channel) and no zero points."""
    weight, scales = noise(4, 3, 3, 3), np.float32([0.01, 0.02, 0.015, 0.03])
    weights = [constant("w", weight, np.float32), constant("sx", 0.04, np.float32), constant("sw", scales, np.float32),
               constant("axes", [2, 3])]  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx"], ["xq"], "/xq", output_dtype=TensorProto.INT8),
        helper.make_node("DequantizeLinear", ["xq", "sx"], ["xd"], "/xd"),
        helper.make_node("QuantizeLinear", ["w", "sw"], ["wq"], "/wq", axis=0, output_dtype=TensorProto.INT8),
        helper.make_node("DequantizeLinear", ["wq", "sw"], ["wd"], "/wd", axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["c"], "/conv", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c", "axes"], ["y"], "/mean", keepdims=0),
    ]
    return make(nodes, [value("x", [2, 3, 5, 5])], [value("y", [2, 4])], weights, opset=21)


@pytest.mark.parametrize("version", VERSIONS)
def test_quantized_graph(version):
    model = quantized()
    rewritten = for_version(model, version)
    assert is_quantized(rewritten) and ops(rewritten)["QuantizeLinear"] == 2  # weights are not folded
    assert_same(model, rewritten, {"x": noise(2, 3, 5, 5)})
    if version == "8.6.0":
        for node in rewritten.graph.node:
            if node.op_type.endswith("quantizeLinear") or node.op_type == "QuantizeLinear":
                assert len(node.input) == 3 and set(attributes(node)) <= {"axis"}
        conv = next(node for node in rewritten.graph.node if node.op_type == "Conv")
        assert attributes(conv)["kernel_shape"] == [3, 3]  # the weights are computed: not to be seen by the parser


def test_modelopts_graph(tmp_path):
    from helpers import calibration, quantize

    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "/conv", pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["c"], ["r"], "/relu"),
             helper.make_node("Conv", ["r", "v"], ["d"], "/conv_1"),
             helper.make_node("ReduceMax", ["d", "axes"], ["y"], "/max", keepdims=0)]  # fmt: skip
    weights = [constant("w", noise(16, 3, 3, 3), np.float32), constant("v", noise(16, 16, 3, 3), np.float32),
               constant("axes", [2, 3])]  # fmt: skip
    model = make(nodes, [value("x", [1, 3, 12, 12])], [value("y", [1, 16])], weights, opset=19)
    onnx.save(model, tmp_path / "plain.onnx")
    calib = calibration.noise(tmp_path / "calib.npz", {"x": (1, 3, 12, 12)}, samples=2)
    quantize.quantize(tmp_path / "plain.onnx", tmp_path / "int8.onnx", calibration=calib)
    model = onnx.load(tmp_path / "int8.onnx")
    rewritten = for_version(model, "8.6.0")
    assert ops(rewritten)["DequantizeLinear"] == ops(model)["DequantizeLinear"] > 0
    assert rewritten.opset_import[0].version == 17
    assert_same(model, rewritten, {"x": noise(1, 3, 12, 12)})


# -------------------------------------------------------------------------------------------------------- single forms


REDUCTIONS = ["L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare", "Sum"]
FORMS = {
    **{f"Reduce{kind}": one(f"Reduce{kind}", (2, 3, 4), weights=[constant("axes", [-1, 0])]) for kind in REDUCTIONS},
    "reduce all": one("ReduceMax", (2, 3), keepdims=0),
    "reduce none": one("ReduceMin", (2, 3), noop_with_empty_axes=1),
    "split evenly": one("Split", (6, 2), outputs=3, num_outputs=3),
    "split with a rest": one("Split", (2, 7), outputs=3, num_outputs=3, axis=-1),
    "split by sizes": one("Split", (7, 2), outputs=2, weights=[constant("sizes", [3, 4])]),
    "pad some axes": one("Pad", (2, 3, 4), weights=[constant("pads", [1, 0, 2, 3]), constant("v", 9, np.float32),
                                                  constant("axes", [0, -1])]),
    "pad reflected": one("Pad", (2, 3, 4), weights=[constant("pads", [0, 0, 2, 0, 0, 2])], mode="reflect"),
    "resize some axes": one("Resize", (1, 2, 4, 4), weights=[constant("scales", [2, 3], np.float32)],
                            inputs=["", "scales"], axes=[2, 3], mode="linear"),
    "resize to sizes": one("Resize", (1, 2, 4, 4), weights=[constant("sizes", [6, 3])], inputs=["", "", "sizes"],
                           axes=[3, 2], mode="nearest"),
    "scatter": one("ScatterElements", (2, 3), weights=[constant("at", [[1, 0, 2]]),
                                                     constant("new", [[7, 8, 9]], np.float32)], axis=1),
    "grid sample": GRID_SAMPLE,
    "average pool": one("AveragePool", (1, 1, 4, 4), opset=19, kernel_shape=[2, 2], dilations=[1, 1]),
    "cast": one("Cast", (2, 3), opset=19, kind=TensorProto.INT32, to=TensorProto.INT32, saturate=1),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_later_forms_become_those_of_opset_17(form):
    model = FORMS[form]
    rewritten = for_version(model, "8.6.0")
    assert rewritten.opset_import[0].version == 17
    for node in rewritten.graph.node:  # what the parser does not know of would be passed over
        schema = onnx.defs.get_schema(node.op_type, 17, "")
        assert set(attributes(node)) <= set(schema.attributes) and len(node.input) <= schema.max_input
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert_same(model, rewritten, {"x": noise(*shape) + 2}, atol=1e-6)


@pytest.mark.parametrize("opset", [15, 17, 18])
def test_start_and_end_of_a_shape_that_is_not_known(opset):
    nodes = [helper.make_node("Shape", ["x"], ["s"], "/shape", start=1, end=3),
             helper.make_node("Shape", ["x"], ["t"], "/rest", start=-2)]  # fmt: skip
    outputs = [value(name, [2], TensorProto.INT64) for name in "st"]
    model = make(nodes, [value("x", ["a", "b", "c"])], outputs, opset=opset)
    rewritten = for_version(model, "8.6.0")
    assert ops(rewritten) == {"Shape": 2, "Slice": 2}
    assert_same(model, rewritten, {"x": noise(2, 3, 4)})


def test_cast_like_takes_the_known_type():
    nodes = [helper.make_node("Cast", ["x"], ["i"], "/i", to=TensorProto.INT32),
             helper.make_node("CastLike", ["x", "i"], ["y"], "/like")]  # fmt: skip
    model = make(nodes, [value("x", [2, 3])], [value("y", [2, 3], TensorProto.INT32)])
    for version in VERSIONS:
        rewritten = for_version(model, version)
        assert ops(rewritten) == {"Cast": 1}
        assert_same(model, rewritten, {"x": 5 * noise(2, 3)})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("inputs", [["g"], ["g", ""], ["g", "b"]])
def test_a_norm_without_a_bias_gets_zeros_as_large_as_its_scale(version, inputs):
    """The parser would make one zero of what is not there; TensorRT wants both of one shape."""
    weights = [constant("g", noise(5), np.float32), constant("b", noise(5, seed=1), np.float32)]
    model = one("LayerNormalization", (3, 4, 5), weights=weights, inputs=inputs, axis=-1, epsilon=1e-3)
    rewritten = for_version(model, version)
    (node,) = rewritten.graph.node
    sizes = {tensor.name: tuple(tensor.dims) for tensor in rewritten.graph.initializer}
    assert sizes[node.input[1]] == sizes[node.input[2]] == (5,) and node.name == "op"
    assert (node.input[2] == "b") == (inputs[-1] == "b")
    assert_same(model, rewritten, {"x": noise(3, 4, 5)})


def test_constants_are_folded_until_nothing_more_is_constant():
    """8.6 reads Constant's value_int by the bits of a float."""
    nodes = [
        helper.make_node("Constant", [], ["two"], "/two", value_int=2),
        helper.make_node("Shape", ["x"], ["s"], "/shape"),
        helper.make_node("Gather", ["s", "two"], ["last"], "/last"),
        helper.make_node("Cast", ["last"], ["f"], "/cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"], "/mul"),
    ]
    model = make(nodes, [value("x", [2, 3, 4])], [value("y", [2, 3, 4])])
    for version in VERSIONS:
        rewritten = for_version(model, version)
        assert ops(rewritten) == {"Mul": 1} and len(rewritten.graph.initializer) == 1
        assert_same(model, rewritten, {"x": noise(2, 3, 4)})


GROWN = {
    "Expand": [helper.make_node("Expand", ["one", "far"], ["big"])],
    "ConstantOfShape": [helper.make_node("ConstantOfShape", ["far"], ["big"])],
    "Tile": [helper.make_node("Tile", ["one", "far"], ["big"])],
    "Range": [helper.make_node("Range", ["short", "longest", "step"], ["big"])],  # of a type that onnx does not follow
    "product": [helper.make_node("ConstantOfShape", ["some"], ["many"]),
                helper.make_node("Reshape", ["many", "column"], ["down"]),
                helper.make_node("Mul", ["many", "down"], ["big"])],
}  # fmt: skip


@pytest.mark.parametrize("name", GROWN)
def test_a_constant_that_is_too_large_is_not_made_to_find_that_out(monkeypatch, name):
    constants = [constant("one", [1.0], np.float32), constant("far", [2**40]), constant("some", [2**16]),
                 constant("column", [2**16, 1]), constant("short", 0, np.int16), constant("longest", 9, np.int16),
                 constant("step", 1, np.int16)]  # fmt: skip
    nodes = [*GROWN[name], helper.make_node("ReduceMax", ["big"], ["m"]), helper.make_node("Add", ["x", "m"], ["y"])]
    model = make(nodes, [value("x", [2])], [value("y", None)], constants)
    evaluated, run_one = [], ReferenceEvaluator.run

    def noted(self, *arguments):
        evaluated.append(self.proto_.graph.node[0].op_type)
        return run_one(self, *arguments)

    monkeypatch.setattr(ReferenceEvaluator, "run", noted)
    rewritten = for_version(model, "8.6.0")
    assert GROWN[name][-1].op_type in ops(rewritten) and GROWN[name][-1].op_type not in evaluated


def test_a_constant_that_is_counted_is_folded():
    constants = [constant("c", [0, 3, 0, 5])]
    nodes = [helper.make_node("NonZero", ["c"], ["n"]), helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("Add", ["x", "f"], ["y"])]  # fmt: skip
    rewritten = for_version(make(nodes, [value("x", [1, 2])], [value("y", [1, 2])], constants), "8.6.0")
    assert ops(rewritten) == {"Add": 1}


def test_a_constant_output_stays_an_output():
    model = make([helper.make_node("Shape", ["x"], ["s"], "/shape"), helper.make_node("Relu", ["x"], ["y"], "/relu")],
                 [value("x", [2, 3])], [value("s", [2], TensorProto.INT64), value("y", [2, 3])])  # fmt: skip
    rewritten = for_version(model, "8.6.0")
    assert [out.name for out in rewritten.graph.output] == ["s", "y"]
    assert_same(model, rewritten, {"x": noise(2, 3)})


def test_a_marked_output_of_unknown_rank_is_refused():
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"], "/r"), helper.make_node("Relu", ["r"], ["y"], "/relu"),
             helper.make_node("ReduceSum", ["y"], ["z"], "/sum", keepdims=0)]  # fmt: skip
    inputs = [value("x", [6]), value("s", ["rank"], TensorProto.INT64)]
    model = make(nodes, inputs, [value("z", [])])
    for_version(model, "8.6.0")
    with pytest.raises(BadInput, match=r"rewritten for TensorRT 8\.6\.0"):
        for_version(model, "8.6.0", outputs=["y"])


def test_external_weights_are_left_where_they_are(tmp_path):
    model = make([helper.make_node("Mul", ["x", "w"], ["y"], "/mul")], [value("x", [300])], [value("y", [300])],
                 [constant("w", noise(300), np.float32)])  # fmt: skip
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    light = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    for version in VERSIONS:
        (kept,) = for_version(light, version).graph.initializer
        assert {entry.key: entry.value for entry in kept.external_data}["location"] == "m.data"


def test_functions_are_inlined_with_unique_names():
    body = [helper.make_node("Mul", ["a", "a"], ["b"])]
    square = helper.make_function("trt.plugins", "Square", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    nodes = [helper.make_node("Square", ["x"], ["s"], "/s", domain="trt.plugins"),
             helper.make_node("Square", ["s"], ["y"], "/t", domain="trt.plugins")]  # fmt: skip
    model = make(nodes, [value("x", [2])], [value("y", [2])], functions=[square], opsets=[("trt.plugins", 1)])
    rewritten = for_version(model, "10.13.0", outputs=["s"])
    names = [node.name for node in rewritten.graph.node]
    assert ops(rewritten) == {"Mul": 2} and names == ["/s/Mul_0", "/t/Mul_0"]  # a pattern such as "/s/*" finds them
    assert [out.name for out in rewritten.graph.output] == ["y", "s"]
    x = np.float32([2, 3])
    assert [array.tolist() for array in run(rewritten, {"x": x})] == [[16, 81], [4, 9]]


REFUSED = {
    "computed at run time": make(
        [helper.make_node("Cast", ["a"], ["i"], "/i", to=TensorProto.INT64),
         helper.make_node("ReduceMax", ["x", "i"], ["y"], "op", keepdims=0)],
        [value("x", [2, 3]), value("a", [1])], [value("y", ["m"])]),
    "split of a free dimension": one("Split", (6, 2), outputs=3, free=True, num_outputs=3),
    "antialias": one("Resize", (1, 1, 4, 4), weights=[constant("scales", [1, 1, 0.5, 0.5], np.float32)],
                     inputs=["", "scales"], mode="linear", antialias=1),
    "reduction": one("ScatterElements", (2, 3), axis=1, reduction="add",
                     weights=[constant("at", [[0, 0, 0]]), constant("new", [[1, 2, 3]], np.float32)]),
    "mode wrap": one("Pad", (2, 3), opset=19, weights=[constant("pads", [0, 1, 0, 1])], mode="wrap"),
    "dilations": one("AveragePool", (1, 1, 6, 6), opset=19, kernel_shape=[2, 2], dilations=[2, 2]),
    "Gelu in its form of opset 20": one("Gelu", (2, 3), opset=20),
    "UINT8": one("QuantizeLinear", (2,), opset=19, kind=TensorProto.UINT8,
                 weights=[constant("s", 0.1, np.float32), constant("z", 3, np.uint8)]),
    "zero point other than 0": one("QuantizeLinear", (2,), opset=19,
                                   weights=[constant("s", 0.1, np.float32), constant("z", 3, np.int8)],
                                   kind=TensorProto.INT8),
    "subgraphs": make(
        [helper.make_node("If", ["c"], ["y"], "op",
                          **{f"{way}_branch": helper.make_graph([helper.make_node(kind, ["x"], [way])], way, [],
                                                                [value(way, [2])])
                             for way, kind in (("then", "Relu"), ("else", "Neg"))})],
        [value("c", [], TensorProto.BOOL), value("x", [2])], [value("y", [2])]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_forms_without_an_equal_are_refused_for_8_6_only(what):
    with pytest.raises(BadInput, match=rf"node 'op' (.|\n)*{what}"):
        for_version(REFUSED[what], "8.6.0")
    for_version(REFUSED[what], "10.13.0")
