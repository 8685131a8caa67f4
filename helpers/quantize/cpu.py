"""The form of a quantized file that ONNX Runtime's CPU kernels take."""

from pathlib import Path

import numpy as np
from onnx import numpy_helper

from helpers import graph
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.graph.file import check_output
from helpers.graph.walk import constants, producers, users


@typed
def for_cpu(path: str | Path, out: str | Path) -> Path:
    """Write an INT8 file in the form that ONNX Runtime's CPU kernels take, and return `out`.

    TensorRT wants zero points of 0, so ModelOpt writes signed activations; with those ONNX Runtime cannot merge Conv,
    Relu and Q/DQ into one integer convolution, and runs slower than in floating point. Here activations become
    unsigned: behind a Relu with zero point 0 (the same step, cut at 255 steps instead of 127), elsewhere with zero
    point 128, which is the very same grid. Weights and scales stay.

    Raises:
        BadInput: a file that `quantize` did not write in INT8, or an output that is the input.
    """
    check_output(out, path)
    model = graph.load(path)
    values = constants(model)
    producer = {name: model.graph.node[index] for name, index in producers(model).items()}
    readers = users(model)
    activations = [
        node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in values
    ]
    if not activations:
        raise _foreign(path, "no INT8 activations")
    for node in activations:
        pair = [node, *(model.graph.node[index] for index in readers.get(node.output[0], []))]
        _check_pair(pair, values, path)
        zero = np.uint8(0 if _never_negative(node.input[0], producer) else 128)
        model.graph.initializer.append(numpy_helper.from_array(np.array(zero), f"{node.input[0]}_unsigned_zero_point"))
        for member in pair:
            member.input[2] = model.graph.initializer[-1].name
    del model.graph.value_info[:]  # it states the signed types
    return graph.save(model, out)


def _check_pair(pair, values, path):
    """BadInput unless a QuantizeLinear and all that read it have a constant zero point of INT8."""
    for node in pair:
        zero = values.get(node.input[2]) if len(node.input) > 2 else None
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or zero is None or zero.dtype != np.int8:
            raise _foreign(path, f"{node.op_type} {node.name or node.output[0]} without a constant INT8 zero point")


def _foreign(path, found):
    return BadInput(path, found, "a model quantized in INT8 by helpers.quantize", "quantize(..., mode='int8') first")


def _never_negative(tensor, producer):
    node = producer.get(tensor)
    if node is not None and node.op_type in ("MaxPool", "QuantizeLinear", "DequantizeLinear"):
        return _never_negative(node.input[0], producer)
    return node is not None and node.op_type in ("Relu", "Sigmoid", "Softmax")
