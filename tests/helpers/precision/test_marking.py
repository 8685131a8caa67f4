"""One description of a marking, in both forms, and the search for the fewest parts that have to stay in FP32."""

import types
from fnmatch import fnmatchcase

import numpy as np
import pytest
from onnx import TensorProto, helper

from helpers import graph
from helpers.cli import engine_options
from helpers.errors import BadInput
from helpers.graph import walk
from helpers.precision import marking, mixed
from helpers.precision.runners import OnnxRunner
from helpers.sequence import Step
from tests.builders.graphs import captures, model

PARTS = {"map": ("/map/*",), "head": ("/head/*",), "coarse": ("/coarse*",)}
CONFIG = types.SimpleNamespace(
    states={"at_in": "at_out"},
    initial_states=lambda: {"at_in": np.zeros(2, np.float32)},
    output_shapes=lambda: {"y": (2,), "at_out": (2,)},
)
FRAMES = [{"x": np.float32([0.1, 0.3]) * (k + 1)} for k in range(3)]


def network():
    """A map holds x from thousands of meters away; what it holds is added up, and read back near the vehicle."""
    constants = {"far": np.float32(3000), "third": np.float32(1 / 3), "one": np.float32(1)}
    nodes = [
        helper.make_node("Add", ["x", "far"], ["put"], "/map/Add"),
        helper.make_node("Sub", ["put", "far"], ["got"], "/map/Sub"),
        helper.make_node("Mul", ["got", "third"], ["scaled"], "/coarse/Mul"),
        helper.make_node("Add", ["scaled", "at_in"], ["at_out"], "/coarse.1/Add"),
        helper.make_node("Mul", ["at_out", "one"], ["held"], "/head/Mul"),
        helper.make_node("Identity", ["held"], ["y"], "/Identity"),
    ]
    return model(nodes, {"x": (2,), "at_in": (2,)}, {"y": (2,), "at_out": (2,)}, constants)


def bench(seen=None):
    return mixed.Mixed(network(), PARTS, [Step(feeds, k in (0, 2)) for k, feeds in enumerate(FRAMES)], CONFIG, seen)


def test_the_last_pattern_counts_and_fp32_is_what_nothing_says():
    marks = {"*": "fp16", "/head/*": "fp32", "/head/Mul": "fp16"}
    assert [marking.precision_of(name, marks) for name in ("/map/Add", "/head/Add", "/head/Mul")] == [
        "fp16", "fp32", "fp16"]  # fmt: skip
    assert marking.precision_of("/map/Add", {"/head/*": "fp16"}) == "fp32"


def test_a_node_is_of_the_first_part_that_fits_and_of_one_alone():
    found = marking.parts_of(network(), {"first": ("/map/A*",), "second": ("/map/*", "/head/*")})
    assert found == {"first": ["/map/Add"], "second": ["/map/Sub", "/head/Mul"],
                     marking.REST: ["/coarse/Mul", "/coarse.1/Add", "/Identity"]}  # fmt: skip
    with pytest.raises(BadInput, match="no node fits /hat/"):
        marking.parts_of(network(), PARTS | {"hat": ("/hat/*",)})


def test_both_forms_say_the_same_and_leave_the_graph_alone():
    whole = network()
    before = whole.SerializeToString()
    marks = marking.keeping(marking.parts_of(whole, PARTS), ["map", "head"])
    named, cast = marking.by_names(whole, marks), marking.by_casts(whole, marks)
    assert whole.SerializeToString() == before
    kept = ["/map/Add", "/map/Sub", "/head/Mul"]
    assert marking.in_fp32(named) == kept
    assert [node.name for node in named.graph.node] == [
        "/map/Add_FORCEFP32", "/map/Sub_FORCEFP32", "/coarse/Mul", "/coarse.1/Add", "/head/Mul_FORCEFP32",
        "/Identity"]  # fmt: skip
    types_of = graph.tensor_types(cast)
    halves = {node.name for node in cast.graph.node if node.op_type != "Cast"
              and types_of[node.output[0]][0] == TensorProto.FLOAT16}  # fmt: skip
    assert halves == {"/coarse/Mul", "/coarse.1/Add", "/Identity"} == {n.name for n in whole.graph.node} - set(kept)
    assert marking.share(whole, marks) == 0.5
    same = OnnxRunner(named).probe(["y"])(FRAMES[0] | CONFIG.initial_states())
    assert same["y"] == pytest.approx(np.float32([0.1, 0.3]) / 3, abs=1e-3)


