"""Measure latency: warm-up first, every call timed, percentiles rather than means, ratios from one run.

The clock counts seconds (`time.perf_counter`); results are in milliseconds. A function that starts work on a GPU must
wait for it before it returns, else only the launch is timed.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.errors import BadInput

Clock = Callable[[], float]
Progress = Callable[[Iterable[int]], Iterable[int]]
Arrays = Mapping[str, np.ndarray]
LEAST = {"p90": 10, "p99": 100}  # calls from which a percentile says something: one of them lies above it


class Timing(dict[str, float]):
    """Percentiles of a list of calls, in ms: p50, p90, p99 (linear interpolation), mean, min, and their number n.

    Attributes:
        samples: float64[n], ms, in the order they were taken.
    """

    def __init__(self, samples: Iterable[float]) -> None:
        self.samples = np.asarray(samples, dtype=np.float64)
        p50, p90, p99 = (float(value) for value in np.percentile(self.samples, (50, 90, 99), method="linear"))
        super().__init__(p50=p50, p90=p90, p99=p99, mean=float(self.samples.mean()), min=float(self.samples.min()),
                         n=len(self.samples))  # fmt: skip

    def __str__(self):
        values = "  ".join(f"{name} {_ms(self[name])}" for name in (*self.told(), "mean", "min"))
        return f"{values} ms  (n = {self['n']})"

    def told(self) -> list[str]:
        """Names of the percentiles that this number of calls can tell: p50, p90 from 10 calls, p99 from 100."""
        return [name for name in ("p50", "p90", "p99") if self["n"] >= LEAST.get(name, 1)]

    def metrics(self, prefix: str = "latency_ms") -> dict[str, float]:
        """Flat map for a record, such as `latency_ms_p50`."""
        return {f"{prefix}_{name}": self[name] for name in (*self.told(), "mean", "min", "n")}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Interleaved timings of several functions against a baseline.

    Attributes:
        timings: dict of name to `Timing` over all rounds.
        speedups: dict of name to (ratio, low, high): the baseline's median over this one's median, above 1 if this one
            is faster, over all calls and as the lowest and highest of the single rounds.
        baseline: name of the function that the others are compared with.
    """

    timings: dict[str, Timing]
    speedups: dict[str, tuple[float, float, float]]
    baseline: str
    rounds: int

    def rows(self) -> list[dict[str, Any]]:
        """list[dict], one per function, for a table; percentiles that every one of them can tell, and the calls."""
        told = min((timing.told() for timing in self.timings.values()), key=len)
        return [
            {
                "name": name,
                **{f"{key} ms": round(timing[key], 4) for key in told},
                "calls": timing["n"],
                f"speed-up over {self.baseline}": round(self.speedups[name][0], 3),
                "lowest to highest round": "{:.2f} to {:.2f}".format(*self.speedups[name][1:]),
            }
            for name, timing in self.timings.items()
        ]

    def __str__(self):
        width = max(map(len, self.timings))
        return "\n".join(
            f"{name:<{width}}  {'  '.join(f'{key} {_ms(timing[key])} ms' for key in timing.told())}  n {timing['n']}  "
            "speed-up {:.2f} ({:.2f} to {:.2f})".format(*self.speedups[name])
            for name, timing in self.timings.items()
        )


def latency(fn: Callable[[], Any], warmup: int = 10, iterations: int = 100, clock: Clock = time.perf_counter) -> Timing:
    """Time `iterations` calls of `fn()` after `warmup` calls that are not timed; returns a `Timing`."""
    _check(warmup=(warmup, 0), iterations=(iterations, 1))
    for _ in range(warmup):
        fn()
    return Timing(_calls(fn, iterations, clock))


def compare(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int = 10,
    iterations: int = 10,
    warmup: int = 3,
    baseline: str | None = None,
    clock: Clock = time.perf_counter,
    progress: Progress = iter,
) -> Comparison:
    """Time several functions in turns, so that what else the machine does falls on all of them alike.

    Args:
        rounds: number of turns; every other round goes through the functions backwards.
        iterations: timed calls of a function within a round.
        warmup: calls of each function before the first round, not timed.
        baseline: name to compare with; the first by default.
        progress: function of the rounds that iterates over them, such as `helpers.display.progress`.
    """
    baseline = _baseline(functions, baseline, "functions")
    _check(warmup=(warmup, 0), iterations=(iterations, 1), rounds=(rounds, 1))
    for fn in functions.values():
        for _ in range(warmup):
            fn()
    samples = {name: [] for name in functions}
    for turn in progress(range(rounds)):
        for name in _order(functions, turn):
            samples[name].append(_calls(functions[name], iterations, clock))
    return _comparison(samples, baseline)


