"""The library of custom operators in plugins/: compile it, find it, load it, and call its kernels without TensorRT."""

import ctypes
import re
import subprocess

from helpers.errors import BadInput
from helpers.files import ROOT

FOLDER = ROOT / "plugins"
ABI = "1"
MAKE = "make -C plugins TENSORRT_INCLUDE=/path/to/TensorRT/include"
OUTPUTS = {
    "plugins": "libonramp_plugins.so",
    "kernels": "kernels/libonramp_kernels.so",
    "host": "host/libonramp_kernels.so",
}


class _Attention(ctypes.Structure):  # OnrampAttention of plugins/kernels/ms_deform_attn.h
    _fields_ = [
        (name, ctypes.c_int)
        for name in ("batch", "cells", "heads", "channels", "levels", "queries", "points", "groups", "wide_shapes")
    ]


class _Rotation(ctypes.Structure):  # OnrampRotation of plugins/kernels/rotate.h
    _fields_ = [(name, ctypes.c_int) for name in ("channels", "height", "width", "nearest", "half_center")]


def build(target="plugins", out=None, **variables):
    """Compile with plugins/Makefile; returns the path of the library.

    Args:
        target: "plugins" for TensorRT, "kernels" for the CUDA kernels alone, "host" for the same source on the CPU.
        out: folder for what is built; None for plugins/build.
        variables: of the Makefile: TENSORRT_INCLUDE, TENSORRT_LIB, CUDA_HOME, ARCH (such as "sm_90"), CXX, TARGET.

    Raises:
        BadInput: an unknown target, no compiler or no headers; it holds the end of what the compiler said.
    """
    if target not in OUTPUTS:
        raise BadInput("plugins.build", target, f"one of {', '.join(OUTPUTS)}", MAKE)
    out = FOLDER / "build" if out is None else out
    command = ["make", "-C", FOLDER, target, f"OUT={out}", *(f"{name}={value}" for name, value in variables.items())]
    try:
        made = subprocess.run([*map(str, command)], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BadInput("plugins.build", "no make on this machine", "make and a compiler", "install them") from error
    if made.returncode:
        raise BadInput("plugins.build", (made.stderr or made.stdout).strip()[-2000:],
                       f"{OUTPUTS[target]} from {' '.join(map(str, command))}",
                       f"see the head of plugins/Makefile for its variables: {MAKE}")  # fmt: skip
    return out / OUTPUTS[target]


def find():
    """The library for TensorRT that was built here, or None."""
    path = FOLDER / "build" / OUTPUTS["plugins"]
    return path if path.is_file() else None


def load(path, tensorrt=None):
    """The library at `path`, loaded, with its kernels ready to be called; under TensorRT 8.6 its plugins register.

    Args:
        path: a library that `build` made.
        tensorrt: version that it has to be built for, such as "8.6.0" (compared by major version); None for any.

    Raises:
        BadInput: no such file, not loadable (it names the library that is missing), not this project's library, an
            interface of another version, or another TensorRT.
    """
    try:
        library = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    except OSError as error:
        missing = re.match(r"(\S+): cannot open shared object file", str(error))
        if not missing or missing[1] == str(path):
            raise BadInput(path, error, "a plugin library for this machine", MAKE) from error
        fix = "import tensorrt first, or put the folder of the library into LD_LIBRARY_PATH"
        raise BadInput(path, f"it needs {missing[1]}, which the loader does not find", missing[1], fix) from error
    about = info(library, path)
    if about["abi"] != ABI:
        raise BadInput(path, f"interface {about['abi']}", f"interface {ABI}", f"build it again: {MAKE}")
    if tensorrt and about["tensorrt"].split(".")[0] != str(tensorrt).split(".")[0]:
        found = f"built for TensorRT {about['tensorrt']}"
        raise BadInput(path, found, f"TensorRT {tensorrt}", f"build it again: {MAKE}")
    return library


def info(library, path="plugin library"):
    """What a loaded library was built for: dict of abi, tensorrt ("none" without adapters), cuda and arch."""
    try:
        library.onramp_plugins_info.restype = library.onramp_error.restype = ctypes.c_char_p
    except AttributeError as error:
        raise BadInput(path, "no onramp_plugins_info in it", "libonramp_plugins.so of this project", MAKE) from error
    name, *pairs = library.onramp_plugins_info().decode().split()
    return {"name": name, **dict(pair.split("=", 1) for pair in pairs)}


def run_ms_deform_attn(library, value, shapes, references, offsets, weights, output, stream=None):
    """Queue the kernel of `helpers.ops.ms_deform_attn` on a CUDA stream (int handle).

    The tensors are NumPy arrays for the host library and PyTorch tensors on the GPU for the others, contiguous, with
    the shapes of `helpers.ops.ms_deform_attn`; `shapes` is an int32 or int64 tensor [L, 2]. float32, or float16 with
    the references in float16 or float32. `output` [N, Q, M, D] is written.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types that no kernel takes, sizes that do not agree.
    """
    (n, s, m, d), (levels, _), (_, q, _, pairs) = value.shape, shapes.shape, references.shape
    types = tuple(_bits(tensor) for tensor in (value, references, offsets, weights, output))
    forms = {(32,) * 5: "fp32", (16,) * 5: "fp16", (16, 32, 16, 16, 16): "fp16_ref32"}
    entries = weights.shape[-1]
    agree = tuple(weights.shape) == (n, q, m, entries) and tuple(offsets.shape) == (n, q, m, 2 * entries)
    if types not in forms or entries % levels or tuple(output.shape) != (n, q, m, d) or not agree:
        shown = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (value, references, offsets, weights, output))
        expected = (
            "value, references, offsets, weights, output of one type (references may be float32), sizes that agree"
        )
        raise BadInput("run_ms_deform_attn", shown, expected, "see helpers.ops.ms_deform_attn")
    size = _Attention(n, s, m, d, levels, q, entries // levels, pairs // 2, _bits(shapes) == 64)
    tensors = (value, shapes, references, offsets, weights, output)
    _call(library, f"onramp_ms_deform_attn_{forms[types]}", size, tensors, stream)


def run_rotate(library, image, angle, center, output, nearest=True, stream=None):
    """Queue the kernel of `helpers.ops.rotate`: image and output [C, H, W], angle [1] and center [2] of one type."""
    form = {(32, 32): "fp32", (16, 16): "fp16"}.get((_bits(image), _bits(output)))
    if not form or image.shape != output.shape or _bits(angle) != _bits(center):
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (image, angle, center, output))
        raise BadInput("run_rotate", found, "image and output alike, angle and center of one type",
                       "see helpers.ops.rotate")  # fmt: skip
    size = _Rotation(*image.shape, nearest, _bits(angle) == 16)
    _call(library, f"onramp_rotate_{form}", size, (image, angle, center, output), stream)


def _call(library, name, size, tensors, stream):
    addresses = [ctypes.c_void_p(_address(name, tensor)) for tensor in tensors]
    code = getattr(library, name)(ctypes.byref(size), *addresses, ctypes.c_void_p(stream or 0))
    if code:
        sizes = ", ".join(f"{field} {getattr(size, field)}" for field, _ in size._fields_)
        raise BadInput(name, f"error {code}: {library.onramp_error(code).decode()}; {sizes}",
                       "sizes that belong together, kernels for this GPU", MAKE)  # fmt: skip


def _address(name, tensor):
    torch = hasattr(tensor, "data_ptr")
    if not (tensor.is_contiguous() if torch else tensor.flags.c_contiguous):
        raise BadInput(name, f"a tensor {tuple(tensor.shape)} that is not contiguous", "contiguous tensors", "copy it")
    return tensor.data_ptr() if torch else tensor.ctypes.data


def _bits(tensor):
    return int(re.search(r"\d+$", str(tensor.dtype))[0])
