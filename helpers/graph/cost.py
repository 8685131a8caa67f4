"""What the blocks of an ONNX graph cost: parameters and floating-point operations. No torch."""

import contextlib
from math import prod

import onnx
from onnx import TensorProto, helper

from helpers.errors import BadInput
from helpers.graph.edit import inlined, used
from helpers.graph.file import Model, name_of, read
from helpers.graph.functions import FUNCTIONS, definitions, is_defined
from helpers.graph.inference import inferred, inferred_each
from helpers.graph.types import count, kind_of, stated, tensor_types, text, type_of, types_of
from helpers.graph.walk import STANDARD, attributes, bodies, is_float, node_inputs

RESAMPLING = {"AveragePool", "GlobalAveragePool", "MaxPool", "Resize"}
PASSED_ON = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Cast", "Identity"}


class Whole:
    """A model whose nodes are asked for their cost: its functions, and what calls of them cost.

    Attributes:
        costs: operator, attributes and types of the inputs -> FLOPs; a block that is repeated is looked at once.
        flat: the same -> what onnx infers of the function's body; of those that the main graph calls, all at once.
    """

    def __init__(self, model: onnx.ModelProto, known: dict | None = None):
        self.model, self.functions = model, definitions(model)
        self.costs: dict[tuple, int] = {}
        alone: dict[tuple, onnx.ModelProto] = {}
        for node in model.graph.node if self.functions and known else ():
            if _by_function(node, self):
                with contextlib.suppress(Unknown):  # told where the cost is asked for
                    _shapes(node, known)
                    key = _key(node, known)
                    alone[key] = alone.get(key) or _alone(node, known, self)
        self.flat = dict(zip(alone, inferred_each(alone.values()), strict=True))


class Unknown(Exception):
    """A number that the graph does not tell; says why."""


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
            cost = _flops(node, known, whole)
            row["flops"] = None if row["flops"] is None else row["flops"] + cost
        except Unknown as reason:
            row["flops"] = None
            row.setdefault("why", f"{node.op_type} {node.name or node.output[0]}: {reason}")
    for name, size in _weights(model.graph).items():
        if name in users:
            rows[_block(_owner(users[name], users).name, depth)]["parameters"] += size
    return [{"block": block} | row for block, row in rows.items()]


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
            flops, sizes = _flops(node, known, whole), [_size(name, known) for name in names]
        except Unknown as reason:
            raise BadInput(f"layer {node.name or node.output[0]}", reason, "known shapes", "fix them") from reason
        rows.append({"node": node.name, "op": node.op_type, "flops": flops, "elements": sum(sizes)})
    return rows


def _size(name: str, known: dict) -> int:
    """Number of elements of a tensor. Raises Unknown."""
    shape = known.get(name, (0, None))[1]
    size = count(shape)
    if size is None:
        raise Unknown(f"the shape of {name} is {text(shape)}")
    return size


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


def _flops(node, known, whole):
    """FLOPs of one node; `known` maps tensor -> (dtype, shape). Raises Unknown."""
    if rule := _rule(node):
        inputs, output = _shapes(node, known)
        try:
            return rule(node, inputs, output)
        except (IndexError, ValueError) as error:  # of inputs that are not there, or of fewer dimensions
            raise Unknown(f"inputs of shape {', '.join(map(text, inputs))} do not fit it") from error
    if _by_function(node, whole):
        return _function_flops(node, known, whole)
    return _body_flops(node, known, whole)


def _rule(node):
    """What tells the FLOPs of a node by the shapes of its inputs and of its output; None if nothing does."""
    if node.op_type in FUNCTIONS:
        return FUNCTIONS[node.op_type].flops
    return RULES.get(node.op_type) if node.domain in STANDARD else None


def _by_function(node, whole):
    """Whether the cost of a node is that of its local function's body."""
    return not _rule(node) and is_defined(node, whole.functions)


def _shapes(node, known):
    """Shapes of the inputs, and of the first output. Raises Unknown if a size of one is not known."""
    found = []
    for name in (*node.input, node.output[0]):
        shape = known.get(name, (0, None))[1] if name else []
        if count(shape) is None:
            raise Unknown(f"the shape of {name} is {text(shape)}")
        found.append(shape)
    return found[:-1], found[-1]


def _function_flops(node, known, whole):
    """FLOPs of a node through the body of its local function, made a small model of its own and inlined."""
    _shapes(node, known)
    key = _key(node, known)
    if key not in whole.costs:
        flat = whole.flat.get(key) or inferred(_alone(node, known, whole))
        inside, inner = types_of(flat), Whole(flat)
        whole.costs[key] = sum(_flops(each, inside, inner) for each in flat.graph.node)
    return whole.costs[key]


def _key(node, known):
    """What the cost of a function's call depends on."""
    given = [attribute.SerializeToString(deterministic=True) for attribute in node.attribute]
    types = [str(known.get(name)) if name else "" for name in node.input]
    return node.domain, node.op_type, *given, *types, len(node.output)


def _alone(node, known, whole):
    """A model of one node, its functions inlined. Raises Unknown if they do not fit it."""
    inputs = [helper.make_tensor_value_info(name, *known[name]) for name in node.input if name]
    outputs = [helper.make_tensor_value_info(name, *known[name]) for name in node.output if name in known]
    made = helper.make_model(
        helper.make_graph([node], "one", inputs, outputs),
        functions=used(whole.functions, [node]),
        opset_imports=whole.model.opset_import,
        ir_version=whole.model.ir_version,
    )
    try:
        return inlined(made)
    except BadInput as error:
        raise Unknown(error.found) from error


def _body_flops(node, known, whole):
    """FLOPs of an If whose branches cost the same; 0 for a node without bodies, or with bodies that cost nothing."""
    costs = []
    for body in bodies(node):
        inside = known | {name: type_of(value) for name, value in stated(body).items() if kind_of(value) == "tensor"}
        costs.append(sum(_flops(inner, inside, whole) for inner in body.node))
    if node.op_type != "If" and any(costs):
        raise Unknown("how often its body runs is not known")
    if len(set(costs)) > 1:
        raise Unknown(f"its branches cost {' and '.join(f'{cost:,}' for cost in costs)}")
    return costs[0] if costs else 0


def _convolution(node, inputs, output):
    return 2 * prod(output) * prod(inputs[1][1:])


def _transposed_convolution(node, inputs, output):
    return 2 * prod(inputs[0]) * prod(inputs[1][1:])


def _matrix_product(node, inputs, output):
    return 2 * prod(output) * inputs[0][-1]


def _gemm(node, inputs, output):
    return 2 * prod(output) * inputs[0][0 if attributes(node).get("transA") else 1]


def _grid_sample(node, inputs, output):
    return 0 if attributes(node).get("mode") == b"nearest" else 8 * prod(output)


RULES = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "GridSample": _grid_sample,
    "MatMul": _matrix_product,
}
