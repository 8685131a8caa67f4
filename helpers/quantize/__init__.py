"""Post-training quantization of an ONNX file with ModelOpt: explicit Q/DQ nodes, in INT8 or FP8, on any machine.

A quantizer rounds x to scale · clip(round(x / scale)): 256 levels for INT8, E4M3 floating point for FP8. Weights of
convolutions get one scale per output channel, activations one per tensor, measured on a calibration set
(`helpers.calibration`). ModelOpt decides where Q/DQ nodes go so that TensorRT can fuse them; `report` reads the result
and says what was left and why.
"""

import argparse
import contextlib
import io
import json
import re
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from helpers import graph
from helpers.calibration import CalibrationReader, check_calibration, collect, noise
from helpers.errors import BadInput
from helpers.files import atomic
from helpers.quantize import calibrators
from helpers.quantize.coverage import METADATA, counts, report

__all__ = [
    "CalibrationReader",
    "check_calibration",
    "collect",
    "counts",
    "for_cpu",
    "main",
    "noise",
    "quantize",
    "report",
]

STANDARD = ("", "ai.onnx")
MODES, METHODS = ("int8", "fp8"), ("entropy", "max")
INPUT_TYPES = {getattr(onnx.TensorProto, name) for name in ("FLOAT", "INT64", "INT32", "INT8", "UINT8", "BOOL")}
MIN_OPSET = 19  # what Q/DQ nodes need; ModelOpt converts older graphs itself, but drops their functions when it does


def quantize(
    onnx_path,
    out,
    mode="int8",
    method="entropy",
    calibration=None,
    exclude_op_types=("MatMul",),
    exclude_nodes=(),
    simplify=False,
    samples=None,
    progress=False,
):
    """Quantize `onnx_path` and write one ONNX file; custom nodes keep their functions and stay in floating point.

    Args:
        mode: "int8", or "fp8" (E4M3; ONNX Runtime opens such a file only with graph optimization at BASIC or below).
        method: how an activation's range is chosen. "max" keeps the largest magnitude; "entropy" cuts where the
            quantized histogram stays closest to the original one (in Kullback-Leibler divergence).
        calibration: a set written by `collect`, streamed, so its size does not matter. None measures the ranges on one
            sample of random numbers: right for timing, wrong for accuracy.
        exclude_op_types: left in floating point. MatMul is excluded because attention is sensitive and fuses better.
        exclude_nodes: regular expressions; a node whose name begins with a match of one stays in floating point.
        simplify: fold constants and drop redundant nodes with onnxslim first.
        samples: use only the first so many of the set.

    Returns:
        Path of the written file, whole or absent. The input file is not touched.

    Raises:
        BadInput: unknown mode or method, an expression that is none or that matches no node, damaged model or set,
            inputs of a free shape or another type, a model that is already quantized or too old, or one with nothing to
            quantize.
    """
    onnx_path, out = Path(onnx_path), Path(out)
    _check_choice("mode", mode, MODES)
    _check_choice("method", method, METHODS)
    model = _load(onnx_path)
    shapes, types = _inputs(model, onnx_path)
    _check_expressions(exclude_nodes, model, onnx_path)
    with atomic(out) as part:
        work = part.parent
        if calibration is None:
            calibration, samples = noise(work / "random.npz", shapes, 1, input_types=types), 1
        check_calibration(calibration, shapes, types)
        reader = CalibrationReader(calibration, shapes, samples, progress, types)
        onnx.save(_slim(model) if simplify else model, work / "model.onnx")
        with contextlib.closing(reader.bar):
            _run_modelopt(work / "model.onnx", part, mode, method, reader, list(exclude_op_types), list(exclude_nodes))
        quantized = onnx.load(part)
        _check_quantized(quantized, onnx_path, mode, (*exclude_op_types, *exclude_nodes))
        settings = {"mode": mode, "method": method, "samples": len(reader), "simplified": simplify}
        settings |= {"excluded": sorted(exclude_op_types), "excluded_nodes": list(exclude_nodes)}
        settings |= {"modelopt": version("nvidia-modelopt")}
        helper.set_model_props(quantized, {METADATA: json.dumps(settings)})
        graph.save(quantized, part)
    return out


