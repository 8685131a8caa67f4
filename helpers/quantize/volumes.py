"""Resized volumes, which TensorRT computes in floating point only: between Q/DQ nodes it finds no implementation."""

import onnx

from helpers.graph import walk

VOLUME = 5  # dimensions of [N, C, D, H, W]


def leave_resizing(model: onnx.ModelProto) -> None:
    """Take the Q/DQ nodes away from both sides of every Resize of a volume, in place; other readers keep theirs.

    TensorRT 8.6 refused them with "Could not find any implementation for node ... Resize".
    """
    values = walk.constants(model)
    readers = {name: [model.graph.node[i] for i in found] for name, found in walk.users(model).items()}
    producer = {name: model.graph.node[i] for name, i in walk.producers(model).items()}
    for node in model.graph.node:
        if node.op_type == "Resize" and any(values[name].size == VOLUME for name in node.input[2:] if name in values):
            source = producer.get(node.input[0])
            if source is not None and source.op_type == "DequantizeLinear" and source.input[0] in producer:
                node.input[0] = producer[source.input[0]].input[0]
            _skip(node.output[0], readers)
    _drop_unread(model)


def _skip(tensor, readers):
    """Whatever reads `tensor` through Q/DQ reads it as it is."""
    pairs = [back for q in readers.get(tensor, []) if q.op_type == "QuantizeLinear" for back in readers[q.output[0]]]
    for back in pairs:
        for reader in readers.get(back.output[0], []):
            for place, name in enumerate(reader.input):
                if name == back.output[0]:
                    reader.input[place] = tensor


def _drop_unread(model):
    """Remove Q/DQ nodes that nothing reads, those behind first."""
    for op in ("DequantizeLinear", "QuantizeLinear"):
        read = set(walk.users(model)) | {value.name for value in model.graph.output}
        for node in [n for n in model.graph.node if n.op_type == op and n.output[0] not in read]:
            model.graph.node.remove(node)
