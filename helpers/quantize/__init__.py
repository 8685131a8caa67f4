"""Post-training quantization of an ONNX file with ModelOpt: explicit Q/DQ nodes, in INT8 or FP8, on any machine.

A quantizer rounds x to scale · clip(round(x / scale)): 256 levels for INT8, E4M3 floating point for FP8. Weights of
convolutions get one scale per output channel, activations one per tensor, measured on a calibration set
(`helpers.calibration`). ModelOpt decides where Q/DQ nodes go so that TensorRT can fuse them; `report` reads the result
and says what was left and why.
"""

import contextlib
import difflib
import json
import re
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import onnx
from onnx import helper

from helpers import graph
from helpers.arguments import between, typed
from helpers.calibration import CalibrationReader, check_calibration, noise
from helpers.errors import BadInput
from helpers.files import atomic, check_distinct
from helpers.graph import walk
from helpers.graph.file import check_output
from helpers.quantize import calibrators, free, linears, modelopt, smoothing, source, volumes
from helpers.quantize.coverage import METADATA, counts, report
from helpers.quantize.cpu import for_cpu

__all__ = ["METHODS", "MODES", "Options", "counts", "for_cpu", "quantize", "report"]

MODES, METHODS = ("int8", "fp8"), ("entropy", "max")


@typed
@dataclass(frozen=True)
class Options:
    """What is seldom changed in `quantize`.

    exclude_op_types: left in floating point. MatMul is excluded because attention is sensitive and fuses better.
    exclude_nodes: regular expressions, such as a config's `unquantized`; a node whose name begins with a match of one
        stays in floating point.
    simplify: fold constants and drop redundant nodes with onnxslim first.
    samples: use only the first so many of the calibration set.
    progress: show a bar while the samples are read.
    linears: quantize matrix products with a weight in INT8 even so, one scale for each output channel of the weight and
        one for what is read, by "max" whatever the method; excluded MatMuls are then those of attention.
    smooth: alpha of SmoothQuant (`helpers.quantize.smoothing`), 0 to 1, which these Linears get first.
    """

    exclude_op_types: tuple[str, ...] = ("MatMul",)
    exclude_nodes: tuple[str, ...] = ()
    simplify: bool = False
    samples: int | None = None
    progress: bool = False
    linears: bool = False
    smooth: float | None = None

    @property
    def has_linears(self) -> bool:
        """Whether Linears are quantized too, smoothed or as they are."""
        return self.linears or self.smooth is not None


DEFAULTS = Options()


