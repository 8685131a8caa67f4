"""What is quantized, as it is read: opset, inputs, their types and sizes."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from helpers import graph
from helpers.calibration import fixed_shapes
from helpers.errors import BadInput
from helpers.graph import walk
from helpers.graph.inference import state_kernels
from helpers.quantize import free

INPUT_TYPES = {getattr(onnx.TensorProto, name) for name in ("FLOAT", "INT64", "INT32", "INT8", "UINT8", "BOOL")}
MIN_OPSET = 19  # what Q/DQ nodes need; ModelOpt converts older graphs itself, but drops their functions when it does
MIN_IR = 4  # from here on a constant need not be listed among the graph's inputs, where ModelOpt takes it for one


def load(path: Path) -> onnx.ModelProto:
    """The model of a file as ModelOpt takes it, with the definitions of custom operators; raises BadInput."""
    model = graph.with_functions(graph.load(path))
    state_kernels(model)
    if walk.is_quantized(model):
        raise BadInput(path, "a model with Q/DQ nodes", "a floating-point model", "quantize the exported file instead")
    values = walk.inputs(model)
    del model.graph.input[:]
    model.graph.input.extend(values)
    model.ir_version = max(model.ir_version, MIN_IR)
    opset = walk.opset(model)
    if model.functions and opset < MIN_OPSET - 1:
        fix = f"export again with opset {MIN_OPSET - 1} or later"
        raise BadInput(path, f"custom operators at opset {opset}", f"opset {MIN_OPSET - 1} or later", fix)
    for part in (model, *model.functions):
        for entry in part.opset_import:  # 19 only adds types and attributes to 18: no node has to change
            if entry.domain in walk.STANDARD and entry.version == MIN_OPSET - 1:
                entry.version = MIN_OPSET
    return model


def types_of(model: onnx.ModelProto, path: Path) -> dict[str, np.dtype]:
    """{input name: dtype} of the graph's inputs, in order."""
    types = {}
    for value in model.graph.input:
        kind = value.type.tensor_type.elem_type
        if kind not in INPUT_TYPES:
            found, expected = onnx.TensorProto.DataType.Name(kind), "float32, a whole number or bool"
            raise BadInput(f"{path}: input {value.name}", found, expected, "export with float32 inputs")
        types[value.name] = helper.tensor_dtype_to_np_dtype(kind)
    return types


def shapes_of(model: onnx.ModelProto, path: Path, calibration: str | Path | None) -> dict[str, tuple[int, ...]]:
    """{input name: shape}; free dimensions have the size that they have in the set."""
    shapes = free.shapes_of(model)
    if calibration is not None:
        return fixed_shapes(calibration, shapes)
    static = {}
    for name, shape in shapes.items():
        sizes = tuple(size for size in shape if isinstance(size, int))
        if len(sizes) < len(shape):
            fix = "pass a calibration set, whose sizes count, or export with fixed shapes"
            raise BadInput(f"{path}: input {name}", f"shape {shape}", "a static shape", fix)
        static[name] = sizes
    return static
