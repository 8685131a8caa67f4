"""The library of custom operators in plugins/: compile it, find it, load it once, know what it was built for. No torch.

`helpers.ops` calls its kernels on CUDA tensors; `helpers.engine.tensorrt.plugins` hands its plugins to TensorRT.
"""

import ctypes
import functools
import hashlib
import os
import re
import subprocess
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import ROOT, PathLike, as_path, sha256

FOLDER = ROOT / "plugins"
ABI = "1"
DIGITS, SOURCES = 12, ("kernels/*.cu", "kernels/*.h", "tensorrt/*.cpp", "tensorrt/*.h")  # of their digest
MAKE = "make -C plugins TENSORRT_INCLUDE=/path/to/TensorRT/include"
OUTPUTS = {
    "plugins": "libonramp_plugins.so",
    "kernels": "kernels/libonramp_kernels.so",
    "host": "host/libonramp_kernels.so",
    "straightforward": "check/libonramp_straightforward.so",
    "straightforward_host": "host/libonramp_straightforward.so",
}
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKEFILES", "MAKELEVEL")  # how a make above hands its variables down
AUTOMATIC = "automatic"
LARGEST = 4 << 30  # bytes of a library: those of TensorRT have 2 GB

VARIABLES = ("TENSORRT_INCLUDE", "TENSORRT_LIB", "CUDA_HOME", "ARCH", "CXX", "NVCC", "TARGET", "CUDA_TARGET")
_loaded: dict[tuple[str, str], Any] = {}  # (way of loading, SHA-256) -> what the loader returned
_chosen: ctypes.CDLL | str | None = AUTOMATIC
_packed = False


# ---------------------------------------------------------------------------------------------------- build and find


@typed
def build(target: str = "plugins", out: PathLike | None = None, **variables: PathLike) -> Path:
    """Compile with plugins/Makefile; returns the path of the library.

    Args:
        target: "plugins" for TensorRT, "kernels" for the CUDA kernels alone, "host" for the same source on the CPU;
            "straightforward" and "straightforward_host" for kernels to compare with.
        out: folder for what is built; None for plugins/build.
        variables: of the Makefile, see `VARIABLES`; ARCH such as "sm_90".

    Raises:
        BadInput: an unknown target, no compiler or no headers; it holds the end of what the compiler said.
    """
    folder = _folder(target, out)
    if unknown := sorted(set(variables) - set(VARIABLES)):
        raise BadInput("plugins.build", f"variables {unknown}", f"some of {', '.join(VARIABLES)}", "correct the name")
    if out is not None and " " in str(folder):
        raise BadInput("plugins.build", f"out={str(folder)!r}", "a folder without spaces, which make takes for two",
                       "choose another folder")  # fmt: skip
    settings = {"OUT": "build" if out is None else folder} | variables
    command = ["make", "-C", FOLDER, target, *(f"{name}={value}" for name, value in settings.items())]
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    try:
        made = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    except FileNotFoundError as error:
        raise BadInput("plugins.build", "no make on this machine", "make and a compiler", "install them") from error
    if made.returncode:
        raise BadInput("plugins.build", (made.stderr or made.stdout).strip()[-2000:],
                       f"{OUTPUTS[target]} from {' '.join(map(str, command))}",
                       f"see the head of plugins/Makefile for its variables: {MAKE}")  # fmt: skip
    _newest.cache_clear()
    return folder / OUTPUTS[target]


def find(target: str = "plugins", out: PathLike | None = None) -> Path | None:
    """The library that `build` made of `target` in `out`, or None if it is not there."""
    path = _folder(target, out) / OUTPUTS[target]
    return path if path.is_file() else None


def _folder(target, out):
    """Where `target` is built; BadInput for one that the Makefile does not have."""
    if target not in OUTPUTS:
        raise BadInput("plugins", repr(target), f"one of {', '.join(OUTPUTS)}", MAKE)
    return FOLDER / "build" if out is None else Path(out).resolve()


# ---------------------------------------------------------------------------------------------------------------- load


@typed
def load(path: PathLike, tensorrt: str | None = None) -> ctypes.CDLL:
    """The library at `path`, loaded, with its kernels ready to be called; under TensorRT 8.6 its plugins register.

    Warns of a library that was built from other sources than those in plugins/, such as those of another commit.

    Args:
        path: a library that `build` made.
        tensorrt: version that it has to be built for, such as "8.6.0" (compared by major version); None for any.

    Raises:
        BadInput: no such file, not loadable (it names the library that is missing), not this project's library, an
            interface of another version, or another TensorRT.
    """
    library = load_once(path, "dlopen", open_globally)
    about = info(library, path)
    if about["abi"] != ABI:
        raise BadInput(path, f"interface {about['abi']}", f"interface {ABI}", f"build it again: {MAKE}")
    if tensorrt and about["tensorrt"].split(".")[0] != str(tensorrt).split(".")[0]:
        found = f"built for TensorRT {about['tensorrt']}"
        raise BadInput(path, found, f"TensorRT {tensorrt}", f"build it again: {MAKE}")
    if (here := sources()) and about.get("sources") != here:
        found = f"built from sources {about.get('sources', 'that it does not name')}"
        warnings.warn(f"{path} was {found}; those in {FOLDER} are {here} (build it again: {MAKE})", stacklevel=3)
    return library


