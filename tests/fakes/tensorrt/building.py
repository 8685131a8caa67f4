"""Builder, network and parser of the stand-ins for TensorRT."""

import base64
import types
from pathlib import Path

import onnx

from tests.fakes.tensorrt.described import Described, shape_of


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
        refused = trt._refuse(network) if callable(trt._refuse) else trt._refuse
        if refused:
            self._logger.log(trt.ILogger.Severity.ERROR, refused)
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

    def set_shape(self, name, *min_opt_max):
        self._shapes[name] = [list(shape) for shape in min_opt_max]


class ITensor(Described):
    def __init__(self, name, dtype, shape):
        self.name, self.dtype, self.shape = name, dtype, shape


class ILayer(Described):
    def __init__(self, name, kind, inputs, outputs):
        self._inputs, self._outputs, self._types = inputs, outputs, {}
        self.type = types.SimpleNamespace(name=kind)
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
            kind = "ELEMENTWISE" if onnx.defs.has(node.op_type) else f"PLUGIN_V{2 if trt._major == 8 else 3}"
            self._layers.append(trt.ILayer(name, kind, [tensors.get(name) for name in node.input], made))
        self.num_inputs, self.num_layers = len(self._inputs), len(self._layers)


def _tensor(trt, value):
    return trt.ITensor(value.name, trt.DataType[trt._kind(value.type.tensor_type.elem_type)], shape_of(value))


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