def _run_modelopt(onnx_path, out, mode, method, reader, exclude_op_types, exclude_nodes):
    """ModelOpt rewrites its input file in place and writes others beside it: give it a folder of its own."""
    with _contained(out.parent), calibrators.bounded():
        from modelopt.onnx.quantization import quantize as modelopt_quantize

        modelopt_quantize(
            str(onnx_path),
            quantize_mode=mode,
            calibration_data_reader=reader,
            calibration_method=method,
            calibration_eps=["cpu"],
            calibration_shapes=_inferred_shapes(onnx_path),
            disable_mha_qdq="MatMul" in exclude_op_types,  # or it runs the network only to look at attention's shapes
            op_types_to_exclude=exclude_op_types,
            nodes_to_exclude=exclude_nodes,
            high_precision_dtype="fp32",
            output_path=str(out),
            log_level="ERROR",
        )


def _inferred_shapes(onnx_path):
    """Input shapes, from which ModelOpt can infer the others; None makes it run the network with every matrix product
    as an output, which takes gigabytes, and is needed only where inference leaves a shape open.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(onnx_path))
    ranks = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        tensor = ranks[node.output[0]].type.tensor_type if node.output[0] in ranks else None
        if node.op_type in ("MatMul", "Gemm") and (tensor is None or not all(d.dim_value for d in tensor.shape.dim)):
            return None
    return {name: list(shape) for name, shape in _inputs(model, onnx_path)[0].items()}


@contextlib.contextmanager
def _contained(folder):
    """Keep temporary files inside `folder`, and be quiet."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        with _quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def _quiet():
    """Hide the lines that are printed per sample and per tensor."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _slim(model):
    """onnxslim breaks constants inside function bodies, so it gets the graph without them, but with known shapes."""
    import onnxslim

    bare = graph.drop_functions(onnx.shape_inference.infer_shapes(model))
    with _quiet():
        slim = onnxslim.slim(bare, skip_fusion_patterns=["FusionGemm"])
    slim.functions.extend(model.functions)
    return slim


def _load(path):
    model = graph.with_functions(graph.load(path))
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise BadInput(path, "a model with Q/DQ nodes", "a floating-point model", "quantize the exported file instead")
    opset = next(entry.version for entry in model.opset_import if entry.domain in STANDARD)
    if model.functions and opset < MIN_OPSET - 1:
        fix = f"export again with opset {MIN_OPSET - 1} or later"
        raise BadInput(path, f"custom operators at opset {opset}", f"opset {MIN_OPSET - 1} or later", fix)
    for part in (model, *model.functions):
        for entry in part.opset_import:  # 19 only adds types and attributes to 18: no node has to change
            if entry.domain in STANDARD and entry.version == MIN_OPSET - 1:
                entry.version = MIN_OPSET
    return model


def _inputs(model, path):
    """({input name: static shape}, {input name: dtype}) of the graph's inputs, in order."""
    constants, shapes, types = {tensor.name for tensor in model.graph.initializer}, {}, {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        if value.name in constants:
            continue
        if tensor.elem_type not in INPUT_TYPES or 0 in shape:
            where = f"{path}: input {value.name}"
            found = f"{onnx.TensorProto.DataType.Name(tensor.elem_type)}{list(shape)}"
            expected = "float32, a whole number or bool, of a static shape"
            raise BadInput(where, found, expected, "export with fixed shapes and float32 inputs")
        shapes[value.name], types[value.name] = shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return shapes, types


def _check_choice(name, value, choices):
    if value not in choices:
        raise BadInput(f"{name}", value, " or ".join(choices), f"choose one of {', '.join(choices)}")


def _check_expressions(expressions, model, path):
    for expression in expressions:
        try:
            matches = re.compile(expression).match
        except re.error as error:
            fix = r'escape what is meant literally: "/layer1\.0/"'
            raise BadInput("exclude_nodes", f"{expression!r} ({error})", "a regular expression", fix) from error
        if not any(matches(node.name) for node in model.graph.node):
            names = ", ".join(node.name for node in list(model.graph.node)[:3])
            fix = f"correct it; names begin as in {names}"
            raise BadInput("exclude_nodes", f"{expression!r}", f"the beginning of a node's name in {path}", fix)


def _check_quantized(model, path, mode, excluded):
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        expected = f"an operator that ModelOpt quantizes in {mode}, other than {', '.join(excluded) or 'none'}"
        raise BadInput(path, "nothing to quantize", expected, "exclude fewer operator types, or use another mode")


def for_cpu(path, out):
    """Write an INT8 file in the form that ONNX Runtime's CPU kernels take, and return `out`.

    TensorRT wants zero points of 0, so ModelOpt writes signed activations; with those ONNX Runtime cannot merge Conv,
    Relu and Q/DQ into one integer convolution, and runs slower than in floating point. Here activations become
    unsigned: behind a Relu with zero point 0 (the same step, cut at 255 steps instead of 127), elsewhere with zero
    point 128, which is the very same grid. Weights and scales stay.

    Raises:
        BadInput: a file that `quantize` did not write in INT8.
    """
    model = graph.load(path)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producer = {name: node for node in model.graph.node for name in node.output}
    activations = [
        node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in values
    ]
    if not activations or any(values[node.input[2]].dtype != np.int8 for node in activations):
        raise BadInput(path, "no INT8 activations", "a model quantized in INT8", "quantize(..., mode='int8') first")
    for node in activations:
        zero = np.uint8(0 if _never_negative(node.input[0], producer) else 128)
        model.graph.initializer.append(numpy_helper.from_array(np.array(zero), f"{node.input[0]}_unsigned_zero_point"))
        for user in (node, *(user for user in model.graph.node if node.output[0] in user.input)):
            user.input[2] = model.graph.initializer[-1].name
    del model.graph.value_info[:]  # it states the signed types
    return graph.save(model, out)


def _never_negative(tensor, producer):
    node = producer.get(tensor)
    if node is not None and node.op_type in ("MaxPool", "QuantizeLinear", "DequantizeLinear"):
        return _never_negative(node.input[0], producer)
    return node is not None and node.op_type in ("Relu", "Sigmoid", "Softmax")


def main(argv=None):
    """`python -m helpers quantize`: the option names are those of ModelOpt's own command."""
    parser = argparse.ArgumentParser("python -m helpers quantize", description=quantize.__doc__.splitlines()[0])
    parser.add_argument("--onnx_path", type=Path, required=True, help="floating-point model")
    parser.add_argument("--output_path", type=Path, help="default: beside the model, as NAME.quant.onnx")
    parser.add_argument("--calibration_data_path", type=Path, help=".npz; without it ranges are random (timing only)")
    parser.add_argument("--quantize_mode", default="int8", choices=MODES)
    parser.add_argument("--calibration_method", default="entropy", choices=METHODS)
    parser.add_argument("--op_types_to_exclude", nargs="*", default=["MatMul"], metavar="TYPE")
    parser.add_argument(
        "--nodes_to_exclude",
        nargs="*",
        default=[],
        metavar="REGEX",
        help="names that stay in floating point, from their beginning",
    )
    parser.add_argument("--simplify", action="store_true", help="fold constants with onnxslim first")
    parser.add_argument("--samples", type=int, help="use only the first so many samples")
    options = parser.parse_args(argv)
    out = quantize(
        options.onnx_path,
        options.output_path or options.onnx_path.with_suffix(".quant.onnx"),
        options.quantize_mode,
        options.calibration_method,
        options.calibration_data_path,
        tuple(options.op_types_to_exclude),
        tuple(options.nodes_to_exclude),
        options.simplify,
        options.samples,
        progress=True,
    )
    rows = counts(report(out, options.onnx_path))
    print(f"{'operator':<32}{'nodes':>6}{'quantized':>11}{'left':>6}  why left")
    for row in rows:
        print(f"{row['op']:<32}{row['nodes']:>6}{row['quantized']:>11}{row['left']:>6}  {row['why left']}")
    print(out)
    return 0
