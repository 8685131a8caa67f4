"""ONNX graphs: load with care, tables of what is inside, cut, edit, name. No torch."""

from helpers.graph.cost import cost_by_block
from helpers.graph.edit import postprocess, subgraph
from helpers.graph.file import DIGEST, digest, load, parse, save
from helpers.graph.functions import DOMAIN, PLUGINS, custom_nodes, drop_functions, with_functions
from helpers.graph.split import split
from helpers.graph.tables import custom_ops, op_table, shapes
from helpers.graph.types import tensor_types

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
    "op_table",
    "parse",
    "postprocess",
    "save",
    "shapes",
    "split",
    "subgraph",
    "tensor_types",
    "with_functions",
]
