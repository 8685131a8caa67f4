"""An ONNX graph while it is rewritten for TensorRT."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from helpers.graph.walk import STANDARD, node_inputs, opset, shape_of

LARGEST = 1 << 16  # elements of a constant that is kept by value
Rule = Callable[["View", onnx.NodeProto], list[onnx.NodeProto]]


class View:
    """A model's graph for rewriting: types and shapes by tensor name, constants by value.

    Attributes:
        model, graph, opset.
        types: dict of tensor name to element type (TensorProto.DataType).
        shapes: dict of tensor name to a tuple whose free dimensions are None; unknown ranks are absent.
        constants: dict of name to array, for constants of moderate size.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.opset = opset(model)
        self.types: dict[str, int] = {}
        self.shapes: dict[str, tuple[int | None, ...]] = {}
        for value in (*self.graph.input, *self.graph.value_info, *self.graph.output):
            kind = value.type.tensor_type
            self.types[value.name] = kind.elem_type
            if kind.HasField("shape"):
                self.shapes[value.name] = shape_of(value)
        self.constants = _constants(self.graph)
        for tensor in self.graph.initializer:
            self.types[tensor.name], self.shapes[tensor.name] = tensor.data_type, tuple(tensor.dims)
        self.names = {name for node in self.graph.node for name in (*node.input, *node.output)} | set(self.types)
        self.nodes = list(self.graph.node)

    def fresh(self, stem: str) -> str:
        """An unused tensor name that starts with `stem`."""
        name = next(name for name in (f"{stem}_{i}" for i in range(len(self.names) + 1)) if name not in self.names)
        self.names.add(name)
        return name

    def constant(self, stem: str, array: np.ndarray) -> str:
        """Add an initializer; returns its name."""
        array = np.asarray(array)
        name = self.fresh(stem)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        self.constants[name], self.shapes[name] = array, array.shape
        self.types[name] = self.graph.initializer[-1].data_type
        return name

    def replace(self, rules: Mapping[str, Rule]) -> None:
        """Put `rules[op_type](view, node)`, a list of nodes, in the place of every standard node of that type."""
        nodes = []
        for node in self.nodes:
            known = node.domain in STANDARD and node.op_type in rules
            nodes.extend(rules[node.op_type](self, node) if known else [node])
        self.nodes = nodes

    def write(self) -> None:
        """Put the nodes back into the graph, but for those that nothing needs any more."""
        needed, kept = {out.name for out in self.graph.output}, []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed.update(node_inputs(node))
                kept.append(node)
        self.nodes = kept[::-1]
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        for entry in self.model.opset_import:
            if entry.domain in STANDARD:
                entry.version = self.opset


def _constants(graph):
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if not tensor.external_data and np.prod(tensor.dims, dtype=np.int64) <= LARGEST
    }