def sources() -> str:
    """The first digits of the SHA-256 of the sources in plugins/, as its Makefile has them; "" where there are none."""
    paths = sorted(path for kind in SOURCES for path in FOLDER.glob(kind))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:DIGITS] if paths else ""


def function(library: ctypes.CDLL, name: str) -> Any:
    """A function of a loaded library; BadInput for a library without it, such as one of an older commit."""
    try:
        return library[name]
    except AttributeError as error:
        raise BadInput(
            library._name, f"no {name} in it", "a library of this commit", f"build it again: {MAKE}"
        ) from error


def load_once(path: PathLike, way: str, loader: Callable[[str], Any]) -> Any:
    """What `loader` returns for the path; in one process it is called once for files of the same bytes.

    Args:
        way: a name of the loader: what was loaded one way is loaded again another way.
    """
    key = way, identity([path])[0]["sha256"]
    if key not in _loaded:
        _loaded[key] = loader(str(Path(path).resolve()))
    return _loaded[key]


def open_globally(path: str) -> ctypes.CDLL:
    """Open any shared library, its symbols visible to the others; BadInput with the loader's reason."""
    try:
        return ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
    except OSError as error:
        missing = re.match(r"(\S+): cannot open shared object file", str(error))
        if not missing or missing[1] == path:
            raise BadInput(path, error, "a plugin library for this machine", MAKE) from error
        fix = "import tensorrt first, or put the folder of the library into LD_LIBRARY_PATH"
        raise BadInput(path, f"it needs {missing[1]}, which the loader does not find", missing[1], fix) from error


def identity(paths: Iterable[PathLike]) -> list[dict[str, str]]:
    """[{"file", "sha256"}] of plugin libraries; BadInput if one is absent or cannot be read."""
    found = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        try:
            if (size := as_path(path).stat().st_size) > LARGEST:
                raise BadInput(path, f"{size:,} bytes", f"a plugin library, of at most {LARGEST:,} bytes", MAKE)
            found.append({"file": Path(path).name, "sha256": sha256(path)})
        except OSError as error:
            raise BadInput(
                path, error.strerror, "a plugin library", f"correct the path, or build it: {MAKE}"
            ) from error
    return found


def info(library: ctypes.CDLL, path: PathLike = "plugin library") -> dict[str, str]:
    """What a loaded library was built for: name, abi, tensorrt ("none" without adapters), cuda and arch."""
    try:
        library.onramp_plugins_info.restype = library.onramp_error.restype = ctypes.c_char_p
    except AttributeError as error:
        raise BadInput(path, "no onramp_plugins_info in it", "libonramp_plugins.so of this project", MAKE) from error
    name, *pairs = library.onramp_plugins_info().decode().split()
    return {"name": name, **dict(pair.split("=", 1) for pair in pairs)}


def error_text(library: ctypes.CDLL, code: int) -> str:
    """What a loaded library's return code means."""
    return library.onramp_error(code).decode()


# ------------------------------------------------------------------------------------------------- what PyTorch takes


class use:
    """Choose the library whose kernels `helpers.ops` calls, for the rest of the process or for a `with` block.

    Args:
        path: a library that `build` made: "kernels" and "plugins" take CUDA tensors, "host" takes CPU tensors. None
            for none, so that the definitions in PyTorch run. AUTOMATIC, the choice at the start: the newest library in
            plugins/build for CUDA tensors.
        packed: in half precision, take the kernels that compute on pairs of halves, as the TRT2 plugins do.

    Raises:
        BadInput: as `load` does.
    """

    def __init__(self, path: PathLike | None, packed: bool = False):
        global _chosen, _packed
        self._before = _chosen, _packed
        _chosen, _packed = path if path in (None, AUTOMATIC) else load(path), packed

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        global _chosen, _packed
        _chosen, _packed = self._before


def kernels(device: str) -> ctypes.CDLL | None:
    """The chosen library if its kernels take tensors of the device "cuda" or "cpu", else None."""
    if isinstance(_chosen, str):
        return _newest() if device == "cuda" else None
    return _chosen if _chosen is not None and _device(_chosen) == device else None


def packed() -> bool:
    """Whether kernels on pairs of halves were chosen."""
    return _packed


@functools.cache
def _newest():
    """The newest library for CUDA in plugins/build, loaded; None without one, or (warned) if it does not load."""
    paths = [path for path in map(find, ("plugins", "kernels")) if path]
    if not paths:
        return None
    path = max(paths, key=lambda path: path.stat().st_mtime)
    try:
        return load(path)
    except BadInput as error:
        warnings.warn(f"custom operators run without their compiled kernels: {error}", stacklevel=2)
        return None


@functools.cache
def _device(library):
    return "cpu" if info(library)["arch"] == "host" else "cuda"
