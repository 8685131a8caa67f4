"""Precisions of single layers, where typing is weak. `trt` is the module, `network` an INetworkDefinition."""

import fnmatch
from collections.abc import Mapping
from typing import Any

import onnx

from helpers.errors import BadInput

TYPES = {"fp32": "FLOAT", "fp16": "HALF", "int8": "INT8"}
REAL = ("FLOAT", "HALF")


def apply(trt: Any, network: Any, model: onnx.ModelProto, patterns: Mapping[str, str] | None) -> dict[int, str]:
    """Set the precision of the layers whose own name, or whose ONNX node's name, fits a pattern; returns it by index.

    A layer that the parser left without its node's name (8.6: LayerNormalization) is known by its output's name. A
    plugin chooses among the types that it supports: 8.6 refuses a constraint on it, so none is set.
    """
    patterns = patterns or {}
    made_by = {name: node.name for node in model.graph.node for name in node.output}
    hits = dict.fromkeys(patterns, 0)
    constrained: dict[int, str] = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = [layer.get_output(position) for position in range(layer.num_outputs)]
        names = {layer.name, *(made_by.get(tensor.name, "") for tensor in outputs)}
        for pattern, precision in patterns.items():
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
                continue
            hits[pattern] += 1
            if not layer.type.name.startswith("PLUGIN") and all(tensor.dtype.name in REAL for tensor in outputs):
                constrained[index] = precision
                _set_precision(trt, layer, precision)
    for pattern, count in hits.items():
        if not count:
            raise BadInput(f"option layer_precisions[{pattern!r}]", "no layer of this name", "a pattern of layer names",
                           "list the names with python -m helpers graph; * stands for any text")  # fmt: skip
    return constrained


def given(trt: Any, network: Any) -> dict[int, str]:
    """Index -> precision of the layers that were given FP32 as they were made."""
    layers = enumerate(map(network.get_layer, range(network.num_layers)))
    return {index: "fp32" for index, one in layers if one.precision_is_set and one.precision == trt.DataType.FLOAT}


def hold_constants(trt: Any, network: Any, constrained: Mapping[int, str]) -> int:
    """Set what a constrained layer (index -> precision) reads of constants, directly or in another shape, to its
    precision; returns how many layers that were.

    The parser of 8.6 fits a constant to another's rank by a shuffle that has a number for a name, so that no pattern
    meets it. One of them in half precision before a layer in FP32 was seen to leave a part of a network without an
    implementation ("Mismatched type", github.com/NVIDIA/TensorRT/issues/2838).
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    made_by = {layer.get_output(n).name: index for index, layer in enumerate(layers) for n in range(layer.num_outputs)}

    def sources(index):
        tensors = map(layers[index].get_input, range(layers[index].num_inputs))
        return [made_by.get(tensor.name) if tensor is not None else None for tensor in tensors]

    def constant(index):
        kind = "" if index is None else layers[index].type.name
        return kind == "CONSTANT" or (kind == "SHUFFLE" and constant(sources(index)[0]))

    held: set[int] = set()
    waiting = [(index, kind) for index, kind in constrained.items() if kind != "int8"]
    while waiting:
        index, precision = waiting.pop()
        for source in set(sources(index)) - constrained.keys() - held:
            if constant(source) and layers[source].get_output(0).dtype.name in REAL:
                _set_precision(trt, layers[source], precision)
                held.add(source)
                waiting.append((source, precision))
    return len(held)


def _set_precision(trt, layer, precision):
    kind = getattr(trt.DataType, TYPES[precision])
    layer.precision = kind
    if precision != "int8":  # an INT8 layer may hand on what its user wants
        for position in range(layer.num_outputs):
            layer.set_output_type(position, kind)
