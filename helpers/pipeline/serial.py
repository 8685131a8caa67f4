"""The way without a pipeline, which the pipeline is held against: each stage waits for the one before it."""

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from helpers.arguments import typed
from helpers.dataset.images import decode_image, in_threads, preprocess
from helpers.engine import Engine
from helpers.pipeline.shots import Done, Shot
from helpers.sequence import beginning


class Serial:
    """An engine whose pictures are decoded and prepared on the host, one frame after the other.

    Args:
        engine: of a graph without ends. It keeps the states of `config` itself, or takes and gives them.
        config: of the system.
    """

    @typed
    def __init__(self, engine: Engine, config: Any) -> None:
        self.engine, self.config = engine, config

    def feeds(self, shot: Shot) -> dict[str, np.ndarray]:
        """Complete inputs of a frame without history."""
        return {**shot.feeds, **self._begun(), self.config.pictures: self._prepared(_decoded(shot))}

    def run(self, shots: Iterable[Shot]) -> Iterator[Done]:
        """Run the frames in order, and yield each when it is through; its stages: decode, prepare, run, boxes.

        Raises:
            BadInput: a picture that is none; naming the camera.
        """
        states = self._begun()
        for shot in shots:
            marks = [time.perf_counter()]
            if shot.first:
                self.engine.reset()
                states = self._begun()
            pictures = _decoded(shot)
            marks.append(time.perf_counter())
            image = self._prepared(pictures)
            marks.append(time.perf_counter())
            outputs = self.engine.run({**shot.feeds, **states, self.config.pictures: image})
            states = {name: outputs[self.config.states[name]] for name in states}
            marks.append(time.perf_counter())
            found = self.config.decode(outputs)
            marks.append(time.perf_counter())
            spans = dict(zip(("decode", "prepare", "run", "boxes"), itertools.pairwise(marks), strict=True))
            yield Done(shot, found, spans)

    def _begun(self):
        """The states that the engine does not keep itself, where a sequence begins."""
        names = [name for name in self.config.states if name not in self.engine.states]
        return beginning(self.engine.inputs, names, self.config.initial_states())

    def _prepared(self, pictures):
        return preprocess(pictures, self.config)[None]


def _decoded(shot):
    return in_threads(lambda one: decode_image(np.frombuffer(one[1], np.uint8), f"picture {one[0]}"),
                      enumerate(shot.jpegs))  # fmt: skip