@typed
def quantize(
    onnx_path: str | Path,
    out: str | Path,
    mode: str = "int8",
    method: str = "entropy",
    calibration: str | Path | None = None,
    options: Options = DEFAULTS,
) -> Path:
    """Quantize `onnx_path` and write one ONNX file; custom nodes keep their functions and stay in floating point.

    Args:
        mode: "int8", or "fp8" (E4M3; ONNX Runtime opens such a file only with graph optimization at BASIC or below).
        method: how an activation's range is chosen. "max" keeps the largest magnitude; "entropy" cuts where the
            quantized histogram stays closest to the original one (in Kullback-Leibler divergence).
        calibration: a set written by `helpers.calibration.collect`, streamed, so its size does not matter. None
            measures the ranges on one sample of random numbers: right for timing, wrong for accuracy. Dimensions that
            are free in the graph have the set's size while ranges are measured; in what is written they are free again,
            unless it is simplified.

    Returns:
        Path of the written file, whole or absent. The input files are not touched.

    Raises:
        BadInput: unknown mode or method, an output that is an input, an expression that is none or that matches no
            node, damaged model or set, inputs of another type, or of a free shape without a set, a model that is
            already quantized or too old, one with nothing to quantize, or one that ModelOpt does not take.
    """
    onnx_path, out = Path(onnx_path), Path(out)
    _check_request(mode, method, options)
    check_output(out, onnx_path)
    check_distinct(out, calibration)
    model = source.load(onnx_path)
    types = source.types_of(model, onnx_path)
    interface, shapes = free.interface(model), source.shapes_of(model, onnx_path, calibration)
    free.fix(model, shapes)
    _check_operators(options.exclude_op_types, model)
    _check_expressions(options.exclude_nodes, model, onnx_path)
    samples = options.samples
    with atomic(out) as part:
        work = part.parent
        if calibration is None:
            calibration, samples = noise(work / "random.npz", shapes, 1, input_types=types), 1
        check_calibration(calibration, shapes, types)
        reader = CalibrationReader(calibration, shapes, samples, options.progress, types)
        with modelopt.adapted(onnx_path, out), calibrators.bounded(onnx_path), contextlib.closing(reader.bar):
            ready = modelopt.slim(model, onnx_path) if options.simplify else model
            found = _linears(ready, reader, options, onnx_path) if options.has_linears else []
            kept = tuple(re.escape(name) + "$" for name in smoothing.names_of(ready, found))
            onnx.save(ready, work / "model.onnx")
            chosen = replace(options, exclude_nodes=options.exclude_nodes + kept)
            quantized = modelopt.run(work / "model.onnx", part, reader, mode, method, chosen, onnx_path)
            linears.place(quantized, found, onnx_path)
        volumes.leave_resizing(quantized)
        _check_quantized(quantized, onnx_path, mode, (*options.exclude_op_types, *options.exclude_nodes))
        if not options.simplify:
            free.release(quantized, interface)
        settings = {"mode": mode, "method": method, "samples": len(reader)} | _settings(options, found)
        helper.set_model_props(quantized, {METADATA: json.dumps(settings)})
        graph.save(quantized, part)
    return out


def _settings(options, found):
    """What the metadata keeps of the options and of the groups of Linears that were found."""
    settings = {"simplified": options.simplify, "excluded": sorted(options.exclude_op_types)}
    settings |= {"excluded_nodes": list(options.exclude_nodes), "modelopt": version("nvidia-modelopt")}
    if options.has_linears:
        settings |= {"linears": [name for one in found for name in one.linears], "smooth": options.smooth}
    return settings


def _linears(model, reader, options, path):
    """The groups of Linears of a model, smoothed in place if that is asked for."""
    patterns = [re.compile(expression) for expression in options.exclude_nodes]
    left = [node.name for node in model.graph.node if any(pattern.match(node.name) for pattern in patterns)]
    found = smoothing.prepare(model, reader, options.smooth, left, path)
    if not found:
        expected = "a MatMul or Gemm with a weight of 16 rows and columns or more"
        raise BadInput(path, "no Linear", expected, "leave out linears and smooth, or exclude fewer nodes")
    return found


def _check_request(mode, method, options):
    """BadInput for what cannot be asked for, whatever the model is."""
    _check_choice("mode", mode, MODES)
    _check_choice("method", method, METHODS)
    if options.samples is not None and options.samples < 1:
        raise BadInput("samples", options.samples, "at least 1, or None for all", "leave samples out")
    if options.has_linears and mode != "int8":
        raise BadInput("mode", repr(mode), "'int8' with linears or smooth", "leave out linears and smooth")
    between("smooth", options.smooth or 0.0, 0.0, 1.0)


def _check_choice(name, value, choices):
    if value not in choices:
        raise BadInput(name, repr(value), " or ".join(choices), f"choose one of {', '.join(choices)}")


def _check_operators(names, model):
    known = {node.op_type for node in model.graph.node}
    for name in names:
        if name not in known and not _is_operator(name):
            close = difflib.get_close_matches(name, known, 1, 0) or ["Add"]
            raise BadInput("exclude_op_types", repr(name), f"types of operators, such as {close[0]}", "correct it")


def _is_operator(name):
    try:
        return onnx.defs.has(name)
    except TypeError:  # of what is no text in UTF-8
        return False


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
    if not walk.is_quantized(model):
        expected = f"an operator that ModelOpt quantizes in {mode}, other than {', '.join(excluded) or 'none'}"
        raise BadInput(path, "nothing to quantize", expected, "exclude fewer operator types, or use another mode")
