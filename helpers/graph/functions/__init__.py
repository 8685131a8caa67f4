"""Custom operators: which nodes of a graph are custom, and definitions in standard ONNX operators.

A *custom* node is one that no ONNX schema defines. It is *defined* when the model carries a local function of its
domain and name, and *known* when it is defined, or an operator of this project, or ONNX Runtime's own.

An operator of this project is a module of this package with `OP_TYPE`, `INPUTS`, `OUTPUTS` by name, `ATTRIBUTES`,
`VARIANT` and `variants(model, nodes)`: what all nodes of a model have to agree in, for they share one definition, and
what they have; `define(body, variant)`, which adds the definition to a `Body`; and `flops(node, input_shapes,
output_shape)`, of the first output.
"""

from typing import TypeAlias

import onnx
from onnx import helper

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.graph.functions import (
    add_rms_norm,
    bev_pool_v2,
    cached_attention,
    grid_sample_3d,
    inverse,
    matvec,
    matvec_int4,
    mix_levels,
    ms_deform_attn,
    project_pillars,
    rotate,
)
from helpers.graph.functions.body import Body
from helpers.graph.walk import STANDARD, all_nodes, attributes, copy, opset

Definitions: TypeAlias = dict[tuple[str, str], onnx.FunctionProto]
DOMAIN = "trt.plugins"
OPERATORS = (ms_deform_attn, rotate, bev_pool_v2, grid_sample_3d, project_pillars, inverse, cached_attention, matvec,
             matvec_int4, add_rms_norm, mix_levels)  # fmt: skip
# Published plugins have two names: in half precision TRT2 works on packed pairs, TRT on single numbers.
FUNCTIONS = {name: module for module in OPERATORS for name in (module.OP_TYPE, module.OP_TYPE.removesuffix("2"))}
PLUGINS = tuple(FUNCTIONS)  # what helpers.ops defines and the plugin library implements


def is_custom(node: onnx.NodeProto) -> bool:
    """Whether no ONNX schema defines the node's operator."""
    return not onnx.defs.has(node.op_type, "" if node.domain in STANDARD else node.domain)


@typed
def custom_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The custom nodes of the main graph, in graph order."""
    return [node for node in model.graph.node if is_custom(node)]


def definitions(model: onnx.ModelProto) -> Definitions:
    """(domain, name) -> function, of the operators that `model` carries one for."""
    return {(function.domain, function.name): function for function in model.functions}


def is_defined(node: onnx.NodeProto, defined: Definitions) -> bool:
    """Whether the node's operator is among these `definitions`."""
    return (node.domain, node.op_type) in defined


def is_known(node: onnx.NodeProto, defined: Definitions) -> bool:
    """Whether something at hand can run a custom node: a definition, a plugin, or ONNX Runtime itself."""
    plugin = node.op_type in FUNCTIONS and node.domain in STANDARD | {DOMAIN}
    return plugin or is_defined(node, defined) or node.domain.startswith("com.microsoft")


def check_known(model: onnx.ModelProto, where: object) -> None:
    """BadInput naming the first node, at any depth, of an operator that nothing defines."""
    defined = definitions(model)
    for node in all_nodes(model):
        if is_custom(node) and not is_known(node, defined):
            found = f"operator {node.op_type} of domain {node.domain or 'ai.onnx'!r}, which nothing defines"
            expected = f"ONNX operators or {', '.join(FUNCTIONS)}"
            fix = "attach a function that defines it (model.functions), or replace it with known operators"
            raise BadInput(f"{where}: node {node.name or node.output[0]}", found, expected, fix)


@typed
def drop_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` without function bodies: custom nodes are left to a runtime's plugins."""
    bare = copy(model)
    del bare.functions[:]
    return bare


@typed
def with_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` that defines the operators of this project which it uses."""
    defined = definitions(model)
    lacking = {n.op_type for n in all_nodes(model) if n.domain == DOMAIN and not is_defined(n, defined)}
    return attach_functions(copy(model)) if lacking & FUNCTIONS.keys() else copy(model)


@typed
def attach_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Add to `model` the definition of every `trt.plugins` node that lacks one; returns the model.

    Raises:
        BadInput: an unknown operator of the domain, a node without one of its inputs or with an attribute that nothing
            implements, nodes that disagree where their one definition has to fit all (the
            number of levels of attention, the interpolation of a rotation), or an opset before 16 (GridSample).
    """
    nodes: dict[str, list] = {}
    defined = definitions(model)
    for node in all_nodes(model):
        if node.domain == DOMAIN and not is_defined(node, defined):
            nodes.setdefault(node.op_type, []).append(node)
    if nodes and opset(model) < 16:
        raise BadInput("ONNX model", f"opset {opset(model)}", "opset 16 or later", "export with helpers.export.OPSET")
    for op_type in sorted(nodes):
        model.functions.append(_function(model, op_type, nodes[op_type]))
    if nodes and all(entry.domain != DOMAIN for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return model


def _function(model, op_type, nodes):
    where = f"ONNX operator {DOMAIN}::{op_type}"
    if op_type not in FUNCTIONS:
        fix = "run the model with the plugin that implements the operator"
        raise BadInput(where, "no definition in standard operators", " or ".join(FUNCTIONS), fix)
    operator = FUNCTIONS[op_type]
    for node in nodes:
        _check(node, operator)
    found = operator.variants(model, nodes)
    if len(found) != 1 or None in found:
        expected = f"the same {operator.VARIANT} in all nodes, known before the run"
        fix = "split the model into subgraphs that agree"
        raise BadInput(where, f"nodes with {operator.VARIANT} {sorted(found, key=str)}", expected, fix)
    body = Body(opset(model))
    operator.define(body, next(iter(found)))
    names, imports = (operator.INPUTS, operator.OUTPUTS), [helper.make_opsetid("", body.opset)]
    return helper.make_function(DOMAIN, op_type, *names, body.nodes, imports, list(operator.ATTRIBUTES))


def _check(node, operator):
    """BadInput unless a node has what the plugin library asks of it too: all inputs, and attributes in their ranges."""
    where, fix = f"{node.op_type} {node.name or node.output[0]}", "export the node again: see helpers.ops"
    if len(node.input) != len(operator.INPUTS) or not all(node.input):
        raise BadInput(where, f"inputs {list(node.input)}", ", ".join(operator.INPUTS), fix)
    given = attributes(node)
    taken = {attribute.name for attribute in node.attribute if attribute.ref_attr_name}  # of the function around it
    for name, allowed in operator.ATTRIBUTES.items():
        if name not in taken and not allowed.takes(given.get(name)):
            kind = "a whole number" if isinstance(allowed.least, int) else "a number"
            expected = f"{kind} from {allowed.least:g} to {allowed.most:g}"
            raise BadInput(where, f"{name} {given.get(name)!r}", expected, fix)
