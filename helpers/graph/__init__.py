"""ONNX graphs: load with care, tables of what is inside, cut, edit, name. No torch."""

from helpers.graph.edit import main, postprocess, subgraph
from helpers.graph.file import (
    DIGEST,
    DOMAIN,
    PLUGINS,
    custom_nodes,
    digest,
    drop_functions,
    load,
    parse,
    save,
    with_functions,
)
from helpers.graph.tables import cost_by_block, custom_ops, op_table, shapes, tensor_types

__all__ = [
    "DIGEST",
    "DOMAIN",
    "PLUGINS",
    "cost_by_block",
    "custom_nodes",
    "custom_ops",
    "digest",
    "drop_functions",
    "load",
    "main",
    "op_table",
    "parse",
    "postprocess",
    "save",
    "shapes",
    "subgraph",
    "tensor_types",
    "with_functions",
]
