"""Free dimensions, which ModelOpt does not take: the sizes of a calibration set while it works, then free again."""

import copy
from collections.abc import Mapping

import onnx

from helpers.graph import walk


def shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int | str, ...]]:
    """Name -> shape of the graph's inputs in order; the name of a free dimension in the place of its size."""
    return {
        value.name: tuple(dim.dim_value or dim.dim_param or f"{value.name}.{axis}" for axis, dim in _dims(value))
        for value in walk.inputs(model)
    }


def fix(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give the inputs these shapes, in place; where any was free, the shapes of other tensors are to be inferred."""
    if all(isinstance(size, int) for shape in shapes_of(model).values() for size in shape):
        return
    for value in model.graph.input:
        for axis, dim in _dims(value):
            dim.dim_value = shapes[value.name][axis]
    for value in model.graph.output:
        for _, dim in _dims(value):
            if dim.dim_param:
                dim.Clear()
    del model.graph.value_info[:]


def interface(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Name -> a copy of every input and output, as `release` takes it."""
    return {value.name: copy.deepcopy(value) for value in (*model.graph.input, *model.graph.output)}


def release(model: onnx.ModelProto, known: Mapping[str, onnx.ValueInfoProto]) -> None:
    """Let inputs and outputs have the shapes of an `interface` again, in place; without free ones nothing changes."""
    if not any(dim.dim_param for value in known.values() for _, dim in _dims(value)):
        return
    for value in (*model.graph.input, *model.graph.output):
        value.CopyFrom(known[value.name])
    del model.graph.value_info[:]


def _dims(value):
    return enumerate(value.type.tensor_type.shape.dim)
