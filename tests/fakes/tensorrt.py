"""Stand-ins for the module `tensorrt`, made from recorded descriptions of its API (tensorrt_api/VERSION.json).

An object has exactly the attributes that the description lists for its class; any other raises AttributeError, as in
that version. Engines hold the ONNX graph and compute it with ONNX Runtime in a `FakeDriver`'s memory.
"""

import base64
import contextlib
import enum
import json
import struct
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from helpers.engine.tensorrt import messages
from helpers.ops import library
from tests.fakes import cuda as fake_cuda

DESCRIPTIONS = Path(__file__).with_name("tensorrt_api")
VERSIONS = ("8.6.0", "10.13.0", "11.1.0")
HEADER = struct.Struct("<4sI16x4B")
KINDS = {TensorProto.FLOAT: "FLOAT", TensorProto.FLOAT16: "HALF", TensorProto.INT8: "INT8", TensorProto.INT32: "INT32",
         TensorProto.INT64: "INT64", TensorProto.BOOL: "BOOL"}  # fmt: skip
NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32, "INT64": np.int64,
         "BOOL": np.bool_}  # fmt: skip


class Described:
    """Refuses every attribute that the description of its class does not list."""

    names = frozenset()

    def __getattribute__(self, name):
        if not name.startswith("_") and name not in type(self).names:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return object.__getattribute__(self, name)

    def __setattr__(self, name, value):
        if not name.startswith("_") and name not in type(self).names:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


class Builder(Described):
    def __init__(self, logger):
        self._logger = logger
        if self._trt._driver is None:
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags=0):
        return self._trt.INetworkDefinition(flags)

    def create_builder_config(self):
        return self._trt.IBuilderConfig()

    def create_optimization_profile(self):
        return self._trt.IOptimizationProfile()

    def build_serialized_network(self, network, config):
        trt = self._trt
        trt._built.append((network, config))
        calibrator = config._calibrator
        if calibrator is not None:
            names = [tensor.name for tensor in network._inputs]
            while (batch := calibrator.get_batch(names)) is not None:
                trt._batches.append(
                    {name: trt._driver_bytes(address) for name, address in zip(names, batch, strict=True)}
                )
            if not trt._batches:
                self._logger.log(trt.ILogger.Severity.ERROR, "Calibration failure occurred with no scaling factors")
                return None
            calibrator.write_calibration_cache(b"TRT-table")
        if trt._refuse:
            self._logger.log(trt.ILogger.Severity.ERROR, trt._refuse)
            return None
        if config._cache is not None:
            config._cache._data += b"+1"
        content = {
            "onnx": base64.b64encode(network._model.SerializeToString()).decode(),
            "profiles": [profile._shapes for profile in config._profiles],
            "verbosity": int(config.profiling_verbosity),
            "half": any(name == "FP16" for name in config._names()),
        }
        return trt._serialize(content)


class IBuilderConfig(Described):
    def __init__(self):
        self._flags, self._limits, self._profiles = {"TF32"}, {}, []
        self._calibrator = self._calibration_profile = self._tactics = self._cache = None
        self.builder_optimization_level = 3
        self.profiling_verbosity = self._trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.hardware_compatibility_level = self._trt.HardwareCompatibilityLevel.NONE

    def _names(self):
        return set(self._flags)

    def set_flag(self, flag):
        self._flags.add(flag.name)

    def clear_flag(self, flag):
        self._flags.discard(flag.name)

    def set_memory_pool_limit(self, pool, size):
        self._limits[pool.name] = size

    def set_tactic_sources(self, mask):
        self._tactics = mask
        return True

    def add_optimization_profile(self, profile):
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def set_calibration_profile(self, profile):
        self._calibration_profile = profile
        return True

    @property
    def int8_calibrator(self):
        return self._calibrator

    @int8_calibrator.setter
    def int8_calibrator(self, calibrator):
        assert isinstance(calibrator, self._trt.IInt8EntropyCalibrator2)
        self._calibrator = calibrator

    def create_timing_cache(self, data):
        return self._trt.ITimingCache(data if data.startswith(b"cache ") else b"")  # as 8.6.0: nonsense is no cache

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache._data and not cache._data.startswith(b"cache " + self._trt.__version__.encode()):
            return False
        cache._data = cache._data or b"cache " + self._trt.__version__.encode()
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache


class ITimingCache(Described):
    def __init__(self, data):
        self._data = bytes(data)

    def serialize(self):
        return self._data


class IOptimizationProfile(Described):
    def __init__(self):
        self._shapes = {}

    def set_shape(self, name, least, usual, most):
        self._shapes[name] = [list(least), list(usual), list(most)]


