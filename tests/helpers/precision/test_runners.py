"""Runners of ONNX graphs and of engines."""

import numpy as np
import pytest
from onnx import parser

from helpers.errors import BadInput
from helpers.precision import OnnxRunner, Options, Runner, faults, first_divergence
from tests.builders.graphs import chain

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_a_graph_that_mixes_types_is_refused():
    mixed = faults.half(chain(), "/t2/*")
    assert mixed.graph.node[4].op_type == "Mul"
    mixed.graph.node[4].input[0] = "t1"  # past the Cast
    with pytest.raises(BadInput, match=r"ONNX Runtime [\d.]+ runs on a CPU"):
        first_divergence(chain(), mixed, X)


def parsed(interface, body, head='ir_version: 8, opset_import: ["": 17]'):
    return parser.parse_model(f"<{head}> g {interface} {{ {body} }}")


def branched(then):
    """y is minus `then` of x, or x; the branches capture x."""
    return parsed(
        "(float[1,8] x, bool c) => (float[1,8] y)",
        f"a = Abs(x) z = If(c)<then_branch = t () => (float[1,8] p) {{ p = {then}(a) }},"
        "else_branch = e () => (float[1,8] q) { q = Neg(a) }> y = Neg(z)",
    )


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
def test_branches_that_capture_names(strategy):
    frames = [{"x": np.float32([[1, 2, 3, 4, 5, 6, 7, 8]]), "c": np.bool_(True)}]
    options = Options(strategy=strategy)
    assert not first_divergence(branched("Sqrt"), branched("Sqrt"), frames, options=options).found
    found = first_divergence(branched("Sqrt"), branched("Exp"), frames, options=options)
    assert (found.tensor, found.op) == ("z", "If") and [item.name for item in found.inputs] == ["c", "a", "z"]
    assert not first_divergence(branched("Sqrt"), branched("Exp"), [frames[0] | {"c": np.bool_(False)}]).found


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
def test_sequences_are_left_out_of_the_comparison(strategy):
    def split(index):
        body = "a = Neg(x) q = SplitToSequence<axis=1>(a, s) y = SequenceAt(q, i)"
        head = 'ir_version: 8, opset_import: ["": 17]'
        interface = f"(float[1,4] x) => (float[1,2] y) <int64[2] s = {{2,2}}, int64 i = {{{index}}}>"
        return parsed(interface, body, head)

    assert OnnxRunner(split(0)).names == ["a", "y"]
    frames, options = [{"x": np.float32([[1, 2, 3, 4]])}], Options(strategy=strategy)
    same = first_divergence(split(0), split(0), frames, options=options)
    assert not same.found and same.compared == (2 if strategy == "walk" else 1)
    found = first_divergence(split(0), split(1), frames, options=options)
    assert (found.tensor, found.op) == ("y", "SequenceAt")


def test_an_input_that_is_a_sequence_is_refused():
    model = parsed("(seq(float[2]) x, int64 i) => (float[2] y)", "y = SequenceAt(x, i)")
    with pytest.raises(BadInput, match=r"input x[\s\S]*sequence"):
        OnnxRunner(model)


def test_a_graph_that_does_not_run_is_told_by_its_node():
    model = parsed("(float[1,4] x, int64[1] i) => (float[1,1] y)", "y = Gather<axis=1>(x, i)")
    with pytest.raises(BadInput, match=r"(?i:gather)[\s\S]*idx=9"):
        first_divergence(model, model, [{"x": np.zeros((1, 4), np.float32), "i": np.array([9])}])


def test_a_runner_is_what_its_base_says():
    runner = Runner()
    assert (runner.strategy, runner.any_tensor, runner.rebuilt, runner.at_once) == ("walk", False, False, 1)
    assert runner.model is None and not runner.unmatched and not runner.types
    assert runner.weight_of(chain().graph.node[0], 1) is None
    with pytest.raises(NotImplementedError):
        runner.probe(["y"])
