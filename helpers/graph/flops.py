"""What one node of an ONNX graph costs: its floating-point operations. No torch."""

import contextlib
from math import prod

import onnx
from onnx import helper

from helpers.errors import BadInput
from helpers.graph.edit import inlined, used
from helpers.graph.functions import FUNCTIONS, definitions, is_defined
from helpers.graph.inference import inferred, inferred_each
from helpers.graph.types import count, kind_of, stated, text, type_of, types_of
from helpers.graph.walk import STANDARD, attributes, bodies


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


def size_of(name: str, known: dict) -> int:
    """Number of elements of a tensor. Raises Unknown."""
    shape = known.get(name, (0, None))[1]
    size = count(shape)
    if size is None:
        raise Unknown(f"the shape of {name} is {text(shape)}")
    return size


def flops_of(node: onnx.NodeProto, known: dict, whole: Whole) -> int:
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
        whole.costs[key] = sum(flops_of(each, inside, inner) for each in flat.graph.node)
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
        costs.append(sum(flops_of(inner, inside, whole) for inner in body.node))
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
