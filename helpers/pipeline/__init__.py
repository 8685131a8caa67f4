"""From a vehicle's JPEG pictures in memory to boxes: decoded in threads, copied and computed at the same time.

While the engine runs a frame, the next one is decoded into memory that the GPU copies from, and the boxes of the last
one are made. The order stays. Works with every runtime, and with graphs whose ends are of `helpers.graph.ends`.
"""

import collections
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from helpers import signals
from helpers.engine import Engine
from helpers.engine.base import check_feeds
from helpers.engine.slots import Slot
from helpers.errors import BadInput, check_config
from helpers.pipeline.decoders import Decoder, Turbo, available
from helpers.pipeline.serial import Serial
from helpers.pipeline.shots import Done, Shot, alone, check, turn_of

__all__ = ["Decoder", "Done", "Pipeline", "Serial", "Shot", "Turbo", "available"]

PICTURES = "pictures"


class Pipeline:
    """An engine that takes `pictures`, with what decodes them.

    Args:
        engine: of a graph with ends; of TensorRT, loaded with the states of `config`, which begin as `config` says.
        config: of the system.
        decoder: what decodes, and is closed with the pipeline; libjpeg-turbo in threads by default.
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
        if not isinstance(decoder, Decoder | None):
            found = decoder.__name__ if isinstance(decoder, type) else f"a {type(decoder).__name__}"
            raise BadInput("decoder", found, "a decoder", "call what helpers.pipeline.available names, such as Turbo()")
        self._config, self._decoder = config, decoder or Turbo()
        self._others = {
            name: tensor for name, tensor in engine.inputs.items() if name not in (PICTURES, *config.states)
        }
        self._slots = engine.slots(depth, config.states, config.initial_states())
        self._starter = ThreadPoolExecutor(1)
        self._turn, self._closed, self._dropped = turn_of(engine), False, False

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release what the slots hold; the engine stays open."""
        self._closed = True
        with signals.deferred():  # nothing is released before the threads that write to it have ended
            self._starter.shutdown()
            self._decoder.close()  # before the slots: what a decoder holds on a GPU is given back on their streams
            for slot in self._slots:
                slot.close()

    def run(self, shots: Iterable[Shot]) -> Iterator[Done]:
        """Run the frames in order, and yield each when it is through, also those before one that fails.

        A run goes on where the last one ended, unless its first frame begins a sequence. It has to begin one after a
        run in which a frame failed, or that was ended with frames on their way, which are dropped.

        Raises:
            BadInput: a picture that is none, or of another size; naming the frame and the camera. An input that the
                frame lacks, that the engine has not, or of another shape or dtype. A second run beside one that has not
                ended.
        """
        with alone(self._turn):
            yield from self._run(shots)

    def _run(self, shots):
        free, running = collections.deque(self._slots), collections.deque[tuple[Shot, Slot, Future]]()
        failed: list[Exception] = []
        try:
            for shot, given in self._taken(shots, failed):
                if not free:
                    yield self._finish(running, free)
                self._check_open()
                slot = free.popleft()
                running.append((shot, slot, self._starter.submit(self._start, slot, given)))
            while running:
                yield self._finish(running, free)
        except Exception:
            self._dropped = True
            raise
        finally:
            self._dropped |= bool(running)
            for _, slot, start in running:  # the caller stopped, or a frame failed: nothing stays on its way
                if not (start.cancel() or start.exception() or self._closed):
                    slot.result()
        for error in failed:
            raise error

    def _taken(self, shots, failed):
        """(a frame, a copy of it that the caller does not write to) of each; keeps what ends them before their end."""
        try:
            for shot in shots:
                check(shot)
                if self._dropped and not shot.first:
                    raise BadInput("the frame", "first=False, after frames that failed or were dropped", "first=True",
                                   "begin a sequence: what it would go on from is not known")  # fmt: skip
                check_feeds("the frame", shot.feeds, self._others)
                self._dropped = False
                yield shot, shot._replace(jpegs=(*shot.jpegs,), feeds={n: np.array(a) for n, a in shot.feeds.items()})
        except Exception as error:
            failed.append(error)

    def _start(self, slot, shot):
        """Bring a frame into its slot and start it; returns when it was decoded."""
        begun = time.perf_counter()
        self._decoder.decode(shot.jpegs, slot, PICTURES)
        for name, array in shot.feeds.items():
            slot.inputs[name][...] = array
        decoded = time.perf_counter()
        slot.submit(shot.first)
        return begun, decoded

    def _finish(self, running, free):
        self._check_open()
        shot, slot, start = running.popleft()
        decoded = start.result()
        outputs = slot.result()
        begun = time.perf_counter()
        found = self._config.decode(outputs)
        free.append(slot)
        return Done(shot, found, {"decode": decoded, **slot.spans, "boxes": (begun, time.perf_counter())})

    def _check_open(self):
        if self._closed:
            raise BadInput("pipeline", "closed", "an open one", "end a run before its pipeline is closed")
