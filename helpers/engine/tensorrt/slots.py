"""Slots of a TensorRT engine: memory of their own on both sides, and a stream each for the copies.

The engine's stream computes one frame after the other. A slot's stream brings its frame before that and takes the
outputs away after it, while the engine's is busy with the frames of other slots; events keep the order.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from helpers.engine import cuda
from helpers.engine.slots import Slot
from helpers.engine.tensorrt.tensors import Buffer, is_free, refuse_counted

MARKS = ("begin", "copied", "started", "computed", "end")


class TensorRtSlot(Slot):
    """A slot of a `TensorRtEngine`, whose inputs have fixed sizes; its states stay with the engine."""

    def __init__(self, engine: Any) -> None:
        for name, tensor in engine.outputs.items():
            refuse_counted(engine.path, name, is_free(tensor.shape), "slot")
        self._engine, self._device, self.spans = engine, cuda.device(), {}
        self._device.activate()
        self._stream, self._placed = self._device.stream(), set[str]()
        self.stream = self._stream.handle
        self._events = {name: cuda.Event() for name in MARKS}
        self._inputs, self._outputs = (
            {name: Buffer(self._device, tensor.dtype) for name, tensor in tensors.items() if name not in states}
            for tensors, states in (
                (engine.inputs, engine.states),
                (engine.outputs, engine.states.values()),
            )
        )
        for name, buffer in (self._inputs | self._outputs).items():
            buffer.resize((engine.inputs | engine.outputs)[name].shape)
        self.inputs = {name: buffer.array() for name, buffer in self._inputs.items()}

    def place(self, name: str, sources: Sequence[tuple[int, int]]) -> None:
        self._device.activate()
        target = self._inputs[name].memory.address
        for address, size in sources:
            self._stream.copy(target, address, size)
            target += size
        self._placed.add(name)

    def submit(self, first: bool) -> None:
        self._device.activate()
        self._begun = time.perf_counter()
        if first:
            self._engine.reset()
        self._stream.record(self._events["begin"])
        for name in self._inputs.keys() - self._placed:
            buffer = self._inputs[name]
            self._stream.upload(buffer.memory.address, buffer.host.address, buffer.size)
        self._placed.clear()
        self._stream.record(self._events["copied"])
        self._engine.enqueue(self._inputs, self._outputs, *(self._events[name] for name in MARKS[1:4]))
        self._stream.wait(self._events["computed"])
        for buffer in self._outputs.values():
            self._stream.download(buffer.host.address, buffer.memory.address, buffer.size)
        self._stream.record(self._events["end"])

    def result(self) -> dict[str, np.ndarray]:
        self._device.activate()
        self._stream.synchronize()
        began, copied, started, computed, ended = (
            self._begun + self._events[name].since(self._events["begin"]) / 1e3 for name in MARKS
        )
        self.spans = {"copy": (began, copied), "compute": (started, computed), "copy back": (computed, ended)}
        return {name: buffer.array().copy() for name, buffer in self._outputs.items()}

    def close(self) -> None:
        self._device.activate()
        self._device.synchronize()
        for buffer in (*self._inputs.values(), *self._outputs.values()):
            buffer.free()
        for event in self._events.values():
            event.close()
        self._stream.close()
