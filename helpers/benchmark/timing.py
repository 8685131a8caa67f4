"""What was timed: percentiles of one function's calls, and several functions side by side."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput, foreign

LEAST = {"p90": 10, "p99": 100}  # calls from which a percentile says something: one of them lies above it


class Timing(dict[str, float]):
    """Percentiles of a list of calls, in ms: p50, p90, p99 (linear interpolation), mean, min, and their number n.

    Attributes:
        samples: float64[n], ms, in the order they were taken.

    Raises:
        BadInput: no times, times that are negative or no finite numbers.
    """

    def __init__(self, samples: Iterable[float]) -> None:
        self.samples = _checked(samples)
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


@typed
def pace(frames: Sequence[Mapping[str, tuple[float, float]]]) -> tuple[float, float]:
    """(latency, period) of frames one after the other, in ms: how long one takes, and how long until the next.

    Args:
        frames: stage -> (begin, end) in seconds, of each frame in order; their number is at least two.

    Returns:
        The median time from the first begin to the last end of a frame, and the mean time between the ends of two.
    """
    if len(frames) < 2:
        raise BadInput("frames", len(frames), "at least 2: a period lies between two", "measure more frames")
    begins, ends = ([reach(x[at] for x in one.values()) for one in frames] for at, reach in ((0, min), (1, max)))
    latency = np.median(np.subtract(ends, begins))
    return 1e3 * float(latency), 1e3 * (ends[-1] - ends[0]) / (len(ends) - 1)


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


def _checked(samples):
    expected = "milliseconds of at least one call, finite and not negative"
    with foreign("times", expected, "give numbers"):
        times = np.asarray(samples, dtype=np.float64)
    wrong = times[~(np.isfinite(times) & (times >= 0))]
    if wrong.size or times.ndim != 1 or not times.size:
        found = f"{wrong.size} of {times.size} unusable, the first {wrong[0]}" if wrong.size else f"shape {times.shape}"
        raise BadInput("times", found, expected, "look at the clock, and at what was timed")
    return times


def _ms(value):
    return f"{value:.3f}" if value < 100 else f"{value:.1f}"