def test_the_flag_of_weak_typing_finds_exactly_the_names_with_the_suffix():
    """As `python -m helpers engine build` reads the same words."""
    *others, word = marking.flags("net.onnx")
    ((pattern, kind),) = engine_options.pairs(word.removeprefix("--layerPrecisions=")).items()
    names = [node.name for node in marking.by_names(network(), {"*": "fp16", "/map/*": "fp32"}).graph.node]
    fitting = [name for name in names if fnmatchcase(name, pattern)]
    assert kind == "fp32" and fitting == ["/map/Add_FORCEFP32", "/map/Sub_FORCEFP32"]
    assert others == ["trtexec", "--onnx=net.onnx", "--fp16", "--precisionConstraints=obey"]


def test_marks_that_say_nothing_are_refused():
    for marks, found in (({"/hat/*": "fp16"}, "no node of such a name"), ({"*": "int4"}, "'int4'")):
        for form in (marking.by_names, marking.by_casts):
            with pytest.raises(BadInput, match=found):
                form(network(), marks)
    with pytest.raises(BadInput, match="'hat'"):
        marking.keeping({"map": ["/map/Add"]}, ["hat"])
    with pytest.raises(BadInput, match="no such node"):
        marking.by_casts(network(), {"*": "fp32"})


def test_quantizers_stay_in_fp32():
    nodes = [helper.make_node("Mul", ["x", "x"], ["m"], "/Mul"),
             helper.make_node("QuantizeLinear", ["m", "scale", "zero"], ["q"], "/Q"),
             helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], "/DQ")]  # fmt: skip
    whole = model(nodes, {"x": (2,)}, {"y": (2,)}, {"scale": np.float32(0.01), "zero": np.int8(0)})
    cast = marking.by_casts(whole, {"*": "fp16"})
    assert [(node.op_type, *node.input) for node in cast.graph.node if node.op_type != "Cast"] == [
        ("Mul", "/Mul/half_1", "/Mul/half_1"), ("QuantizeLinear", "m", "scale", "zero"),
        ("DequantizeLinear", "q", "scale", "zero")]  # fmt: skip


def test_what_has_no_name_or_is_inside_a_node_is_marked_and_earlier_marks_do_not_count():
    whole = captures()
    for node in whole.graph.node:
        node.name = f"/{node.op_type}" if node.op_type == "If" else ""
    marked = marking.by_names(whole, {"*": "fp16", "/If": "fp32", "": "fp32"})
    names = [node.name for node in walk.all_nodes(marked)]
    assert all(name.endswith(marking.SUFFIX) for name in names) and len(set(names)) == len(names)
    again = marking.by_names(network(), {"*": "fp16", "/map/*": "fp32"})
    again = marking.by_names(again, {"*": "fp16", "/map/Add": "fp32"})
    assert marking.in_fp32(again) == ["/map/Add"] and [n.name for n in again.graph.node][:2] == [
        "/map/Add_FORCEFP32", "/map/Sub"]  # fmt: skip
    for form in (marking.by_names, marking.by_casts):
        with pytest.raises(BadInput, match="a graph without a node"):
            form(model([], {"x": (2,)}, {"x": (2,)}), {"*": "fp16"})


def test_a_graph_that_has_casts_takes_more_of_them_and_refuses_fewer():
    whole, feeds = network(), FRAMES[0] | CONFIG.initial_states()
    part = marking.by_casts(whole, {"/map/*": "fp16"})
    twice = marking.by_casts(part, {"*": "fp16"})
    once = marking.by_casts(whole, {"*": "fp16"})
    assert np.array_equal(*(OnnxRunner(each).probe(["y"])(feeds)["y"] for each in (twice, once)))
    with pytest.raises(BadInput, match=r"(?s)/map/Sub.*FP16 tensors"):
        marking.by_casts(part, {"*": "fp16", "/map/Sub": "fp32"})


