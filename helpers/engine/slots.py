"""Frames on their way through an engine: while it runs one of them, the next is written and the last one read."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from helpers.errors import BadInput
from helpers.sequence import beginning, zeros

Spans = dict[str, tuple[float, float]]


class Slot:
    """Room for the inputs and the outputs of one frame. A runtime's slot defines `submit` and `result`.

    Attributes:
        inputs: name -> array to be written, of every input that is no state; memory that the GPU copies from, if any.
        spans: stage -> (begin, end) of the last frame, in seconds of `time.perf_counter`.
        stream: handle of the stream of the GPU that its copies are queued on; 0 without one.
    """

    inputs: dict[str, np.ndarray]
    spans: Spans
    stream: int = 0

    def place(self, name: str, sources: Sequence[tuple[int, int]]) -> None:
        """Copy an input together from memory of the GPU, [(address, bytes)], in place of what `inputs` holds.

        Raises:
            BadInput: the engine does not run on a GPU.
        """
        raise BadInput(f"input {name!r}", "memory of the GPU", "an engine on the GPU", "write the slot's inputs")

    def submit(self, first: bool) -> None:
        """Start the frame that was written, after those submitted before; `first`: the states begin anew."""
        raise NotImplementedError

    def result(self) -> dict[str, np.ndarray]:
        """The outputs of the frame without what feeds a state, once they are there; what the frame raised."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what the slot holds."""


class HostSlot(Slot):
    """A slot of an engine on the host: a thread runs one frame after the other, and hands the states on."""

    def __init__(self, line: "Line") -> None:
        self._line, self._running, self.spans = line, Future(), {}
        names = [name for name in line.engine.inputs if name not in line.states]
        self.inputs = zeros(line.engine.inputs, names)

    def submit(self, first: bool) -> None:
        self._running = self._line.pool.submit(self._run, first)

    def _run(self, first):
        line, begun = self._line, time.perf_counter()
        if first:
            line.current = dict(line.initial)
        outputs = line.engine.run(self.inputs | line.current)
        line.current = {name: outputs.pop(source) for name, source in line.states.items()}
        self.spans = {"compute": (begun, time.perf_counter())}
        return outputs

    def result(self) -> dict[str, np.ndarray]:
        return self._running.result()

    def close(self) -> None:
        self._line.pool.shutdown()


class Line:
    """What the slots of one engine on the host share: the engine, its thread, and the states."""

    def __init__(self, engine: Any, states: Mapping[str, str], initial: Mapping[str, np.ndarray] | None = None) -> None:
        check_fixed(engine)
        for name, source in states.items():
            if source not in engine.outputs:
                raise BadInput(f"state {name!r}", f"no output {source!r}", f"one of {list(engine.outputs)}",
                               "pass the configuration that the network was exported from")  # fmt: skip
        self.initial = beginning(engine.inputs, states, initial)
        self.engine, self.states, self.pool = engine, dict(states), ThreadPoolExecutor(1)
        self.current = dict(self.initial)


def check_fixed(engine: Any) -> None:
    """BadInput for an input with a free dimension, for which no room can be made before its frames come."""
    for name, tensor in engine.inputs.items():
        if any(isinstance(size, str) for size in tensor.shape):
            raise BadInput(f"input {name!r} of {engine.path}", tensor, "fixed sizes", "config.fixed(), then export")
