"""Runtime, engine and execution context of the stand-ins for TensorRT."""

import base64
import json
import struct

import onnx
from onnx import helper

from helpers.graph.session import open_session
from tests.fakes.tensorrt.described import Described, shape_of

HEADER = struct.Struct("<4sI16x4B")


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
            self._session = open_session(self._model, threads=1)
        return self._session.run(None, feeds)

    def get_tensor_name(self, index):
        return list(self._io)[index]

    def get_tensor_dtype(self, name):
        return self._trt.DataType[self._trt._kind(self._io[name].type.tensor_type.elem_type)]

    def get_tensor_shape(self, name):
        return shape_of(self._io[name])

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
        self._engine, self._addresses, self._profile, self._allocators = engine, {}, 0, {}
        self._shapes = {name: shape_of(value) for name, value in engine._inputs.items()}
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

    def set_output_allocator(self, name, allocator):
        assert isinstance(allocator, self._trt.IOutputAllocator)
        self._allocators[name] = allocator
        return True

    def _allocate(self, stream, addresses, shapes):
        """Where outputs are whose shapes depend on data: known on the host once all before is done, as in TensorRT."""
        self._trt._driver._wait(int(stream))
        results = dict(zip(self._engine._outputs, self._engine._run(self._feeds(addresses, shapes)), strict=True))
        for name, allocator in self._allocators.items():
            given = (name, addresses.get(name, 0), results[name].nbytes, 256)
            asked = allocator.reallocate_output if self._trt._major == 8 else allocator.reallocate_output_async
            addresses[name] = asked(*given, *(() if self._trt._major == 8 else (stream,)))
            allocator.notify_shape(name, results[name].shape)
            shapes[name] = results[name].shape

    def _feeds(self, addresses, shapes):
        feeds = {}
        for name, value in self._engine._inputs.items():
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feeds[name] = self._trt._view(self._engine, name, addresses[name], shapes[name]).astype(dtype)
        return feeds

    def execute_async_v3(self, stream):
        trt, engine, profiler = self._trt, self._engine, self.profiler
        addresses, shapes = dict(self._addresses), {name: self.get_tensor_shape(name) for name in engine._io}
        if self._allocators:
            self._allocate(stream, addresses, shapes)
        if any(-1 in shape for shape in shapes.values()) or trt._refuse_to_run:
            trt._last_logger.log(trt.ILogger.Severity.ERROR, "not all shapes are specified")
            return False

        def work():
            results = engine._run(self._feeds(addresses, shapes))
            for name, array in zip(engine._outputs, results, strict=True):
                trt._view(engine, name, addresses[name], shapes[name])[...] = array
            if profiler is not None:
                for index, node in enumerate(engine._model.graph.node):
                    profiler.report_layer_time(node.name, float(index + 1))

        trt._driver.submit(stream, "execute", work)
        return True
