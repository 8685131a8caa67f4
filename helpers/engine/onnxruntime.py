"""ONNX Runtime on the CPU: runs everywhere, and gives the figures of the CPU tier.

The engine is the ONNX file itself, opened once to prove that it loads, with the session options in its side file. A
session's own optimised form is not kept: it holds kernels chosen for one kind of CPU.
"""

import shutil

import numpy as np

from helpers.engine import cache
from helpers.engine.base import Engine, Tensor
from helpers.errors import BadInput
from helpers.graph.session import LEVELS, open_session
from helpers.graph.walk import uses_fp8

SUFFIX = ".onnx"
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
    **{f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}").type for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def version():
    """Version of the installed onnxruntime."""
    import onnxruntime

    return onnxruntime.__version__


def options(threads=None, optimization=None):
    """Session options.

    Args:
        threads: threads within an operator; None leaves it to ONNX Runtime (one for each core).
        optimization: graph optimization level "disable", "basic", "extended" or "all"; None chooses "all", or "basic"
            for a graph with FP8 types, whose fusions at higher levels the CPU kernels do not support.
    """
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise BadInput("option threads", repr(threads), "a whole number from 1, or None", "correct it")
    if optimization is not None and optimization not in LEVELS:
        raise BadInput("option optimization", repr(optimization), f"one of {list(LEVELS)}, or None", "correct it")
    return [], {"threads": threads, "optimization": optimization}


def build(onnx_path, model, engine_path, compute_capabilities, options):
    """Copy the ONNX file and its external weights, and open the copy to prove that ONNX Runtime takes it."""
    for name in cache.external_files(onnx_path, model):
        (engine_path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(onnx_path.parent / name, engine_path.parent / name)
    shutil.copyfile(onnx_path, engine_path)
    level = options["optimization"] or default_level(model)
    open_session(engine_path, level, options["threads"], onnx_path)
    return {"optimization": level, "nodes": len(model.graph.node)}


def default_level(model):
    """The graph optimization level for a model: "all", or "basic" if it has FP8 types."""
    return "basic" if uses_fp8(model) else "all"


def load(path, meta, **given):
    """An engine over an InferenceSession; options given here win over those of the side file."""
    given = {**meta.get("options", {}), **given}
    _, chosen = options(**given)
    model = cache.read_model(path)
    level, why = chosen["optimization"], "as asked"
    if level is None:
        level, why = default_level(model), "default"
        if level == "basic":
            why = "the graph has FP8 types, which the CPU runs at this level or below"
    session = open_session(path, level, chosen["threads"])
    threads = chosen["threads"] or "all"
    description = f"ONNX Runtime {version()}, CPU, {threads} threads, optimization {level} ({why})"
    return OnnxRuntimeEngine(path, session, description, meta)


class OnnxRuntimeEngine(Engine):
    """An InferenceSession behind the engine interface; contiguous inputs are read in place, not copied."""

    def __init__(self, path, session, description, meta):
        self.session = session
        self._names = [value.name for value in session.get_outputs()]
        inputs = {value.name: _tensor(path, value) for value in session.get_inputs()}
        outputs = {value.name: _tensor(path, value) for value in session.get_outputs()}
        super().__init__(path, inputs, outputs, description, meta)

    def _run(self, feeds):
        return dict(zip(self._names, self.session.run(self._names, feeds), strict=True))

    def close(self):
        self.session = None


def _tensor(path, value):
    if value.type not in DTYPES:
        raise BadInput(f"{value.name!r} of {path}", value.type, f"one of {list(DTYPES)}", "cast it inside the graph")
    unnamed = (f"{value.name}.{axis}" for axis in range(len(value.shape)))
    shape = (name if size is None else size for size, name in zip(value.shape, unnamed, strict=True))
    return Tensor(tuple(shape), np.dtype(DTYPES[value.type]))
