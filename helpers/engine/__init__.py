"""Build, cache, load, inspect and run an engine: one interface over several runtimes. Needs no torch.

A runtime is a module of this package with

- `SUFFIX`: file name ending of its engines,
- `version()`: the installed version (ImportError if it is not installed),
- `options(**options) -> (compute capabilities, options)`: checked and completed, ready for the cache key,
- `build(onnx_path, model, engine_path, compute_capabilities, options) -> dict`: writes the engine, returns details,
- `load(path, meta, **options) -> Engine`,

and, where it needs them,

- `key_options(options)`: the part of the options that makes an engine another one,
- `compatible(meta, version)`: whether an engine of another version may be loaded,
- `is_engine(path)`: whether a file without a side file is one of its engines.
"""

import importlib
from pathlib import Path

from helpers.engine import cache
from helpers.engine.base import Engine, Tensor
from helpers.errors import BadInput

__all__ = ["RUNTIMES", "Engine", "Tensor", "available", "build", "inspect", "load", "main", "runtime_of"]

RUNTIMES = {
    "onnxruntime": "helpers.engine.onnxruntime",
    "tensorrt": "helpers.engine.tensorrt",
    "tensorrt_rtx": "helpers.engine.tensorrt_rtx",
}


def available():
    """dict of runtime name to its installed version, or to the reason why it cannot be used."""
    found = {}
    for name, module in RUNTIMES.items():
        try:
            found[name] = importlib.import_module(module).version()
        except ImportError as error:
            found[name] = f"not installed ({error})"
        except OSError as error:
            found[name] = f"cannot be used ({error})"
    return found


def _runtime(name):
    if name not in RUNTIMES:
        raise BadInput("runtime", repr(name), f"one of {list(RUNTIMES)}", "name an installed runtime")
    module = importlib.import_module(RUNTIMES[name])
    try:
        return module, module.version()
    except (ImportError, OSError) as error:
        fix = "python -m helpers doctor says what is missing; or name another runtime"
        raise BadInput(f"runtime {name}", error, "a runtime that is installed and runs here", fix) from error


def build(onnx_path, runtime="onnxruntime", out_dir="build/engines", starting=None, **options):
    """Build an engine, or find it in the cache.

    Args:
        onnx_path: ONNX file; its external weights lie beside it.
        runtime: one of `RUNTIMES`.
        out_dir: the cache folder.
        starting: function that is called when the engine is not in the cache and all that was given is in order.
        options: see the runtime's `options` function.

    Returns:
        Path of the engine; `<engine>.json` beside it says what it was made from.

    Raises:
        BadInput: the file is not whole ONNX, the runtime refuses it (the node and the reason are named), an option is
            unknown, `out_dir` cannot be written, or the disk is full. Nothing half written is left.
    """
    module, version = _runtime(runtime)
    compute_capabilities, options = module.options(**options)
    model = cache.read_model(onnx_path)
    keyed = module.key_options(options) if hasattr(module, "key_options") else options
    made_from = cache.identity(onnx_path, model, runtime, version, compute_capabilities, keyed)

    def make(part):
        if starting:
            starting()
        return module.build(Path(onnx_path), model, part, compute_capabilities, options)

    return cache.fetch(out_dir, onnx_path, made_from, module.SUFFIX, make)


def runtime_of(path):
    """Name of the runtime that built the engine at `path`.

    Without a side file, an ONNX file is ONNX Runtime's and a plan, as trtexec writes it, is TensorRT's.
    """
    return (
        next((name for name in ("onnxruntime", "tensorrt") if _plain(path, name)), None)
        or cache.read_meta(path)["runtime"]
    )


def _plain(path, runtime):
    """Whether `path` is a file of this runtime without a side file."""
    path = Path(path)
    if cache.side_file(path).exists():
        return False
    if runtime == "onnxruntime":
        return path.suffix == ".onnx"
    module = importlib.import_module(RUNTIMES[runtime])
    return hasattr(module, "is_engine") and path.is_file() and module.is_engine(path)


def load(path, runtime=None, **options):
    """Load an engine, by default with the runtime that built it.

    ONNX Runtime also takes a plain ONNX file, TensorRT a plain plan (one that has no side file).

    Raises:
        BadInput: the engine is damaged, of another runtime or version, or this machine cannot run it.
    """
    path, runtime = Path(path), runtime or runtime_of(path)
    module, version = _runtime(runtime)
    if not path.is_file():
        raise BadInput(path, "no such file", "an engine or an ONNX file", cache.REBUILD.format(runtime=runtime))
    compatible = getattr(module, "compatible", None)
    meta = {} if _plain(path, runtime) else cache.verify(path, runtime, version, compatible)
    return module.load(path, meta, **options)


def inspect(path):
    """What the side file says of the engine at `path` (dict); BadInput if the engine is damaged. Runs nowhere."""
    meta = cache.read_meta(path)
    return cache.verify(path, meta["runtime"], meta["version"])


def main(argv):
    """`python -m helpers engine build|run|inspect|bench`."""
    from helpers.cli import engine as command

    return command.main(argv)
