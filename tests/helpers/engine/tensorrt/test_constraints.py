"""What is held in FP32 before a layer that is, and the second attempt of a builder that refused."""

import types

import pytest

from helpers import engine
from helpers.engine.tensorrt import constraints
from helpers.errors import BadInput
from tests.helpers.engine.tensorrt.builders import built

REFUSED = "Could not find any implementation for node {ForeignNode[a...b]}."


def network(trt, rows):
    """A network of rows (name, kind, names of inputs, type of the output)."""
    tensors, layers = {"x": trt.ITensor("x", trt.DataType.FLOAT, ())}, []
    for name, kind, inputs, dtype in rows:
        tensors[name] = trt.ITensor(name, trt.DataType[dtype], ())
        layers.append(trt.ILayer(name, kind, [tensors.get(each) for each in inputs], [tensors[name]]))
        layers[-1].precision_is_set = False
    return types.SimpleNamespace(num_layers=len(layers), get_layer=layers.__getitem__, layers=layers)


ROWS = [
    ("zero", "CONSTANT", [], "FLOAT"),
    ("fitted", "SHUFFLE", ["zero"], "FLOAT"),
    ("which", "CONSTANT", [], "INT32"),
    ("moved", "SHUFFLE", ["x"], "FLOAT"),
    ("half", "ELEMENTWISE", ["x", "zero"], "FLOAT"),
    ("two", "CONSTANT", [], "FLOAT"),
    ("exact", "SELECT", ["half", "fitted", "moved", "which", None], "FLOAT"),
    ("free", "ELEMENTWISE", ["exact", "two"], "FLOAT"),
]


def test_constants_before_a_constrained_layer_are_held_through_shuffles_and_nothing_else_is(weak):
    made = network(weak, ROWS)
    names = [row[0] for row in ROWS]
    assert constraints.hold_constants(weak, made, {names.index("exact"): "fp32"}) == 2
    held = {layer.name: layer.precision.name for layer in made.layers if layer._types}
    assert held == {"zero": "FLOAT", "fitted": "FLOAT"}
    assert constraints.hold_constants(weak, network(weak, ROWS), {names.index("free"): "int8"}) == 0


def test_what_a_definition_constrained_is_known_from_its_layers(weak):
    made = network(weak, ROWS)
    made.layers[6].precision_is_set, made.layers[6].precision = True, weak.DataType.FLOAT
    made.layers[4].precision_is_set, made.layers[4].precision = True, weak.DataType.HALF
    assert constraints.given(weak, made) == {6: "fp32"}


def test_a_refused_network_is_built_again_with_its_constants_held(weak, model, monkeypatch):
    held = []
    monkeypatch.setattr(constraints, "hold_constants", lambda trt, network, found: held.append(found) or 2)
    weak._refuse = lambda network: "" if held else REFUSED
    path = built(model, precision="fp16", layer_precisions={"*_FORCEFP32": "fp32"})
    meta = engine.inspect(path)
    assert list(*map(dict.values, held)) == ["fp32"] and len(weak._built) == 2 and meta["held_constants"] == 2
    assert meta["warnings"] == [REFUSED]


def test_where_nothing_can_be_held_the_refusal_says_why(weak, model):
    def refuse(network):
        weak._last_logger.log(weak.ILogger.Severity.VERBOSE, "Skipping tactic 0x0 due to Myelin error: Mismatched type")
        return REFUSED

    weak._refuse = refuse
    for patterns in ({"*_FORCEFP32": "fp32"}, None):
        with pytest.raises(BadInput, match=r"ForeignNode\[a\.\.\.b\](.|\n)*Mismatched type"):
            built(model, precision="fp16", layer_precisions=patterns)
    assert len(weak._built) == 2
