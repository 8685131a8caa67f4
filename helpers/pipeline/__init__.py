"""From a vehicle's JPEG pictures in memory to boxes: decoded in threads, copied and computed at the same time.

While the engine runs a frame, the next one is decoded into memory that the GPU copies from, and the boxes of the last
one are made. The order stays. Works with every runtime, and with graphs whose ends are of `helpers.graph.ends`.
"""

import collections
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from helpers import signals
from helpers.engine import Engine
from helpers.engine.base import check_feeds
from helpers.engine.slots import Slot
from helpers.errors import BadInput, check_config
from helpers.pipeline.decoders import Decoder, Turbo, available
from helpers.pipeline.serial import Serial
from helpers.pipeline.shots import Done, Shot

__all__ = ["Decoder", "Done", "Pipeline", "Serial", "Shot", "Turbo", "available"]

PICTURES = "pictures"


class Pipeline:
    """An engine that takes `pictures`, with what decodes them.

    Args:
        engine: of a graph with ends; of TensorRT, loaded with the states of `config`, which begin as `config` says.
        config: of the system.
        decoder: what decodes; libjpeg-turbo in threads by default.
        depth: frames on their way at once; 1 waits for each, which tells the latency.
    """

    def __init__(self, engine: Engine, config: Any, decoder: Decoder | None = None, depth: int = 3) -> None:
        check_config(config, "states", "initial_states", "decode")
        if not isinstance(engine, Engine):
            raise BadInput("engine", f"a {type(engine).__name__}", "an engine", "pass what helpers.engine.load returns")
        if PICTURES not in engine.inputs:
            raise BadInput(engine.path, f"inputs {', '.join(engine.inputs)}", f"an input {PICTURES!r}",
                           "export the graph with pictures=(height, width)")  # fmt: skip
        if type(depth) is not int or depth < 1:
            raise BadInput("depth", repr(depth), "a whole number from 1", "correct it")
        self._config, self._decoder = config, decoder or Turbo()
        self._others = {
            name: tensor for name, tensor in engine.inputs.items() if name not in (PICTURES, *config.states)
        }
        self._slots = engine.slots(depth, config.states, config.initial_states())
        self._starter = ThreadPoolExecutor(1)

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release what the slots hold; the engine stays open."""
        with signals.deferred():  # nothing is released before the threads that write to it have ended
            self._starter.shutdown()
            self._decoder.close()  # before the slots: what a decoder holds on a GPU is given back on their streams
            for slot in self._slots:
                slot.close()

    def run(self, shots: Iterable[Shot]) -> Iterator[Done]:
        """Run the frames in order, and yield each when it is through.

        Raises:
            BadInput: a picture that is none, or of another size; naming the frame and the camera. An input that the
                frame lacks, that the engine has not, or of another shape or dtype.
        """
        free, running = collections.deque(self._slots), collections.deque[tuple[Shot, Slot, Future]]()
        try:
            for shot in shots:
                if not free:
                    yield self._finish(running, free)
                slot = free.popleft()
                running.append((shot, slot, self._starter.submit(self._start, slot, shot)))
            while running:
                yield self._finish(running, free)
        finally:
            for _, slot, start in running:  # the caller stopped, or a frame failed: nothing stays on its way
                if not start.cancel() and start.exception() is None:
                    slot.result()

    def _start(self, slot, shot):
        """Bring a frame into its slot and start it; returns when it was decoded."""
        check_feeds("the frame", shot.feeds, self._others)
        begun = time.perf_counter()
        self._decoder.decode(shot.jpegs, slot, PICTURES)
        for name, array in shot.feeds.items():
            slot.inputs[name][...] = array
        decoded = time.perf_counter()
        slot.submit(shot.first)
        return begun, decoded

    def _finish(self, running, free):
        shot, slot, start = running.popleft()
        decoded = start.result()
        outputs = slot.result()
        begun = time.perf_counter()
        found = self._config.decode(outputs)
        free.append(slot)
        return Done(shot, found, {"decode": decoded, **slot.spans, "boxes": (begun, time.perf_counter())})
