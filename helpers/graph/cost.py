"""What the blocks of an ONNX graph cost: parameters and floating-point operations. No torch."""

from math import prod

import onnx
from onnx import TensorProto

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.graph.file import Model, name_of, read
from helpers.graph.flops import RULES, Unknown, Whole, flops_of, size_of
from helpers.graph.functions import FUNCTIONS
from helpers.graph.inference import inferred
from helpers.graph.types import tensor_types
from helpers.graph.walk import attributes, bodies, is_float, node_inputs

RESAMPLING = {"AveragePool", "GlobalAveragePool", "MaxPool", "Resize"}
PASSED_ON = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Cast", "Identity"}


@typed
def cost_by_block(model: Model, depth: int = 3) -> list[dict]:
    """Parameters and FLOPs by block: block, nodes, parameters, flops; in graph order.

    A block is the first `depth` parts of the module path in the node names (`/head/decoder/layers.0/MatMul`).

    Parameters are floating-point and INT8 constants, whether initializers, Constant nodes or in the bodies of If, Loop
    and Scan. A weight counts once, at its first user; folded constants count with the weights. Constants inside
    functions are left out.

    FLOPs are 2 per multiply-accumulate of Conv, Gemm, MatMul and their transposes; bilinear sampling counts 8 per value
    and channel; a custom operator what `helpers.graph.functions` says, other functions what their body costs. All other
    operators count as 0. An If costs what both its branches cost. Where a size is not known, or how often a body runs,
    `flops` is None and the row has one key more, `why`.
    """
    where = name_of(model)
    model = inferred(read(model), where)
    known = tensor_types(model, where)
    whole = Whole(model, known)
    users: dict[str, onnx.NodeProto] = {}
    for node in model.graph.node:
        for position, name in enumerate(node_inputs(node)):
            if not (position and node.op_type in ("QuantizeLinear", "DequantizeLinear")):
                users.setdefault(name, node)
    rows: dict[str, dict] = {}
    for node in model.graph.node:
        row = rows.setdefault(_block(_owner(node, users).name, depth), {"nodes": 0, "parameters": 0, "flops": 0})
        row["nodes"] += 1
        row["parameters"] += sum(_parameters(body) for body in bodies(node))
        try:
            cost = flops_of(node, known, whole)
            row["flops"] = None if row["flops"] is None else row["flops"] + cost
        except Unknown as reason:
            row["flops"] = None
            row.setdefault("why", f"{node.op_type} {node.name or node.output[0]}: {reason}")
    for name, size in _weights(model.graph).items():
        if name in users:
            rows[_block(_owner(users[name], users).name, depth)]["parameters"] += size
    return [{"block": block} | row for block, row in rows.items()]


@typed
def layers(model: Model) -> list[dict]:
    """What each layer that computes or resamples costs: node, op, flops, elements; in graph order.

    Convolutions, matrix products, custom operators and `RESAMPLING`; all others can be done on the way between them.
    `elements`: of its inputs, constants with them, and of its outputs, each of which is read or written once at least.
    A size has to be known: BadInput names the first layer of which one is not.
    """
    where = name_of(model)
    model = inferred(read(model), where)
    known, rows = tensor_types(model, where), []
    whole = Whole(model, known)
    for node in model.graph.node:
        if node.op_type not in {*RULES, *FUNCTIONS, *RESAMPLING}:
            continue
        names = [name for name in (*node.input, *node.output) if name]
        try:
            flops, sizes = flops_of(node, known, whole), [size_of(name, known) for name in names]
        except Unknown as reason:
            raise BadInput(f"layer {node.name or node.output[0]}", reason, "known shapes", "fix them") from reason
        rows.append({"node": node.name, "op": node.op_type, "flops": flops, "elements": sum(sizes)})
    return rows


def _block(name, depth):
    scope = name.strip("/").split("/")[:-1] if name.startswith("/") else []
    return "/".join(scope[:depth]) or "(top)"


def _owner(node, users):
    while node.op_type in PASSED_ON and not node.name.startswith("/") and node.output[0] in users:
        node = users[node.output[0]]
    return node


def _weights(graph):
    """Name -> number of elements of the constants of a graph that count as parameters."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    sizes = {}
    for node in graph.node:
        if node.op_type == "Constant":
            given = attributes(node)
            if "value" in given:
                tensors[node.output[0]] = given["value"]
            elif not given.keys().isdisjoint(("value_float", "value_floats")):
                sizes[node.output[0]] = len(given.get("value_floats", [0]))
    for name, tensor in tensors.items():
        if is_float(tensor.data_type) or tensor.data_type == TensorProto.INT8:
            sizes[name] = prod(tensor.dims)
    return sizes


def _parameters(body):
    return sum(_weights(body).values()) + sum(_parameters(inner) for node in body.node for inner in bodies(node))
