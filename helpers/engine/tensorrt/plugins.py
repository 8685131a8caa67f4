"""Plugin libraries: loaded once per process, known by the SHA-256 of their bytes."""

import ctypes
from pathlib import Path

from helpers.engine.tensorrt import log as tensorrt_log
from helpers.errors import BadInput
from helpers.files import sha256

MAKE = "build the plugin library for this TensorRT, and pass plugins=[PATH] or --staticPlugins=PATH"
_loaded = {}


def identity(paths):
    """[{"file", "sha256"}] of the libraries; BadInput if one is absent."""
    for path in paths:
        if not Path(path).is_file():
            raise BadInput(path, "no such file", "a plugin library", MAKE)
    return [{"file": Path(path).name, "sha256": sha256(path)} for path in paths]


def load(paths, known):
    """Load TensorRT's own plugins and these libraries.

    Args:
        known: `tensorrt_versions.Facts`: from 10.0 the registry loads libraries (they export getCreators); 8.6's
            register themselves when the dynamic loader opens them.

    Raises:
        BadInput: a library is absent, or does not load (with the loader's reason).
    """
    import tensorrt as trt

    with tensorrt_log.captured() as log:
        trt.init_libnvinfer_plugins(tensorrt_log.logger(), "")
        for entry, path in zip(identity(paths), paths, strict=True):
            path = str(Path(path).resolve())
            if path in _loaded:
                continue
            try:
                handle = (
                    trt.get_plugin_registry().load_library(path)
                    if known.registry_loads_plugins
                    else ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
                )
            except (OSError, RuntimeError) as error:
                raise BadInput(path, error, f"a plugin library for TensorRT {known.version}", MAKE) from error
            if handle is None:
                expected = f"a plugin library for TensorRT {known.version} that exports getCreators"
                raise BadInput(path, f"the registry did not load it:\n{log}", expected, MAKE)
            _loaded[path] = handle, entry["sha256"]


def check(engine_path, meta, paths):
    """The libraries that an engine needs: `paths`, else those it was built with if they are still there.

    Raises:
        BadInput: fewer libraries than the engine was built with, or one of other bytes.
    """
    wanted = meta.get("options", {}).get("plugins", [])
    if not paths:
        paths = [path for path in meta.get("plugin_paths", []) if Path(path).is_file()]
    found = identity(paths)
    digests = [entry["sha256"] for entry in found]
    for entry in wanted:
        if entry["sha256"] not in digests:
            here = [f"{item['file']} ({item['sha256'][:12]})" for item in found] or "none"
            raise BadInput(engine_path, f"plugin libraries given: {here}",
                           f"{entry['file']} with SHA-256 {entry['sha256'][:12]}..., which the engine was built with",
                           MAKE)  # fmt: skip
    return paths
