"""ModelOpt and onnxslim, each called in one place."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx

from helpers import disk, graph, temporary
from helpers.calibration import CalibrationReader
from helpers.errors import BadInput, foreign
from helpers.graph.inference import infer


def run(
    path: Path, out: Path, reader: CalibrationReader, mode: str, method: str, options: Any, where: Path
) -> onnx.ModelProto:
    """The model of the file `path`, which errors call `where`, quantized by ModelOpt.

    ModelOpt rewrites its input file in place and writes others beside it and `out`: give it a folder of its own.
    """
    from modelopt.onnx.quantization import quantize

    with _contained(out.parent):
        quantize(
            str(path),
            quantize_mode=mode,
            calibration_data_reader=reader,
            calibration_method=method,
            calibration_eps=["cpu"],
            calibration_shapes=_inferred_shapes(path, reader, where),
            disable_mha_qdq="MatMul" in options.exclude_op_types,  # else it runs the network to see attention's shapes
            op_types_to_exclude=list(options.exclude_op_types),
            nodes_to_exclude=list(options.exclude_nodes),
            high_precision_dtype="fp32",
            output_path=str(out),
            log_level="ERROR",
        )
    return onnx.load(out)


def autocast(model: onnx.ModelProto, kept: Iterable[str]) -> onnx.ModelProto:
    """`model`, which has no custom operators, with the Casts to FP16 that ModelOpt's AutoCast puts between its nodes.

    Args:
        kept: regular expressions, from the beginning of a node's name: what they fit stays in FP32.

    Raises:
        BadInput: a graph that AutoCast does not take.
    """
    from modelopt.onnx.autocast import convert_to_mixed_precision

    for name in ("modelopt.onnx", "modelopt.onnx.autocast"):
        logging.getLogger(name).setLevel(logging.ERROR)
    fix = "correct the node it names, or take by_casts"
    with temporary.scratch() as folder, _contained(folder), foreign("the graph", "one that AutoCast takes", fix):
        path = graph.save(model, folder / "model.onnx")
        return convert_to_mixed_precision(str(path), nodes_to_exclude=list(kept), keep_io_types=True, providers=["cpu"])


@contextlib.contextmanager
def adapted(path: Path, out: Path) -> Iterator[None]:
    """Whatever ModelOpt, onnxslim, ONNX Runtime or onnx raise in the block becomes a BadInput that names `path`.

    A full disk is told by the name of `out`; a package that is absent stays what it is.
    """
    try:
        with disk.errors(out):
            yield
    except (BadInput, ModuleNotFoundError):
        raise
    except Exception as error:  # their exceptions have no class in common
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        expected = "a graph that ModelOpt quantizes (nothing was written)"
        fix = "correct the node it names, or leave it out with exclude_nodes (--nodes_to_exclude)"
        raise BadInput(path, f"{type(error).__name__}: {reason}", expected, fix) from error


def _inferred_shapes(path, reader, where):
    """Input shapes, from which ModelOpt can infer the others; None makes it run the network with every matrix product
    as an output, which takes gigabytes, and is needed only where inference leaves a shape open.
    """
    model = infer(onnx.load(path), where)
    ranks = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        tensor = ranks[node.output[0]].type.tensor_type if node.output[0] in ranks else None
        if node.op_type in ("MatMul", "Gemm") and (tensor is None or not all(d.dim_value for d in tensor.shape.dim)):
            return None
    return {name: list(spec.shape) for name, spec in reader.specs.items()}


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


def slim(model: onnx.ModelProto, where: Path) -> onnx.ModelProto:
    """`model` simplified by onnxslim, which breaks constants inside function bodies: so it gets the graph without them,
    but with known shapes. Errors call it `where`.
    """
    import onnxslim

    with _quiet():
        bare = graph.drop_functions(infer(model, where))
        simple = onnxslim.slim(bare, skip_fusion_patterns=["FusionGemm"])
    simple.functions.extend(model.functions)
    return simple
