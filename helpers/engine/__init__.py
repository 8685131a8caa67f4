"""Build, cache, load, inspect and run an engine: one interface over several runtimes. Needs no torch.

A runtime is a subclass of `helpers.engine.base.Runtime`; `RUNTIMES` says where it is, and it is imported when it is
asked for.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.engine import cache
from helpers.engine.base import Engine, Runtime, Tensor, make_options
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, found_at

__all__ = [
    "RUNTIMES", "Availability", "Engine", "Runtime", "Tensor",
    "available", "build", "get_runtime", "inspect", "load", "runtime_of",
]  # fmt: skip

RUNTIMES = {
    "onnxruntime": "helpers.engine.onnxruntime:OnnxRuntime",
    "tensorrt": "helpers.engine.tensorrt:TensorRt",
    "tensorrt_rtx": "helpers.engine.tensorrt_rtx:TensorRtRtx",
}


@dataclasses.dataclass(frozen=True)
class Availability:
    """Whether a runtime can be used here; true if it can.

    Attributes:
        version: the installed version, None if it cannot be used.
        reason: why it cannot be used, "" if it can.
    """

    version: str | None
    reason: str = ""

    def __bool__(self) -> bool:
        return self.version is not None


def available() -> dict[str, Availability]:
    """Which runtimes can be used on this machine, by name."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = Availability(get_runtime(name).version())
        except ImportError as error:
            found[name] = Availability(None, f"not installed ({error})")
        except OSError as error:
            found[name] = Availability(None, f"cannot be used ({error})")
    return found


@functools.cache
def get_runtime(name: str) -> Runtime:
    """The runtime of this name, installed or not; BadInput if there is none."""
    if name not in RUNTIMES:
        raise BadInput("runtime", repr(name), f"one of {list(RUNTIMES)}", "name an installed runtime")
    module, _, runtime = RUNTIMES[name].partition(":")
    return getattr(importlib.import_module(module), runtime)()


def usable(name: str) -> tuple[Runtime, str]:
    """(runtime, installed version); BadInput if it is unknown or cannot be used here."""
    runtime = get_runtime(name)
    try:
        return runtime, runtime.version()
    except (ImportError, OSError) as error:
        fix = "python -m helpers doctor says what is missing; or name another runtime"
        raise BadInput(f"runtime {name}", error, "a runtime that is installed and runs here", fix) from error


@typed
def build(
    onnx_path: PathLike,
    runtime: str = "onnxruntime",
    out_dir: PathLike = "build/engines",
    starting: Callable[[], object] | None = None,
    **options: Any,
) -> Path:
    """Build an engine, or find it in the cache.

    Args:
        onnx_path: ONNX file; its external weights lie beside it.
        runtime: one of `RUNTIMES`.
        out_dir: the cache folder.
        starting: function that is called when the engine is not in the cache and all that was given is in order.
        options: see the runtime's `build_options`.

    Returns:
        Path of the engine; `<engine>.json` beside it says what it was made from.

    Raises:
        BadInput: the file is not whole ONNX, the runtime refuses it (the node and the reason are named), an option is
            unknown, `out_dir` cannot be written, or the disk is full. Nothing half written is left.
    """
    builder, version = usable(runtime)
    settings = make_options(builder.build_options, runtime, options)
    model = cache.read_model(onnx_path)
    builder.check(onnx_path, model, settings)
    keyed, capabilities = builder.key_options(settings), builder.compute_capabilities(settings)
    made_from = cache.identity(onnx_path, model, runtime, version, capabilities, keyed)

    def make(part):
        if starting:
            starting()
        return builder.build(Path(onnx_path), model, part, settings)

    return cache.fetch(out_dir, onnx_path, made_from, builder.suffix, make)


def runtime_of(path: PathLike) -> str:
    """Name of the runtime that built the engine at `path`.

    Without a metadata file, an ONNX file is ONNX Runtime's and a plan, as trtexec writes it, is TensorRT's.
    """
    bare = next((name for name in RUNTIMES if _is_bare(path, name)), None)
    return bare or cache.read_meta(path)["runtime"]


def _is_bare(path, runtime):
    """Whether `path` is an engine of this runtime without a metadata file."""
    return not as_path(cache.metadata_file(path)).exists() and get_runtime(runtime).is_engine(path)


@typed
def load(path: PathLike, runtime: str | None = None, **options: Any) -> Engine:
    """Load an engine, by default with the runtime that built it.

    ONNX Runtime also takes a plain ONNX file, TensorRT a plain plan (one that has no metadata file).

    Args:
        options: see the runtime's `load_options`.

    Raises:
        BadInput: the engine is damaged, of another runtime or version, or this machine cannot run it.
    """
    path = as_path(path)
    runtime = runtime or runtime_of(path)
    loader, version = usable(runtime)
    settings = make_options(loader.load_options, runtime, options)
    if not path.is_file():
        raise BadInput(path, found_at(path), "an engine or an ONNX file", "check the path")
    meta = {} if _is_bare(path, runtime) else cache.verify(path, runtime, version, loader.compatible)
    return loader.load(path, meta, settings)


@typed
def inspect(path: PathLike) -> dict[str, Any]:
    """What the metadata file says of the engine at `path`; BadInput if the engine is damaged. Runs nowhere."""
    meta = cache.read_meta(path)
    return cache.verify(path, meta["runtime"], meta["version"])