def test_nodes_without_names_of_their_own_and_what_onnx_has_in_fp32_alone_can_be_cast():
    """Scales of a Resize stay, and a node with a body does: nothing inside it would be rounded."""
    nodes = [helper.make_node("Mul", ["x", "third"], ["a"]), helper.make_node("Mul", ["a", "third"], ["b"]),
             helper.make_node("Resize", ["b", "", "scales"], ["y"], "/Resize")]  # fmt: skip
    constants = {"third": np.float32(1 / 3), "scales": np.float32([2])}
    cast = marking.by_casts(model(nodes, {"x": (2,)}, {"y": (4,)}, constants), {"*": "fp16"})
    (found,) = OnnxRunner(cast).probe(["y"])({"x": np.float32([3, 6])}).values()
    third = np.float16(1 / 3)
    assert found[0] == np.float16(np.float16(3) * third) * third and cast.graph.node[-2].input[2] == "scales"
    branches = captures()
    held = {node.op_type for node in branches.graph.node if walk.bodies(node)}
    left = marking.by_casts(branches, {"*": "fp16"})
    assert held and [n.SerializeToString() for n in left.graph.node if n.op_type in held] == [
        n.SerializeToString() for n in branches.graph.node if n.op_type in held]  # fmt: skip


def test_the_part_that_holds_large_numbers_does_the_harm_and_alone_has_to_stay():
    made = bench()
    found = mixed.sensitivity(made)
    assert next(iter(found)) == "map" and found["map"].error > 0.1 > 1e-3 > found["coarse"].error > 0
    assert found["coarse"].kept == ("map", "head", marking.REST) and found[marking.REST].error < 1e-3
    trials = mixed.smallest(made, 1e-2)
    assert [trial.kept for trial in trials] == [(), ("map",)]
    assert trials[-1].error <= 1e-2 < trials[0].error == made.trial([]).error
    assert made.errors(made.reference) == {"y": 0.0, "at_out": 0.0} == made.trial(made.nodes).errors


def test_what_is_not_needed_in_fp32_is_given_back():
    """The order is bad: the harmful part comes last. Those before it return to FP16, and the memory was carried."""
    made = bench(lambda outputs: {"y": outputs["y"]})
    trials = mixed.smallest(made, 1e-2, ["coarse", "head", "map"])
    assert trials[-1].kept == ("map",) and set(trials[-1].errors) == {"y"}
    assert ("coarse", "head", "map") in [trial.kept for trial in trials]
    carried = [outputs["at_out"] / np.float32([0.1, 0.3]) * 3 for outputs in made.reference]
    assert np.allclose(carried, [[1, 1], [3, 3], [3, 3]], atol=0.05)  # a sequence begins at the third
    with pytest.raises(BadInput, match="above 0"):
        mixed.smallest(made, 0.0)


def test_what_is_not_finite_is_an_infinite_error():
    made = bench()
    broken = [outputs | {"y": np.float32([np.nan, 0])} for outputs in made.reference]
    assert made.errors(broken) == {"y": np.inf, "at_out": 0.0}
    made.reference = broken  # nothing can be said where FP32 is not finite either
    assert made.errors(broken)["y"] == np.inf


def test_autocast_puts_casts_where_types_change_and_leaves_what_is_marked():
    """In FP32 stay a node, and the body of a custom one."""
    whole, body = network(), [helper.make_node("Mul", ["a", "b"], ["c"])]
    one = helper.make_function("trt.plugins", "Scale", ["a", "b"], ["c"], body, [helper.make_opsetid("", 18)])
    whole.functions.append(one)
    whole.opset_import.append(helper.make_opsetid("trt.plugins", 1))
    whole.graph.node[2].op_type, whole.graph.node[2].domain = "Scale", "trt.plugins"
    kept = ["/map/Add", "/map/Sub", "/coarse/Mul"]
    cast = marking.by_autocast(whole, {"*": "fp16"} | dict.fromkeys(kept, "fp32"))
    types_of = graph.tensor_types(cast)
    halves = {node.name for node in cast.graph.node if node.op_type != "Cast"
              and types_of[node.output[0]][0] == TensorProto.FLOAT16}  # fmt: skip
    assert halves >= {"/coarse.1/Add", "/head/Mul"} and not {*kept, "/coarse/Mul/Mul_0"} & halves
    assert "/coarse/Mul/Mul_0" in {node.name for node in cast.graph.node}
    assert [value.type.tensor_type.elem_type for value in cast.graph.output] == [TensorProto.FLOAT] * 2
    found, exact = (OnnxRunner(each).probe(["y"])(FRAMES[0] | CONFIG.initial_states()) for each in (cast, whole))
    assert found["y"] == pytest.approx(exact["y"], abs=1e-3)
    with pytest.raises(BadInput, match="no node of such a name"):
        marking.by_autocast(whole, {"/hat/*": "fp16"})
