"""Nodes of an exported graph named after the modules that they come from."""

import ast
from collections import Counter
from itertools import takewhile

import onnx

SCOPES = "pkg.torch.onnx.name_scopes"


def name_after_modules(model: onnx.ModelProto) -> None:
    """Rename nodes to `/module/path/OpType` from the exporter's scopes, and tensors after the node that makes them.

    A Conv that took in a BatchNorm keeps the Conv's own path. The exporter's notes (source paths, stack traces) go.
    """
    made = model.graph
    seen, renamed = Counter(), {}
    for node, scope in zip(made.node, _scopes(made.node), strict=True):
        name = "/".join(["", *_parts(scope), node.op_type])
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name] - 1}"
        renamed |= {output: f"{node.name}_output_{i}" for i, output in enumerate(node.output) if output}
    parameters = {tensor.name for tensor in made.initializer if "." in tensor.name}
    constants = {tensor.name for tensor in made.initializer} - parameters
    for node in made.node:
        renamed |= {
            name: f"{node.name}_constant_{i}" for i, name in enumerate(node.input) if name in constants - renamed.keys()
        }
    for value in [*made.input, *made.output]:
        renamed.pop(value.name, None)
    _rename(made, renamed)
    _strip(model)


def _scopes(nodes):
    """Dotted module path of each node; one without a note belongs to what its users have in common."""
    scopes = [_scope(node) for node in nodes]
    used_by = {}
    for node, scope in zip(nodes, scopes, strict=True):
        for name in node.input:
            used_by.setdefault(name, []).append(scope)
    for index, node in enumerate(nodes):
        if scopes[index] is None:
            users = [scope.split(".") for name in node.output for scope in used_by.get(name, []) if scope is not None]
            scopes[index] = ".".join(_common_start(users))
    return scopes


def _common_start(paths):
    return [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]


def _scope(node):
    """Module path by the exporter's note, or None; a Conv says it by its weight, for its note names the BatchNorm."""
    if node.op_type == "Conv" and node.input[1].endswith(".weight"):
        return node.input[1].removesuffix(".weight")
    notes = {entry.key: entry.value for entry in node.metadata_props}
    return ast.literal_eval(notes[SCOPES])[-2] if SCOPES in notes else None


def _parts(scope):
    """Path components with indices kept at the name they index: `encoder.layers.0.norm` -> encoder, layers.0, norm."""
    parts = []
    for part in scope.split("."):
        if part.isdigit() and parts:
            parts[-1] += f".{part}"
        elif part:
            parts.append(part)
    return parts


def _rename(made, renamed):
    for node in made.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for named in [*made.initializer, *made.value_info]:
        named.name = renamed.get(named.name, named.name)


def _strip(model):
    made = model.graph
    for item in [model, made, *made.node, *made.value_info, *made.input, *made.output, *made.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""
