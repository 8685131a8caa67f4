"""Many tensors of one graph, in groups of its nodes: ONNX Runtime opens a graph in the square of its outputs."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from helpers.graph import edit, session
from helpers.graph.functions import definitions
from helpers.graph.walk import initializers, node_inputs

Arrays = dict[str, np.ndarray]
NODES = 1024  # of a group


def probe(model: onnx.ModelProto, names: list[str], where: object) -> Callable[[Arrays], Arrays]:
    """A function from the inputs of `model` to its tensors `names`, computed group after group in the graph's order.

    A group takes what an earlier one has made, whose type is that of the array, and gives what a later one reads. It
    is opened when the first frame comes to it.
    """
    nodes = list(model.graph.node)
    groups = [nodes[begin : begin + NODES] for begin in range(0, len(nodes), NODES)]
    read = [{name for node in group for name in node_inputs(node)} for group in groups]
    kept = set(names)  # what is asked for, and what a later group reads
    gives: list[list[str]] = []
    for group, inputs in zip(reversed(groups), reversed(read), strict=True):
        gives.insert(0, [name for node in group for name in node.output if name in kept])
        kept |= inputs
    opened: dict[int, tuple] = {}

    def run(feeds):
        arrays = dict(feeds)
        for number, (group, inputs, outputs) in enumerate(zip(groups, read, gives, strict=True)):
            if outputs:
                if number not in opened:
                    opened[number] = _opened(model, group, inputs, outputs, arrays, where)
                ready, taken = opened[number]
                given = {name: arrays[name] for name in taken}
                arrays |= zip(outputs, session.run(ready, outputs, given, where), strict=True)
        return {name: arrays[name] for name in names}

    return run


def _opened(model, group, read, outputs, arrays, where):
    """(session of a group of nodes, the names that it takes)."""
    held, own = initializers(model), {value.name: value for value in model.graph.input}
    made = {name for node in group for name in node.output}
    constants = [held[name] for name in sorted(read & held.keys())]
    sparse = [tensor for tensor in model.graph.sparse_initializer if tensor.values.name in read]
    taken = sorted(read - made - held.keys() - {tensor.values.name for tensor in sparse})
    inputs = [own[name] if name in own else _typed(name, arrays[name]) for name in taken]
    ends = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(group, "group", inputs, ends, constants, sparse_initializer=sparse)
    part = helper.make_model(graph, functions=edit.used(definitions(model), group), opset_imports=model.opset_import,
                             ir_version=model.ir_version)  # fmt: skip
    return session.open_session(part, "disable", where=where), taken


def _typed(name, array):
    """What a tensor is that was computed: of its type, and of whatever shape another frame may give it."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, [None] * array.ndim)
