"""Fault injection: an ONNX model with one known fault, to see what it does and to practice finding it.

Each function takes an `onnx.ModelProto` (`graph.load(path)`), leaves it as it is and returns a copy with one fault;
write the copy with `graph.save(copy, path)`.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import onnx
from onnx import TensorProto, helper

from helpers import graph
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.graph import walk
from helpers.graph.inference import infer

SWAPPABLE = ("Transpose", "Concat", "Gather", "Softmax")


@typed
def half(model: onnx.ModelProto, pattern: str, keep: Iterable[str] = ()) -> onnx.ModelProto:
    """Compute the nodes whose name matches `pattern` (such as "*/encoder/projection/*") in FP16.

    Casts are put around each of them, so every tensor keeps its name and its type. Nodes that match a pattern in `keep`
    stay in FP32: `half(model, "*", keep=marks)` is a marking in the form that strongly typed networks read. So do nodes
    with a body, Casts from or to FP16, and what ONNX has in no other type than FP32, such as the scales of a Resize.
    """
    made, known, keep = walk.copy(model), graph.tensor_types(model), tuple(keep)
    nodes, touched, named = [], 0, Counter(node.name for node in made.graph.node)
    for node in made.graph.node:
        kinds = [[known.get(name, (0, None))[0] for name in names] for names in (node.input, node.output)]
        able = _can_be_half(node, walk.opset(made))
        inputs, outputs = (
            [i for i, kind in enumerate(row) if kind == TensorProto.FLOAT and can(i)]
            for row, can in zip(kinds, able, strict=True)
        )
        kept = any(fnmatchcase(node.name, other) for other in keep) or walk.bodies(node)
        cast = node.op_type == "Cast" and TensorProto.FLOAT16 in itertools.chain(*kinds)
        if kept or cast or not fnmatchcase(node.name, pattern) or not inputs + outputs:
            nodes.append(node)
            continue
        touched += 1
        stem = node.name if node.name and named[node.name] == 1 else f"{node.name}/{node.output[0]}"
        casts = {node.input[i]: f"{stem}/half_{i}" for i in inputs}
        nodes += [_cast(name, made, TensorProto.FLOAT16) for name, made in casts.items()]
        for i in inputs:
            node.input[i] = casts[node.input[i]]
        _retype(node)
        nodes.append(node)
        for i in outputs:
            name, node.output[i] = node.output[i], f"{stem}/half_output_{i}"
            nodes.append(_cast(node.output[i], name, TensorProto.FLOAT))
    if not touched:
        raise _no_node(made, pattern)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def swap_axis(model: onnx.ModelProto, name: str, **attributes: Any) -> onnx.ModelProto:
    """Let the node `name` (Transpose, Concat, Gather or Softmax) take another axis.

    It is the first that keeps the shape of the output, or the one that `attributes` names (`axis=1`, `perm=[...]`),
    which may change it.
    """
    node, known = _node(model, name), graph.tensor_types(model)
    for choice in [attributes] if attributes else alternatives(node, known):
        made = with_attributes(model, name, **choice)
        shape = _output_shape(_node(made, name), known, made.opset_import)
        if shape == known[node.output[0]][1]:
            return made
        if attributes and shape:
            del made.graph.value_info[:]  # notes of shapes, some of which have changed
            return made
    expected = f"one of {', '.join(SWAPPABLE)} with equal extents"
    raise BadInput(
        f"node {name}", "no other axis keeps the shape", expected, "take another node, or give the attribute"
    )


@typed
def align_corners(model: onnx.ModelProto, operator: str | None = None) -> onnx.ModelProto:
    """Toggle `align_corners` in the first GridSample of the graph, or in the body of a custom `operator`."""
    made = walk.copy(model)
    bodies = [function.node for function in made.functions if function.name == operator]
    samples = [node for nodes in bodies or [made.graph.node] for node in nodes if node.op_type == "GridSample"]
    if not samples or (operator and not bodies):
        raise BadInput(f"operator {operator or 'GridSample'}", "no GridSample", "a graph or a body that samples",
                       "see graph.op_table and graph.custom_ops")  # fmt: skip
    now = next((a.i for a in samples[0].attribute if a.name == "align_corners"), 0)
    _set(samples[0], align_corners=1 - now)
    return made


def with_attributes(model: onnx.ModelProto, name: str, **attributes: Any) -> onnx.ModelProto:
    """A copy of `model` in which the node `name` has other attributes."""
    made = walk.copy(model)
    _set(_node(made, name), **attributes)
    return made


def alternatives(node: onnx.NodeProto, known: Mapping[str, tuple]) -> Iterator[dict]:
    """Other values of the attribute that says which axis `node` works along, as dicts."""
    rank = len(known[node.output[0]][1] if node.op_type != "Gather" else known[node.input[0]][1])
    given = walk.attributes(node)
    if node.op_type == "Transpose":
        perm = list(given["perm"])
        for i, j in itertools.combinations(range(rank), 2):
            swapped = list(perm)
            swapped[i], swapped[j] = perm[j], perm[i]
            yield {"perm": swapped}
    elif node.op_type in SWAPPABLE:
        present = given.get("axis", -1 if node.op_type == "Softmax" else 0) % rank
        yield from ({"axis": axis} for axis in range(rank) if axis != present)


def _output_shape(node, known, opsets):
    """Shape of the node's output by ONNX's inference over this node alone; None if it is not valid."""
    inputs = [helper.make_tensor_value_info(name, *known[name]) for name in node.input]
    alone = helper.make_graph([node], "one", inputs, [onnx.ValueInfoProto(name=node.output[0])])
    try:
        found = infer(helper.make_model(alone, opset_imports=opsets)).graph.output[0].type.tensor_type
    except BadInput:
        return None
    return [d.dim_value for d in found.shape.dim] if found.HasField("shape") else None


def _can_be_half(node, opset):
    """Whether ONNX lets input i, and whether it lets output i, of a node be FP16: two functions of i."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "" if node.domain in walk.STANDARD else node.domain)
    except onnx.defs.SchemaError:  # a custom operator
        return (lambda i: True,) * 2
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}

    def among(formal):
        kinds = [allowed.get(each.type_str, [each.type_str]) for each in formal]
        return lambda i: "tensor(float16)" in kinds[min(i, len(kinds) - 1)]  # the last may stand for many

    return among(schema.inputs), among(schema.outputs)


def _retype(node):
    """A Cast to float inside the half block gives half."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _cast(source, made, to):
    return helper.make_node("Cast", [source], [made], f"{made}/Cast", to=to)


def _node(model, name):
    found = next((node for node in model.graph.node if node.name == name), None)
    if found is None:
        raise _no_node(model, name)
    return found


def _no_node(model, pattern):
    examples = ", ".join(node.name for node in model.graph.node[:3])
    return BadInput(f"node {pattern}", "no such node with floating-point tensors", f"a name such as {examples}",
                    "list the names: [node.name for node in model.graph.node]")  # fmt: skip


def _set(node, **attributes):
    kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in attributes.items())])
