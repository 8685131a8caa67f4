"""A TensorRT engine on the GPU: buffers that are kept, pinned staging, one stream, states, CUDA graph, timing."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.benchmark import Timing
from helpers.engine import cuda
from helpers.engine.base import Arrays, Engine
from helpers.engine.pair import alone, joined
from helpers.engine.slots import Slot, check_fixed
from helpers.engine.tensorrt import inspector, messages
from helpers.engine.tensorrt.options import LoadOptions
from helpers.engine.tensorrt.plan import Plan
from helpers.engine.tensorrt.profiles import Profiles
from helpers.engine.tensorrt.replay import Replay
from helpers.engine.tensorrt.slots import TensorRtSlot
from helpers.engine.tensorrt.tensors import Buffer, Counted, check_states, is_free, narrowed, refuse_counted, tensors_of
from helpers.errors import BadInput
from helpers.sequence import beginning

MIB = 2**20
Buffers = Mapping[str, Buffer]


class TensorRtEngine(Engine):
    """A plan with its execution context, buffers and stream; `helpers.engine.tensorrt.TensorRt.load` makes it."""

    def __init__(self, path: Path, meta: dict[str, Any], plan: Plan, options: LoadOptions) -> None:
        self._plan: Any = plan
        self._engine, self._device = plan.engine, cuda.device()
        inputs, outputs = tensors_of(path, plan.engine)
        self._own, self._before = (*inputs, *outputs), options.before
        given, made = joined(inputs, outputs, options.before, TensorRtEngine, path)
        check_states(path, options.states or {}, given, made)
        self._use_graph = bool(options.cuda_graph)
        asked = meta.get("options", {}).get("precision", "precision unknown")
        graph, after = ", CUDA graph" * self._use_graph, f", after {self._before.path.name}" if self._before else ""
        where = f"{self._device.name} ({self._device.capability}), {asked}"
        description = f"TensorRT {plan.known.version}, {where}{graph}{after}"
        super().__init__(path, given, made, description, meta, options.states)
        self._initial = beginning(given, self.states, options.initial)
        free = [name for name, tensor in inputs.items() if is_free(tensor.shape)]
        self._profiles: Any = Profiles(path, plan.engine, free, options.profile)
        self._turned, self._ran, self._shapes = False, False, None
        self._stream = self._before._stream if self._before else self._device.stream()
        self._replay = Replay(self._stream)
        shared = self._before._buffers if self._before else {}
        self._buffers = shared | {name: Buffer(self._device, tensor.dtype)
                                  for name, tensor in (inputs | outputs).items() if name not in shared}  # fmt: skip
        try:
            self._context = self._profiles.context(self._stream)
            if not any(is_free(tensor.shape) for tensor in given.values()):
                self._bind({name: tensor.shape for name, tensor in self.inputs.items()})
            self.reset()
        except BaseException:
            self.close()
            raise

    def reset(self) -> None:
        """Let the states be as before the first frame."""
        self._device.activate()  # this thread may not be the one that loaded the engine
        self._ran = False
        for name in self.states:
            buffer = self._buffers[name]
            buffer.resize(self.inputs[name].shape)
            self._stream.zero(buffer.memory.address, buffer.size)
        self._upload({name: array for name, array in self._initial.items() if array.any()})
        self._stream.synchronize()

    def check(self, feeds: Arrays) -> None:
        """Raise BadInput unless `feeds` fits `inputs`; whole numbers of 64 bits are taken for inputs of 32."""
        super().check(narrowed(feeds, self.inputs))

    def _run(self, feeds):
        self._bind(self._shapes_of(feeds))
        self._turn()
        self._upload(feeds)
        self._enqueue()
        self._download(self.outputs)
        self._stream.synchronize()
        return {name: self._buffers[name].array().copy() for name in self.outputs}

    def slots(self, count: int, states: Mapping[str, str], initial: Arrays | None = None) -> list[Slot]:
        """As `Engine.slots` says; the states are those that the engine was loaded with."""
        if dict(states) != self.states:
            raise BadInput(f"states of {self.path}", self.states, dict(states), "load it with these states")
        check_fixed(self)
        self._initial = beginning(self.inputs, states, initial)
        self._device.activate()
        self._bind({name: tensor.shape for name, tensor in self.inputs.items()})
        self.reset()
        return [TensorRtSlot(self) for _ in range(count)]

    def enqueue(self, inputs: Buffers, outputs: Buffers, ready: cuda.Event, start: cuda.Event, end: cuda.Event) -> None:
        """Queue one run on memory of the GPU: inputs once `ready` has passed, then outputs; notes `start` and `end`."""
        self._turn()
        self._stream.wait(ready)
        self._stream.record(start)
        for name, buffer in inputs.items():
            self._stream.copy(self._buffers[name].memory.address, buffer.memory.address, buffer.size)
        self._enqueue()
        for name, buffer in outputs.items():
            self._stream.copy(buffer.memory.address, self._buffers[name].memory.address, buffer.size)
        self._stream.record(end)

    def time(self, feeds: Arrays, warmup: int = 10, iterations: int = 100) -> dict[str, Timing]:
        """Time runs on the GPU, on the host and queued, as `Engine.time` says; what feeds a state stays on the GPU."""
        self.check(feeds)
        if warmup < 0 or iterations < 1:
            raise BadInput("time", f"warmup {warmup}, iterations {iterations}", "at least 0 and 1", "correct it")
        self._bind(self._shapes_of(feeds))
        start, end = cuda.Event(), cuda.Event()
        samples = {"gpu": [], "host": [], "enqueue": []}
        taken = [name for name in self.outputs if name not in self.states.values()]
        for turn in range(warmup + iterations):
            began = time.perf_counter()
            self._turn()
            self._upload(feeds)
            self._stream.record(start)
            queued = time.perf_counter()
            self._enqueue()
            enqueue = time.perf_counter() - queued
            self._stream.record(end)
            self._download(taken)
            self._stream.synchronize()
            host = time.perf_counter() - began
            if turn >= warmup:
                for name, value in (("gpu", end.since(start)), ("host", host * 1e3), ("enqueue", enqueue * 1e3)):
                    samples[name].append(value)
        start.close()
        end.close()
        return {name: Timing(values) for name, values in samples.items()}

    def profile(self, feeds: Arrays, iterations: int = 10) -> list[dict[str, Any]]:
        """Time of each layer, by TensorRT's profiler, without a CUDA graph; measuring slows the layers down.

        Returns:
            list[dict] with layer, type, precision, ms (mean of `iterations` runs after one that is not counted) and
            share of the sum, in the engine's order.
        """
        self.check(feeds)
        alone(self._before)
        if iterations < 1:
            raise BadInput("profile", f"iterations {iterations}", "at least 1", "correct it")
        self._bind(self._shapes_of(feeds))
        self._upload(feeds)
        context, profiler = self._profiles.context(self._stream), inspector.profiler()
        self._profiles.set_shapes(context, self._shapes_of(feeds))
        self._set_addresses(context)
        context.profiler = profiler
        for turn in range(iterations + 1):
            self._execute(context)
            self._stream.synchronize()
            if turn == 0:
                profiler.total.clear()
        return inspector.timed(profiler.total, inspector.layers(self._engine, context), iterations)

    def layers(self) -> list[dict[str, Any]]:
        """Layers as `helpers.engine.tensorrt.inspector.layers` lists them."""
        before = self._before.layers() if self._before else []
        return before + inspector.layers(self._engine, self._context if self._shapes else None)

    def memory(self) -> dict[str, float]:
        """MiB of engine_file, weights (GPU memory that loading took, code included), activations, tensors (in, out)."""
        found = {
            "engine_file": self.path.stat().st_size / MIB,
            "weights": self._plan.loaded_bytes / MIB,
            "activations": getattr(self._engine, self._plan.known.device_memory) / MIB,
            "tensors": sum(buffer.size for buffer in self._buffers.values()) / MIB,
        }
        before = self._before.memory() | {"tensors": 0.0} if self._before else {}  # whose tensors are among these
        return {name: value + before.get(name, 0.0) for name, value in found.items()}

    def close(self) -> None:
        """Release the buffers, the context and the engine."""
        if self._engine is None:
            return
        self._device.synchronize()
        self._replay.clear()
        for buffer in self._buffers.values():
            buffer.free()
        (self._before or self._stream).close()
        self._context = self._engine = self._plan = self._profiles = None

    def _shapes_of(self, feeds):
        return {name: tensor.shape for name, tensor in (self.inputs | feeds).items()}

    def _bind(self, shapes):
        """Make the context and the buffers fit the inputs' shapes; does nothing if they did not change."""
        self._device.activate()
        if shapes == self._shapes:
            return
        asked, self._shapes = shapes, None
        self._replay.clear()
        if self._before:
            self._before._bind({name: shapes[name] for name in self._before.inputs})
            shapes = shapes | {name: self._buffers[name].shape for name in self._before.outputs}
        self._profiles.fit(self._context, shapes, self._stream)
        for name in self._own:
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=0) >= 0:
                self._buffers[name].resize(shape)
            elif not isinstance(self._buffers[name], Counted):
                refuse_counted(self.path, name, self._use_graph, "CUDA graph")
                self._buffers[name] = Counted(self._device, self.outputs[name].dtype)
        self._set_addresses(self._context)
        self._shapes = asked

    def _set_addresses(self, context):
        if self._before:
            self._before._set_addresses(self._before._context)
        for name in self._own:
            self._buffers[name].bind(context, name)

    def _upload(self, feeds):
        for name, array in feeds.items():
            buffer = self._buffers[name]
            buffer.array()[...] = array
            self._stream.upload(buffer.memory.address, buffer.host.address, buffer.size)

    def _download(self, names):
        for name in names:
            buffer = self._buffers[name]
            self._stream.download(buffer.host.address, buffer.memory.address, buffer.size)

    def _turn(self):
        """Let every state read where its output was written: the two change their memory, and nothing is copied."""
        if not self._ran:
            return
        for name, source in self.states.items():
            state, output = self._buffers[name], self._buffers[source]
            state.memory, output.memory = output.memory, state.memory
        self._turned = not self._turned
        self._set_addresses(self._context)

    def _enqueue(self):
        """Queue one run; as a graph, one for either side that the states are on."""
        self._ran = bool(self.states)
        if not self._use_graph:
            self._execute(self._context)
            return
        self._replay.queue(lambda: self._execute(self._context), self._turned)

    def _execute(self, context):
        if self._before:
            self._before._execute(self._before._context)
        if not context.execute_async_v3(self._stream.handle):
            raise BadInput(self.path, f"TensorRT refused to:\n{messages.recent()}", "an engine that runs", "see why")
