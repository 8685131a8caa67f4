"""Which tensors of an ONNX graph are computed from which."""

from helpers.precision.runners import producers_of


def ancestors(model, names):
    """name -> frozenset of the `names` that it is computed from, itself included."""
    wanted, above = set(names), {}
    nothing = frozenset()
    for node in model.graph.node:
        before = nothing.union(*(above.get(name, nothing) for name in node.input))
        for name in node.output:
            above[name] = before | {name} if name in wanted else before
    return {name: above[name] for name in names}


class Block:
    """The nodes that compute `tensor` from the nearest tensors in `known` (and the graph's inputs).

    Attributes:
        nodes: in graph order.
        inputs: tensors that the block starts from, constants left out.
        tensors: what the nodes make, in order; `tensor` is among them.
        constants: name -> `onnx.TensorProto`.
    """

    def __init__(self, model, tensor, known):
        producers = producers_of(model)
        held = {item.name: item for item in model.graph.initializer}
        kept, inputs, todo, seen = set(), [], [tensor], set()
        while todo:
            name = todo.pop(0)
            if name in seen or not name or name in held:
                continue
            seen.add(name)
            if name not in producers or (name in known and name != tensor):
                inputs.append(name)
            else:
                kept.add(producers[name])
                todo += model.graph.node[producers[name]].input
        self.nodes = [model.graph.node[index] for index in sorted(kept)]
        self.inputs = inputs
        self.tensors = [name for node in self.nodes for name in node.output if name]
        self.constants = {name: held[name] for node in self.nodes for name in node.input if name in held}