class ITensor(Described):
    def __init__(self, name, dtype, shape):
        self.name, self.dtype, self.shape = name, dtype, shape


class ILayer(Described):
    def __init__(self, name, inputs, outputs):
        self._inputs, self._outputs, self._types = inputs, outputs, {}
        self.name, self.num_inputs, self.num_outputs = name, len(inputs), len(outputs)

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._outputs[index]

    def set_output_type(self, index, dtype):
        self._types[index] = dtype


class INetworkDefinition(Described):
    def __init__(self, flags):
        self._flags, self._inputs, self._layers, self._model = flags, [], [], None
        self.num_inputs = self.num_layers = 0

    def get_input(self, index):
        return self._inputs[index]

    def get_layer(self, index):
        return self._layers[index]

    def _fill(self, model):
        trt, graph = self._trt, onnx.shape_inference.infer_shapes(model).graph
        tensors = {value.name: _tensor(trt, value) for value in (*graph.input, *graph.value_info, *graph.output)}
        weights = {tensor.name for tensor in graph.initializer}
        self._model, self._inputs = model, [tensors[value.name] for value in graph.input if value.name not in weights]
        for node in graph.node:
            made = [tensors.get(name) or trt.ITensor(name, trt.DataType.FLOAT, ()) for name in node.output]
            unnamed = (
                trt._major == 8 and node.op_type == "LayerNormalization"
            )  # the 8.6 parser registers no layer there
            name = f"(Unnamed Layer* {len(self._layers)}) [Normalization]" if unnamed else node.name
            self._layers.append(trt.ILayer(name, [tensors.get(name) for name in node.input], made))
        self.num_inputs, self.num_layers = len(self._inputs), len(self._layers)


def _shape(value):
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)


def _tensor(trt, value):
    return trt.ITensor(value.name, trt.DataType[trt._kind(value.type.tensor_type.elem_type)], _shape(value))


class OnnxParser(Described):
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]

    def parse(self, data, path=None):
        trt, model = self._trt, onnx.load_from_string(bytes(data))
        if trt._major == 8:
            explicit = self._network._flags & 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
            if not explicit or model.functions or model.opset_import[0].version > 17 or model.ir_version > 8:
                self._errors.append(trt.ParserError(-1, "a form that this version does not read"))
        for index, node in enumerate(model.graph.node):
            domain = "" if trt._major == 8 else node.domain
            if not onnx.defs.has(node.op_type, domain) and node.op_type not in trt._creators:
                self._errors.append(trt.ParserError(index, f"Plugin not found: {node.op_type}"))
        if not self._errors:
            self._network._fill(model)
        return not self._errors


class ParserError(Described):
    def __init__(self, index, text):
        self._index, self._text = index, text

    def node(self):
        return self._index

    def desc(self):
        return self._text

    def code(self):
        return types.SimpleNamespace(name="UNSUPPORTED_NODE")


class IPluginRegistry(Described):
    def load_library(self, path):
        self._trt._libraries.append(path)
        content = Path(path).read_bytes()
        self._trt._creators.update(content.decode().split() if content.startswith(b"Plugin") else ())
        return object() if content.startswith(b"Plugin") else None


class Runtime(Described):
    def __init__(self, logger):
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, plan):
        trt, error = self._trt, self._trt.ILogger.Severity.ERROR
        magic, _, *version = HEADER.unpack(plan[: HEADER.size])
        if magic != b"ftrt" or (version[:3] != trt._version and not self.engine_host_code_allowed):
            self._logger.log(
                error, f"The engine plan file is not compatible: expecting {trt.__version__} got {version}"
            )
            return None
        try:
            return trt.ICudaEngine(json.loads(plan[HEADER.size :]))
        except ValueError:
            self._logger.log(error, "Serialization assertion failed: checksum")
            return None


