"""ONNX Runtime on the CPU: runs everywhere, and gives the figures of the CPU tier.

The engine is the ONNX file itself, opened once to prove that it loads, with the session options in its metadata file. A
session's own optimized form is not kept: it holds kernels chosen for one kind of CPU. What needs onnx is imported where
it is used: a machine that only runs TensorRT's engines asks this module too whether a file is one of its own.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from helpers import cores
from helpers.engine import cache
from helpers.engine.base import Arrays, Engine, Runtime, Tensor
from helpers.engine.pair import alone, joined
from helpers.errors import BadInput
from helpers.files import PathLike

DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
    **{f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}").type for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
PRECISIONS = {"float": "fp32", "float16": "fp16", "int8": "int8", "uint8": "int8", "int32": "int32"}  # in a profile


@dataclasses.dataclass
class SessionOptions:
    """How ONNX Runtime runs a graph, for building and for loading.

    Attributes:
        threads: threads within an operator; None takes what `helpers.cores` allows.
        optimization: graph optimization level "disable", "basic", "extended" or "all"; None chooses "all", or "basic"
            for a graph with FP8 types, whose fusions at higher levels the CPU kernels do not support.
    """

    threads: int | None = None
    optimization: str | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):
            raise BadInput("option threads", repr(self.threads), "a whole number from 1, or None", "correct it")
        if self.optimization not in (None, "disable", "basic", "extended", "all"):
            expected = "disable, basic, extended, all, or None"
            raise BadInput("option optimization", repr(self.optimization), expected, "correct it")


@dataclasses.dataclass
class LoadOptions(SessionOptions):
    """How a graph is opened.

    Attributes:
        before: a loaded engine that runs first, whose outputs are inputs of this one: both are one engine, and those
            that it does not take are outputs of it. It is closed too.
    """

    before: Engine | None = None


class OnnxRuntime(Runtime):
    """ONNX Runtime on the CPU."""

    name, suffix = "onnxruntime", ".onnx"
    build_options, load_options = SessionOptions, LoadOptions

    def version(self) -> str:
        import onnxruntime

        return onnxruntime.__version__

    def is_engine(self, path: PathLike) -> bool:
        return Path(path).suffix == self.suffix

    def build(self, onnx_path: Path, model: Any, engine_path: Path, options: SessionOptions) -> dict[str, Any]:
        """Copy the ONNX file and its external weights, and open the copy to prove that ONNX Runtime takes it."""
        from helpers.graph.session import foldable, open_session

        for name in cache.external_files(onnx_path, model):
            (engine_path.parent / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(onnx_path.parent / name, engine_path.parent / name)
        shutil.copyfile(onnx_path, engine_path)
        level, _ = _level(model, options.optimization)
        open_session(engine_path, level, options.threads, onnx_path, folded=foldable(model))
        return {"optimization": level, "nodes": len(model.graph.node)}

    def load(self, path: Path, meta: dict[str, Any], options: LoadOptions) -> "OnnxRuntimeEngine":
        """An engine over an InferenceSession; options given here win over those of the metadata file."""
        from helpers.graph.session import foldable, open_session

        built = SessionOptions(**meta.get("options", {}))
        threads = options.threads or built.threads or cores.threads()
        model = cache.read_model(path)
        level, why = _level(model, options.optimization or built.optimization)
        session = open_session(path, level, threads, folded=foldable(model))
        description = f"ONNX Runtime {self.version()}, CPU, {threads or 'all'} threads, optimization {level} ({why})"
        return OnnxRuntimeEngine(path, session, description, meta, options.before)


def _level(model, asked):
    """(graph optimization level, why it is this one)."""
    from helpers.graph.walk import uses_fp8

    if asked is not None:
        return asked, "as asked"
    if uses_fp8(model):
        return "basic", "the graph has FP8 types, which the CPU runs at this level or below"
    return "all", "default"


class OnnxRuntimeEngine(Engine):
    """An InferenceSession behind the engine interface; contiguous inputs are read in place, not copied."""

    def __init__(
        self, path: Path, session: Any, description: str, meta: dict[str, Any], before: Engine | None = None
    ) -> None:
        self.session, self._before = session, before
        self._names = [value.name for value in session.get_outputs()]
        inputs = {value.name: _tensor(path, value) for value in session.get_inputs()}
        outputs = {value.name: _tensor(path, value) for value in session.get_outputs()}
        self._own = list(inputs)
        super().__init__(path, *joined(inputs, outputs, before, OnnxRuntimeEngine, path), description, meta)

    def _run(self, feeds):
        from helpers.graph.session import run

        made = self._before.run({name: feeds[name] for name in self._before.inputs}) if self._before else {}
        taken = {name: made[name] if name in made else feeds[name] for name in self._own}
        found = dict(zip(self._names, run(self.session, self._names, taken, self.path), strict=True))
        return {name: (made | found)[name] for name in self.outputs}

    def profile(self, feeds: Arrays, iterations: int = 10) -> list[dict[str, Any]]:
        """Time of each kernel, by ONNX Runtime's own profiler in a second session; measuring slows the kernels down.

        Returns:
            list[dict] with layer (the node), type, precision (of the first output), ms (mean of `iterations` runs after
            one that is not counted) and share of the sum, in the order in which they ran first.
        """
        from helpers.graph.session import kernel_times

        self.check(feeds)
        alone(self._before)
        if iterations < 1:
            raise BadInput("profile", f"iterations {iterations}", "at least 1", "correct it")
        lines = kernel_times(self.session, str(self.path), dict(feeds), iterations)
        whole = sum(line["ms"] for line in lines) or 1.0
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for line in lines:
            named = {
                "layer": line["name"],
                "type": line["op_name"],
                "precision": PRECISIONS.get(next(iter(line["types"]), ""), ""),
            }
            row = rows.setdefault((line["name"], line["op_name"]), named | {"ms": 0.0, "share": 0.0})
            row["ms"] += line["ms"] / iterations
            row["share"] += line["ms"] / whole
        return list(rows.values())

    def close(self) -> None:
        self.session = None
        if self._before:
            self._before.close()


def _tensor(path, value):
    if value.type not in DTYPES:
        raise BadInput(f"{value.name!r} of {path}", value.type, f"one of {list(DTYPES)}", "cast it inside the graph")
    shape = tuple(_dimension(size, f"{value.name}.{axis}") for axis, size in enumerate(value.shape))
    return Tensor(shape, np.dtype(DTYPES[value.type]))


def _dimension(size, own_name):
    """A size, or the name of a free dimension: its own where the file gives none that could bind it to others."""
    if isinstance(size, int) and size >= 0:
        return size
    bound = isinstance(size, str) and size.isidentifier() and not size.startswith("unk__")
    return size if bound else own_name
