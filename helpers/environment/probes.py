"""What could crash or hang, each run in a process of its own: `python probes.py NAME ARGUMENT...` prints one JSON line.

Imports nothing of this project, so that nothing else than the thing probed can fail.
"""

import ctypes
import json
import os
import sys
from typing import Any


def driver() -> dict[str, Any]:
    """CUDA version of the driver (13000 for 13.0) and its GPUs, asked of libcuda."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"absent": str(error)}
    code = cuda.cuInit(0)
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    if code == 0:
        code = cuda.cuDeviceGetCount(ctypes.byref(count))
    gpus = [_gpu(cuda, ordinal) for ordinal in range(count.value)] if code == 0 else []
    return {"cuda": version.value, "code": code, "gpus": gpus}


def _gpu(cuda, ordinal):
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(device), ordinal)
    cuda.cuDeviceGetName(name, 256, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)  # ..._MINOR
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return {"name": name.value.decode(), "sm": f"{major.value}.{minor.value}", "memory": memory.value}


def package(name: str) -> dict[str, Any]:
    """Import a module: its version, file, and the TensorRT libraries that came with it."""
    module = __import__(name)
    found = {"version": getattr(module, "__version__", None), "file": getattr(module, "__file__", None)}
    with open("/proc/self/maps") as maps:
        mapped = {line.split(None, 5)[5].strip() for line in maps if line.count("/")}
    found["libraries"] = sorted(
        path for path in mapped if os.path.basename(path).startswith(("libnvinfer", "libtensorrt"))
    )
    if name == "onnxruntime":
        found["providers"] = module.get_available_providers()
    if name == "torch":
        found |= {
            "cuda": module.version.cuda,
            "architectures": module.cuda.get_arch_list() if module.version.cuda else [],
        }
    return found


def library(path: str) -> dict[str, Any]:
    """Load a library, after TensorRT where that is installed, as a program that uses the plugins does."""
    try:
        import tensorrt
    except Exception:
        tensorrt = None
    before = _creators(tensorrt)
    try:
        ctypes.CDLL(path, mode=os.RTLD_NOW)
    except OSError as error:
        return {"refused": str(error), "tensorrt": tensorrt is not None}
    new = sorted(set(_creators(tensorrt)) - set(before))
    return {"tensorrt": tensorrt is not None, "creators": new}


def _creators(tensorrt):
    if tensorrt is None:
        return []
    registry = tensorrt.get_plugin_registry()
    creators = getattr(registry, "all_creators", None) or getattr(registry, "plugin_creator_list", None) or []
    return [f"{creator.plugin_namespace}::{creator.name} version {creator.plugin_version}" for creator in creators]


if __name__ == "__main__":
    print("\n" + json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
