"""The part of an ONNX graph that computes something: what it is made of, and where it begins. No torch."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import onnx

from helpers.graph.walk import initializers, node_inputs, producers


class Part(NamedTuple):
    """Nodes of a graph that compute something. indices: of the nodes, in graph order. begins: names that they start
    from, in the order of a search from the end; constants are among them.
    """

    indices: list[int]
    begins: list[str]


def part(model: onnx.ModelProto, ends: Iterable[str], begins: Iterable[str] = ()) -> Part:
    """What computes `ends` from `begins` and from the inputs and constants of the graph."""
    makers, stops = producers(model), set(begins)
    kept, found, todo, seen = set(), [], deque(ends), set()
    while todo:
        name = todo.popleft()
        if name in seen:
            continue
        seen.add(name)
        if name in stops or name not in makers:
            found.append(name)
        elif makers[name] not in kept:
            kept.add(makers[name])
            todo += node_inputs(model.graph.node[makers[name]])
    return Part(sorted(kept), found)


class Block:
    """The nodes that compute `tensor` from the nearest tensors in `known` (and the graph's inputs).

    Attributes:
        nodes: in graph order.
        inputs: tensors that the block starts from, constants left out.
        tensors: what the nodes make, in order; `tensor` is among them.
        constants: name -> `onnx.TensorProto`.
    """

    def __init__(self, model: onnx.ModelProto, tensor: str, known: Iterable[str]):
        held = initializers(model)
        indices, begins = part(model, [tensor], set(known) - {tensor})
        self.nodes = [model.graph.node[index] for index in indices]
        self.inputs = [name for name in begins if name not in held]
        self.tensors = [name for node in self.nodes for name in node.output if name]
        self.constants = {name: held[name] for node in self.nodes for name in node_inputs(node) if name in held}
