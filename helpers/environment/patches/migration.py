"""The example plugin `plugins/migration`: what its port from TensorRT 8.6 to 10 and 11 changes, and does it compile?

The plugin is written for `IPluginV2DynamicExt`; the patch `rotate-plugin-v3` ports it to `IPluginV3`. Compiling the
adapter needs TensorRT's and CUDA's headers, but no library and no GPU.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.environment.patches import PATCHES, manifest
from helpers.errors import BadInput
from helpers.files import ROOT, PathLike, as_path
from helpers.ops.compiler import WHEELS

PATCH = "rotate-plugin-v3"
FOLDER = "plugins/migration"
TENSORRT = (
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
    "/usr/include",
    "/usr/local/tensorrt/include",
    "/usr/src/tensorrt/include",
)
PARTS = ("MAJOR", "MINOR", "PATCH")
CUDA = ("/usr/local/cuda/include", "/usr/local/cuda/targets/x86_64-linux/include", "/usr/include")


@typed
def changes(patches: PathLike = PATCHES) -> list[dict[str, str]]:
    """What each part of the port is for: a list of dicts of `old` (8.6), `new` (10 and 11) and `why`."""
    return manifest(patches)[PATCH]["hunks"]


def find_headers() -> tuple[Path | None, Path | None]:
    """(TensorRT's include folder, CUDA's): those of TENSORRT_INCLUDE and CUDA_HOME, or of the usual places, or None."""
    homes = [f"{home}/include" for home in (os.environ.get("CUDA_HOME"),) if home]
    homes += [*CUDA, *sorted(map(str, Path("/usr/local").glob("cuda-*/include")), reverse=True)]
    homes += [f"{folder}/{WHEELS}/include" for folder in sys.path if folder]
    return (
        _holding("NvInferVersion.h", [os.environ.get("TENSORRT_INCLUDE") or "", *TENSORRT]),
        _holding("cuda_runtime_api.h", homes),
    )


def _holding(name, folders):
    return next((Path(folder) for folder in folders if folder and Path(folder, name).is_file()), None)


def headers_version(headers: PathLike) -> tuple[int, ...]:
    """TensorRT's version by its headers, as (major, minor, patch)."""
    path = as_path(Path(headers) / "NvInferVersion.h")
    if not path.is_file():
        raise BadInput(path, "no such file", "TensorRT's headers", "give headers=DIR with NvInfer.h in it")
    text = path.read_text(errors="replace", encoding="utf-8")
    defined = {name: int(value) for name, value in re.findall(r"^#define\s+(\w+)\s+(\d+)", text, re.MULTILINE)}
    names = [(f"NV_TENSORRT_{part}", f"TRT_{part}_ENTERPRISE") for part in PARTS]
    parts = [defined[name] for pair in names for name in [name for name in pair if name in defined][:1]]
    if len(parts) != len(names):
        raise BadInput(path, "no version", "#define NV_TENSORRT_MAJOR and so on", "use the headers of a release")
    return tuple(parts)


@typed
def compile_check(
    headers: PathLike | None = None, cuda_headers: PathLike | None = None, source: PathLike = ROOT
) -> dict[str, Any]:
    """Compile the adapter under `source` (nothing is linked or kept) against a TensorRT's headers.

    Args:
        headers: folder with NvInfer.h; default: where packages put it.
        cuda_headers: folder with cuda_runtime_api.h; default likewise.
        source: root above `plugins/migration`: the repository (form for 8.6), or a copy to which the patch was applied.

    Returns:
        dict of `version` (text), `form` ("IPluginV2DynamicExt" or "IPluginV3"), `compiles`, `errors` (first line of
        each), `deprecated` (how many warnings about deprecated names) and `command`.

    Raises:
        BadInput: no headers, or no C++ compiler.
    """
    found, cuda = find_headers()
    headers, cuda_headers = headers or found, cuda_headers or cuda
    if headers is None or cuda_headers is None:
        missing = "NvInfer.h" if headers is None else "cuda_runtime_api.h"
        fix = f"set TENSORRT_INCLUDE to the folder of {missing}" if headers is None else "make setup"
        absent = f"{missing} is in none of the usual places"
        raise BadInput("compile_check", absent, "TensorRT's and CUDA's headers", fix)
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise BadInput("compile_check", "no g++ or clang++", "a C++17 compiler", "apt-get install g++")
    version = ".".join(map(str, headers_version(headers)))
    path = Path(source) / FOLDER / "rotate_plugin.cpp"
    includes = ["-isystem", str(headers), "-isystem", str(cuda_headers)]
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-fsyntax-only", *includes, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})
    lines = [line.removeprefix(f"{path.parent}/") for line in done.stderr.splitlines()]
    form = (
        "IPluginV2DynamicExt"
        if "IPluginV2DynamicExt" in path.with_suffix(".h").read_text(encoding="utf-8")
        else "IPluginV3"
    )
    return {
        "version": version,
        "form": form,
        "compiles": done.returncode == 0,
        "errors": [line for line in lines if " error: " in line],
        "deprecated": sum("-Wdeprecated-declarations" in line for line in lines),
        "command": " ".join(command),
    }