class ICudaEngine(Described):
    def __init__(self, content):
        trt = self._trt
        self._content = content
        self._model = onnx.load_from_string(base64.b64decode(content["onnx"]))
        graph = self._model.graph
        self._inputs = {value.name: value for value in graph.input}
        self._outputs = {value.name: value for value in graph.output}
        self._session = None
        self._io = self._inputs | self._outputs
        self._memory = trt._driver.reserve(1 << 20)
        for name in ("device_memory_size", "device_memory_size_v2"):
            if name in type(self).names:
                setattr(self, name, 3 << 20)
        self.num_io_tensors, self.num_optimization_profiles = len(self._io), max(1, len(content["profiles"]))

    def _run(self, feeds):
        if self._session is None:
            settings = onnxruntime.SessionOptions()
            settings.log_severity_level, settings.intra_op_num_threads = 3, 1
            self._session = onnxruntime.InferenceSession(self._model.SerializeToString(), settings)
        return self._session.run(None, feeds)

    def get_tensor_name(self, index):
        return list(self._io)[index]

    def get_tensor_dtype(self, name):
        return self._trt.DataType[self._trt._kind(self._io[name].type.tensor_type.elem_type)]

    def get_tensor_shape(self, name):
        return _shape(self._io[name])

    def get_tensor_mode(self, name):
        return self._trt.TensorIOMode["INPUT" if name in self._inputs else "OUTPUT"]

    def get_tensor_profile_shape(self, name, index):
        return self._content["profiles"][index][name]

    def create_execution_context(self):
        return self._trt.IExecutionContext(self)

    def create_engine_inspector(self):
        return self._trt.EngineInspector(self)


class EngineInspector(Described):
    def __init__(self, engine):
        self._engine = engine
        self.execution_context = None

    def get_engine_information(self, kind):
        assert kind == self._trt.LayerInformationFormat.JSON
        content, rows = self._engine._content, []
        for node in self._engine._model.graph.node:
            spelled = ("FP16", "FP32") if self._trt._major == 8 else ("Half", "Float")
            kind = f"Row major linear {spelled[0 if content['half'] else 1]}"
            tensor = {"Name": node.output[0], "Location": "Device", "Dimensions": [1, 2], "Format/Datatype": kind}
            row = {"Name": node.name, "LayerType": node.op_type, "Inputs": [tensor], "Outputs": [tensor]}
            rows.append(row if content["verbosity"] == 2 else node.name)
        return json.dumps({"Layers": rows, "Bindings": []})


class IExecutionContext(Described):
    def __init__(self, engine):
        self._engine, self._addresses, self._profile = engine, {}, 0
        self._shapes = {name: _shape(value) for name, value in engine._inputs.items()}
        self.profiler = None
        self._trt._contexts.append(self)

    def set_optimization_profile_async(self, index, stream):
        assert 0 <= index < self._engine.num_optimization_profiles, "8.6.0 crashes here"
        self._profile = index
        return True

    def set_input_shape(self, name, shape):
        least, _, most = self._engine._content["profiles"][self._profile][name]
        fits = all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))
        if fits:
            self._shapes[name] = tuple(shape)
        return fits

    def get_tensor_shape(self, name):
        if name in self._shapes:
            return self._shapes[name]
        known = {}
        for source, value in self._engine._inputs.items():
            for size, dim in zip(self._shapes[source], value.type.tensor_type.shape.dim, strict=True):
                known[dim.dim_param or None] = size
        dims = self._engine._outputs[name].type.tensor_type.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else known.get(d.dim_param, -1) for d in dims)

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        trt, engine, profiler = self._trt, self._engine, self.profiler
        addresses, shapes = dict(self._addresses), {name: self.get_tensor_shape(name) for name in engine._io}
        if any(-1 in shape for shape in shapes.values()) or trt._refuse_to_run:
            trt._last_logger.log(trt.ILogger.Severity.ERROR, "not all shapes are specified")
            return False

        def work():
            views = {name: trt._view(engine, name, addresses[name], shapes[name]) for name in engine._io}
            feeds = {}
            for name, value in engine._inputs.items():
                dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
                feeds[name] = views[name].astype(dtype)
            results = engine._run(feeds)
            for name, array in zip(engine._outputs, results, strict=True):
                views[name][...] = array
            if profiler is not None:
                for index, node in enumerate(engine._model.graph.node):
                    profiler.report_layer_time(node.name, float(index + 1))

        trt._driver.submit(stream, "execute", work)
        return True


IMPLEMENTED = [name for name, content in list(globals().items()) if getattr(content, "__base__", None) is Described]


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
    for name in IMPLEMENTED:
        if name in description["classes"]:
            names = frozenset(description["classes"][name])
            setattr(trt, name, type(name, (globals()[name],), {"names": names, "_trt": trt}))
    for name in ("IProfiler", "IInt8EntropyCalibrator2"):
        if name in description["classes"]:
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
        return HEADER.pack(b"ftrt", 0, *version, 0) + json.dumps(content).encode()

    def view(engine, name, address, shape):
        dtype = np.dtype(NUMPY[engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape)) * dtype.itemsize
        driver.check(address, size, driver.memory)
        return np.frombuffer((np.ctypeslib.ctypes.c_byte * size).from_address(address), dtype).reshape(shape)

    trt._kind, trt._serialize, trt._view = kind, serialize, view
    trt._driver_bytes = lambda address: bytes(driver.memory[address])
    return trt
