"""Bisection: few probes, whatever way the graph branches and the errors heal."""

import numpy as np
from onnx import helper

from helpers.precision import Options, first_divergence
from tests.builders.graphs import chain, model_of
from tests.fakes.runners import Recorder

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_bisection_asks_for_few_tensors():
    model = chain(length=200)
    engine = Recorder(model, {f"t{i}": 1.01 for i in range(77, 200)})
    found = first_divergence(model, engine, X)
    assert found.tensor == "t77" and found.probes <= 10 and max(map(len, engine.asked)) <= 2
    assert found.kind == "half" and "engine inspector" in found.hint


def test_bisection_walks_where_an_error_heals():
    """t77 is bad again after t40..t60 went bad and healed: the tensor that bisection meets has a bad ancestor."""
    model = chain(length=100)
    for wrong in ({39, 40, *range(41, 100, 2)}, {*range(76, 78), *range(10, 60), 99}):
        engine = Recorder(model, {f"t{i}": 1.01 for i in wrong})
        found = first_divergence(model, engine, X)
        walked = first_divergence(model, engine, X, options=Options(strategy="walk"))
        assert walked.tensor == f"t{min(wrong)}"
        index = int(found.tensor[1:])
        assert index in wrong and index - 1 not in wrong


def test_bisection_looks_at_the_inputs_of_what_it_found():
    """t0 is bad, its descendants heal, and the output takes t0 once more beside them."""
    nodes = [helper.make_node("Neg", [f"t{i - 1}" if i else "x"], [f"t{i}"]) for i in range(9)]
    model = model_of([*nodes, helper.make_node("Add", ["t0", "t8"], ["y"])], {"x": [4]}, ["y"])
    assert first_divergence(model, Recorder(model, {"t0": 1.1, "y": 1.1}), X).tensor == "t0"


def test_bisection_follows_branches():
    """Only one of two branches is bad, and the bad one comes first in the graph's order."""
    nodes = [helper.make_node("Neg", ["x"], ["a0"])]
    nodes += [helper.make_node("Neg", [f"a{i}"], [f"a{i + 1}"]) for i in range(5)]
    nodes += [helper.make_node("Abs", ["x" if i == 0 else f"b{i - 1}"], [f"b{i}"]) for i in range(6)]
    nodes += [helper.make_node("Add", ["a5", "b5"], ["y"])]
    model = model_of(nodes, {"x": [4]}, ["y"])
    engine = Recorder(model, {"a3": 1.1, "a4": 1.1, "a5": 1.1, "y": 1.1})
    assert first_divergence(model, engine, X).tensor == "a3"
