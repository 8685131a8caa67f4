"""Plugin libraries as TensorRT takes them: loaded into its registry, and those that an engine was built with."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from helpers.engine.tensorrt import messages
from helpers.engine.tensorrt.versions import Facts
from helpers.errors import BadInput
from helpers.files import PathLike
from helpers.ops import library

MAKE = "build the plugin library for this TensorRT, and pass plugins=[PATH] or --staticPlugins=PATH"


def load(paths: Sequence[PathLike], known: Facts) -> None:
    """Load TensorRT's own plugins and these libraries, each once per process.

    Args:
        known: facts of the installed version: from 10.0 the registry loads libraries (they export getCreators); 8.6's
            register themselves when the dynamic loader opens them.

    Raises:
        BadInput: a library is absent, or does not load (with the loader's reason).
    """
    import tensorrt as trt

    with messages.captured() as log:
        trt.init_libnvinfer_plugins(messages.logger(), "")
        for path in paths:
            if known.registry_loads_plugins:
                library.load_once(path, "registry", partial(_register, trt.get_plugin_registry(), log, known))
            else:
                library.load_once(path, "dlopen", library.open_globally)


def _register(registry, log, known, path):
    try:
        handle = registry.load_library(path)
    except (OSError, RuntimeError) as error:
        raise BadInput(path, error, f"a plugin library for TensorRT {known.version}", MAKE) from error
    if handle is None:
        expected = f"a plugin library for TensorRT {known.version} that exports getCreators"
        raise BadInput(path, f"the registry did not load it:\n{log}", expected, MAKE)
    return handle


def check(engine_path: Path, meta: dict, paths: Sequence[PathLike]) -> Sequence[PathLike]:
    """The libraries that an engine needs: `paths`, else those it was built with if they are still there.

    Raises:
        BadInput: fewer libraries than the engine was built with, or one of other bytes.
    """
    wanted = meta.get("options", {}).get("plugins", [])
    if not paths:
        paths = [path for path in meta.get("plugin_paths", []) if Path(path).is_file()]
    found = library.identity(paths)
    digests = [entry["sha256"] for entry in found]
    for entry in wanted:
        if entry["sha256"] not in digests:
            here = [f"{item['file']} ({item['sha256'][:12]})" for item in found] or "none"
            raise BadInput(engine_path, f"plugin libraries given: {here}",
                           f"{entry['file']} with SHA-256 {entry['sha256'][:12]}..., which the engine was built with",
                           MAKE)  # fmt: skip
    return paths
