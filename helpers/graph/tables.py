"""Tables of what is in an ONNX graph: operators, custom operators, tensors with their shapes. No torch.

Every function takes a path or an `onnx.ModelProto` and returns a list of dicts, one per row. Cost by block is in
`helpers.graph.cost`.
"""

from collections import Counter

from onnx import helper

from helpers.arguments import typed
from helpers.graph.file import Model, name_of, read
from helpers.graph.functions import custom_nodes, definitions, is_defined, is_known
from helpers.graph.types import kind_of, tensor_types, text, type_of, values
from helpers.graph.walk import attributes, initializers, inputs


@typed
def op_table(model: Model) -> list[dict]:
    """Operators of the main graph by count: op, domain, count, kind (`onnx`, `function` for a custom one with its body,
    `plugin` without).
    """
    model = read(model)
    defined = definitions(model)
    custom = {(node.domain, node.op_type): is_defined(node, defined) for node in custom_nodes(model)}
    kinds = {None: "onnx", True: "function", False: "plugin"}
    counts = Counter((node.domain, node.op_type) for node in model.graph.node)
    return [
        {"op": op, "domain": domain, "count": count, "kind": kinds[custom.get((domain, op))]}
        for (domain, op), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


@typed
def custom_ops(model: Model) -> list[dict]:
    """Custom nodes one by one: node, op, domain, inputs and outputs as `name[shape]`, attributes, defined, known."""
    where, model = name_of(model), read(model)
    custom, defined = custom_nodes(model), definitions(model)
    known = tensor_types(model, where) if custom else {}

    def named(names):
        return [f"{name}{text(known.get(name, (0, None))[1])}" for name in names]

    return [
        {
            "node": node.name,
            "op": node.op_type,
            "domain": node.domain,
            "inputs": named(node.input),
            "outputs": named(node.output),
            "attributes": attributes(node),
            "defined": is_defined(node, defined),
            "known": is_known(node, defined),
        }
        for node in custom
    ]


@typed
def shapes(model: Model) -> list[dict]:
    """All values of the main graph: tensor, shape, dtype, role, producer (node name).

    A shape is a list of sizes; a free dimension is its name, or None; the shape is None where the rank is unknown. The
    dtype of what is no tensor is its kind, "sequence" or "optional". Shapes come from `helpers.graph.types`.
    """
    where, model = name_of(model), read(model)
    known = values(model, where)
    outputs = {value.name for value in model.graph.output}
    rows = [(value.name, "input", "") for value in inputs(model)]
    rows += [(name, "initializer", "") for name in initializers(model)]
    rows += [
        (name, "output" if name in outputs else "tensor", node.name)
        for node in model.graph.node
        for name in node.output
        if name
    ]
    return [{"tensor": name} | _described(known[name]) | {"role": role, "producer": by} for name, role, by in rows]


def _described(value):
    kind, (dtype, shape) = kind_of(value), type_of(value)
    if kind != "tensor":
        return {"shape": None, "dtype": kind}
    return {"shape": shape, "dtype": helper.tensor_dtype_to_np_dtype(dtype).name if dtype else None}
