"""The way without a pipeline, which the pipeline is held against: each stage waits for the one before it."""

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from helpers.arguments import typed
from helpers.dataset import jpeg
from helpers.dataset.images import decode_image, in_threads, preprocess
from helpers.engine import Engine
from helpers.pipeline.shots import Done, Shot, alone, check, turn_of
from helpers.sequence import beginning


class Serial:
    """An engine whose pictures are decoded and prepared on the host, one frame after the other.

    Args:
        engine: of a graph without ends. It keeps the states of `config` itself, or takes and gives them.
        config: of the system.
    """

    @typed
    def __init__(self, engine: Engine, config: Any) -> None:
        self.engine, self.config, self._turn = engine, config, turn_of(engine)
        self._states = self._begun()

    def feeds(self, shot: Shot) -> dict[str, np.ndarray]:
        """Complete inputs of a frame without history."""
        return {**shot.feeds, **self._begun(), self.config.pictures: self._prepared(_decoded(shot))}

    def run(self, shots: Iterable[Shot]) -> Iterator[Done]:
        """Run the frames in order, and yield each when it is through; its stages: decode, prepare, run, boxes.

        A run goes on where the last one ended, unless its first frame begins a sequence.

        Raises:
            BadInput: a picture that is none, is not of color, or of another size than the first; naming the camera. A
                second run beside one that has not ended.
        """
        with alone(self._turn):
            for shot in shots:
                yield self._through(shot)

    def _through(self, shot):
        check(shot)
        marks = [time.perf_counter()]
        if shot.first:
            self.engine.reset()
            self._states = self._begun()
        pictures = _decoded(shot)
        marks.append(time.perf_counter())
        image = self._prepared(pictures)
        marks.append(time.perf_counter())
        outputs = self.engine.run({**shot.feeds, **self._states, self.config.pictures: image})
        self._states = {name: outputs[self.config.states[name]] for name in self._states}
        marks.append(time.perf_counter())
        found = self.config.decode(outputs)
        marks.append(time.perf_counter())
        spans = dict(zip(("decode", "prepare", "run", "boxes"), itertools.pairwise(marks), strict=True))
        return Done(shot, found, spans)

    def _begun(self):
        """The states that the engine does not keep itself, where a sequence begins."""
        names = [name for name in self.config.states if name not in self.engine.states]
        return beginning(self.engine.inputs, names, self.config.initial_states())

    def _prepared(self, pictures):
        return preprocess(pictures, self.config)[None]


def _decoded(shot):
    for index, data in enumerate(shot.jpegs):
        jpeg.check(data, jpeg.header(shot.jpegs[0], "picture 0")[:2], f"picture {index}")
    return in_threads(lambda one: decode_image(np.frombuffer(one[1], np.uint8), f"picture {one[0]}"),
                      enumerate(shot.jpegs))  # fmt: skip