def compare_engines(
    engines: Mapping[str, Any],
    feeds: Sequence[Arrays],
    rounds: int = 10,
    iterations: int = 10,
    warmup: int = 3,
    baseline: str | None = None,
    progress: Progress = iter,
) -> dict[str, Comparison]:
    """Time several engines in turns, as `compare` does with functions.

    Args:
        feeds: list of complete inputs; a round takes the next of them.
        warmup: runs of an engine at the start of each of its turns, not timed.

    Returns:
        dict of the kinds of time that all engines have ("gpu", "host", "enqueue") to `Comparison`.
    """
    baseline = _baseline(engines, baseline, "engines")
    _check(warmup=(warmup, 0), iterations=(iterations, 1), rounds=(rounds, 1), feeds=(len(feeds), 1))
    found = {name: [] for name in engines}
    for turn in progress(range(rounds)):
        for name in _order(engines, turn):
            found[name].append(engines[name].time(feeds[turn % len(feeds)], warmup, iterations))
    kinds = [kind for kind in found[baseline][0] if all(kind in turns[0] for turns in found.values())]
    return {
        kind: _comparison({name: [turn[kind].samples for turn in turns] for name, turns in found.items()}, baseline)
        for kind in kinds
    }


def _baseline(named: Mapping[str, Any], baseline: str | None, noun: str) -> str:
    """The name to compare with: `baseline`, or the first."""
    chosen = baseline or next(iter(named), None)
    if chosen is None or chosen not in named:
        raise BadInput("baseline", repr(chosen), f"one of {list(named)}", f"name one of the {noun}")
    return chosen


def _order(named, turn):
    """Names in their order, every other turn backwards."""
    return list(named)[:: -1 if turn % 2 else 1]


def _comparison(samples, baseline):
    """`Comparison` of dict name -> list of rounds, each a list of ms."""
    timings = {name: Timing(np.concatenate(calls)) for name, calls in samples.items()}
    speedups = {}
    for name, calls in samples.items():
        ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(samples[baseline], calls, strict=True)]
        speedups[name] = (timings[baseline]["p50"] / timings[name]["p50"], min(ratios), max(ratios))
    return Comparison(timings, speedups, baseline, len(samples[baseline]))


def roofline(flops: float, moved: float, peak_flops: float, bandwidth: float) -> dict[str, Any]:
    """The least time that a piece of work can take on a machine with two ceilings (Williams et al. 2009, roofline).

    Args:
        flops: arithmetic operations; a multiply-add counts as two.
        moved: bytes read from and written to memory.
        peak_flops: operations per second. bandwidth: bytes per second.

    Returns:
        dict of intensity (flop/byte), ridge (the intensity at which both ceilings meet), attainable (flop/s),
        least_ms, and bound: "compute" or "memory".
    """
    for name, value in (("flops", flops), ("moved", moved), ("peak_flops", peak_flops), ("bandwidth", bandwidth)):
        if not value > 0:
            raise BadInput(name, value, "above 0", "correct the number")
    intensity, ridge = flops / moved, peak_flops / bandwidth
    attainable = min(peak_flops, intensity * bandwidth)
    return {"intensity": intensity, "ridge": ridge, "attainable": attainable, "least_ms": flops / attainable * 1e3,
            "bound": "compute" if intensity >= ridge else "memory"}  # fmt: skip


def end_to_end(
    preprocess: Callable[[Any], Any],
    run: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    items: Iterable[Any],
    warmup: int = 1,
    clock: Clock = time.perf_counter,
) -> dict[str, Timing]:
    """Time `decode(run(preprocess(item)))` for every item, split by stage.

    Args:
        items: list; the first `warmup` of them are processed first without timing, then all of them with it.

    Returns:
        dict of "preprocess", "run", "decode" and "total" to `Timing`.
    """
    items = list(items)
    _check(items=(len(items), 1), warmup=(warmup, 0))
    samples = {"preprocess": [], "run": [], "decode": [], "total": []}
    for position, item in enumerate([*items[:warmup], *items]):
        start = clock()
        prepared = preprocess(item)
        ready = clock()
        result = run(prepared)
        done = clock()
        decode(result)
        end = clock()
        if position >= min(warmup, len(items)):
            for name, seconds in zip(samples, (ready - start, done - ready, end - done, end - start), strict=True):
                samples[name].append(seconds * 1e3)
    return {name: Timing(values) for name, values in samples.items()}


def _calls(fn, iterations, clock):
    samples = []
    for _ in range(iterations):
        start = clock()
        fn()
        samples.append((clock() - start) * 1e3)
    return samples


def _check(**limits):
    for name, (value, least) in limits.items():
        if value < least:
            raise BadInput(name, value, f"at least {least}", "correct the number")


def _ms(value):
    return f"{value:.3f}" if value < 100 else f"{value:.1f}"
