"""How long a network takes for every frame of a stream, kept beside what it says. No torch."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from helpers.benchmark import Timing
from helpers.dataset import Dataset, Frame
from helpers.errors import BadInput
from helpers.evaluate.tasks import Results, Task, read
from helpers.metrics.driven import Run
from helpers.sequence import Arrays

LATENCY = "latency_ms"


class Stopwatch:
    """What runs a frame, timed, with what it copies; the first frame runs twice, and only the second time counts.

    Attributes:
        milliseconds: of the last frame.
    """

    def __init__(self, run: Run, clock: Callable[[], float] = time.perf_counter) -> None:
        self._run, self._clock, self._warm, self.milliseconds = run, clock, False, 0.0

    def __call__(self, feeds: Arrays) -> Arrays:
        if not self._warm:
            self._run(feeds)
            self._warm = True
        begun = self._clock()
        outputs = self._run(feeds)
        self.milliseconds = 1e3 * (self._clock() - begun)
        return outputs


class Timed(Task):
    """A task, and the time of every frame as one number more.

    Args:
        task: what is kept else.
        watch: gives the stopwatch that runs the frames.
    """

    def __init__(self, task: Task, watch: Callable[[], Stopwatch]) -> None:
        self.task, self.watch, self.headlines = task, watch, task.headlines

    def keep(self, frame: Frame, found: Any, dataset: Dataset) -> Arrays:
        """What the task keeps, and latency_ms, a number."""
        return self.task.keep(frame, found, dataset) | {LATENCY: np.array(self.watch().milliseconds)}

    def total(self, results: Results, dataset: Dataset) -> dict[str, float]:
        """What the task makes of all frames, and `latency_ms_p50` and so on."""
        times: list[float] = []
        found = self.task.total(self._without(results, times), dataset)
        return found | Timing(times).metrics()

    def _without(self, results: Results, times: list[float]) -> Iterator[tuple[str, Arrays]]:
        for token, arrays in results:
            times.append(_time(arrays, token))
            yield token, {name: array for name, array in arrays.items() if name != LATENCY}


def latencies(results: Results) -> Timing:
    """Of all frames; BadInput where there is none, or a result has no time."""
    return Timing([_time(arrays, token) for token, arrays in results])


def _time(arrays, token):
    value = read(arrays, LATENCY, token)
    if value.shape or not value > 0:
        raise BadInput(f"result of {token}", f"{LATENCY} {value!r:.60}", "a number of ms above 0", "run it again")
    return float(value)
