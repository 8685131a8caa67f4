"""Stand-ins for the module `tensorrt`, made from recorded descriptions of its API (api/VERSION.json).

An object has exactly the attributes that the description lists for its class; any other raises AttributeError, as in
that version. Engines hold the ONNX graph and compute it with ONNX Runtime in a `FakeDriver`'s memory.
"""

import contextlib
import enum
import json
import sys
import types
from pathlib import Path

import numpy as np
from onnx import TensorProto

from helpers.engine.tensorrt import messages
from helpers.ops import library
from tests.fakes import cuda as fake_cuda
from tests.fakes.tensorrt import building, running
from tests.fakes.tensorrt.described import Described

DESCRIPTIONS = Path(__file__).with_name("api")
VERSIONS = ("8.6.0", "10.13.0", "11.1.0")
CLASSES = {
    name: made
    for part in (building, running)
    for name, made in vars(part).items()
    if isinstance(made, type) and issubclass(made, Described) and made is not Described
}
KINDS = {TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.INT8: "INT8", TensorProto.INT32: "INT32",
         TensorProto.UINT8: "UINT8", TensorProto.INT64: "INT64", TensorProto.BOOL: "BOOL"}  # fmt: skip
NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32,
         "UINT8": np.uint8, "INT64": np.int64, "BOOL": np.bool_}  # fmt: skip


@contextlib.contextmanager
def installed(monkeypatch, version):
    """The module of `version`, which `import tensorrt` gives within the block, with a stand-in for the driver."""
    with fake_cuda.installed(monkeypatch) as driver:
        yield install(monkeypatch, version, driver)
    messages.logger.cache_clear()


def install(monkeypatch, version, driver):
    """Make `import tensorrt` give the module of `version`, and return it; what was kept of another is forgotten."""
    made = module(version, driver)
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    messages.logger.cache_clear()
    library._loaded.clear()
    return made


def module(version, driver):
    """A module `tensorrt` of `version` on the GPU of a `fake_cuda.FakeDriver` (None: no GPU).

    `_built` holds (network, config) of every build, `_batches` what the calibrator fed, `_libraries` what the registry
    loaded, `_contexts` the execution contexts; `_refuse` and `_refuse_to_run` make it fail.
    """
    description = json.loads((DESCRIPTIONS / f"{version}.json").read_text())
    trt = types.ModuleType("tensorrt")
    trt.__version__ = version
    trt._version = [int(part) for part in version.split(".")]
    trt._major, trt._driver = trt._version[0], driver
    trt._built, trt._batches, trt._libraries, trt._creators, trt._contexts = [], [], [], set(), []
    trt._refuse, trt._refuse_to_run = "", False
    for name, members in description["enums"].items():
        setattr(trt, name, enum.IntEnum(name, members))
    for name in CLASSES.keys() & description["classes"].keys():
        names = frozenset(description["classes"][name])
        setattr(trt, name, type(name, (CLASSES[name],), {"names": names, "_trt": trt}))
    # What programs derive from; the bindings have the allocator wherever a context takes one.
    bases = {"IOutputAllocator"} if "set_output_allocator" in description["classes"]["IExecutionContext"] else set()
    for name in ("IProfiler", "IInt8EntropyCalibrator2", "IOutputAllocator"):
        if name in description["classes"].keys() | bases:
            setattr(trt, name, type(name, (), {}))

    class ILogger:
        Severity = enum.IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})

        def __init__(self):
            trt._last_logger = self

    trt.ILogger = ILogger
    registry = trt.IPluginRegistry()
    functions = {"get_plugin_registry": lambda: registry, "init_libnvinfer_plugins": lambda logger, namespace: True}
    for name in set(description["functions"]) & set(functions):
        setattr(trt, name, functions[name])

    def kind(elem_type):
        name = KINDS[elem_type]
        return "INT32" if name == "INT64" and trt._major == 8 else name

    def serialize(content, version=trt._version):
        return running.HEADER.pack(b"ftrt", 0, *version, 0) + json.dumps(content).encode()

    def view(engine, name, address, shape):
        dtype = np.dtype(NUMPY[engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape)) * dtype.itemsize
        driver.check(address, size, driver.memory)
        return np.frombuffer((np.ctypeslib.ctypes.c_byte * size).from_address(address), dtype).reshape(shape)

    trt._kind, trt._serialize, trt._view = kind, serialize, view
    trt._driver_bytes = lambda address: bytes(driver.memory[address])
    return trt
