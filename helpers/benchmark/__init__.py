"""Measure latency: warm-up first, every call timed, percentiles rather than means, ratios from one run.

The clock counts seconds (`time.perf_counter`); results are in milliseconds. A function that starts work on a GPU must
wait for it before it returns, else only the launch is timed.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.arguments import typed
from helpers.benchmark.timing import Comparison, Timing, pace
from helpers.errors import BadInput

__all__ = ["Comparison", "Timing", "compare", "compare_engines", "end_to_end", "latency", "order", "pace",
           "roofline"]  # fmt: skip

Clock = Callable[[], float]
Progress = Callable[[Iterable[int]], Iterable[int]]
Arrays = Mapping[str, np.ndarray]


@typed
def latency(fn: Callable[[], Any], warmup: int = 10, iterations: int = 100, clock: Clock = time.perf_counter) -> Timing:
    """Time `iterations` calls of `fn()` after `warmup` calls that are not timed; returns a `Timing`."""
    _check(warmup=(warmup, 0), iterations=(iterations, 1))
    for _ in range(warmup):
        fn()
    timing = Timing(_calls(fn, iterations, clock))
    _check_clock("the function", [timing["p50"]])
    return timing


@typed
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

    Raises:
        BadInput: numbers that are too small, a baseline that is none of them, or times that say nothing.
    """
    baseline = _baseline(functions, baseline, "functions")
    _check(warmup=(warmup, 0), iterations=(iterations, 1), rounds=(rounds, 1))
    for fn in functions.values():
        for _ in range(warmup):
            fn()
    samples = {name: [] for name in functions}
    for turn in progress(range(rounds)):
        for name in order(functions, turn):
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
        for name in order(engines, turn):
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


def order(named: Iterable[str], turn: int) -> list[str]:
    """Names in their order, every other turn backwards, so that none is always the first."""
    return list(named)[:: -1 if turn % 2 else 1]


def _comparison(samples, baseline):
    """`Comparison` of dict name -> list of rounds, each a list of ms."""
    timings = {name: Timing(np.concatenate(calls)) for name, calls in samples.items()}
    medians = {name: [statistics.median(calls) for calls in rounds] for name, rounds in samples.items()}
    for name, found in medians.items():
        _check_clock(name, found)
    speedups = {}
    for name in samples:
        ratios = [a / b for a, b in zip(medians[baseline], medians[name], strict=True)]
        speedups[name] = (timings[baseline]["p50"] / timings[name]["p50"], min(ratios), max(ratios))
    return Comparison(timings, speedups, baseline, len(samples[baseline]))


@typed
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
        if not 0 < value < math.inf:
            raise BadInput(name, value, "above 0 and finite", "correct the number")
    intensity, ridge = flops / moved, peak_flops / bandwidth
    attainable = min(peak_flops, intensity * bandwidth)
    return {"intensity": intensity, "ridge": ridge, "attainable": attainable, "least_ms": flops / attainable * 1e3,
            "bound": "compute" if intensity >= ridge else "memory"}  # fmt: skip


@typed
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


def _check_clock(name, medians):
    if not all(medians):
        fix = "time several calls as one, or take a finer clock"
        raise BadInput(f"times of {name}", "a median of 0 ms", "times that the clock can tell from 0", fix)


def _check(**limits):
    for name, (value, least) in limits.items():
        if not isinstance(value, int | np.integer) or value < least:
            raise BadInput(name, value, f"a whole number, at least {least}", "correct the number")
