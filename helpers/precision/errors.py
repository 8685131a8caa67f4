"""How far two arrays are apart, and in which range an array lies."""

from typing import NamedTuple

import numpy as np

TINY = np.finfo(np.float32).tiny


class Error(NamedTuple):
    """Of one tensor: max|a-b| / max|b| (for integers and booleans the share that differs), the share of elements beyond
    the tolerance, and the frame.
    """

    relative: float
    share: float
    frame: int


class Range(NamedTuple):
    """Smallest and largest finite value, number of values that are not finite, and the type."""

    low: float
    high: float
    nonfinite: int
    dtype: str

    @classmethod
    def of(cls, array: np.ndarray) -> "Range":
        array = np.asarray(array)
        values = array if array.dtype.kind != "f" else array[np.isfinite(array)]
        numbers = values.size and array.dtype.kind in "fiub"
        low, high = (float(values.min()), float(values.max())) if numbers else (np.nan, np.nan)
        return cls(low, high, array.size - values.size, array.dtype.name)

    def __str__(self):
        extra = f", {self.nonfinite} not finite" if self.nonfinite else ""
        return f"{self.dtype} {number(self.low)} to {number(self.high)}{extra}"


def measure(a: np.ndarray, b: np.ndarray, tolerance: float, frame: int) -> Error:
    """The `Error` of array `a` against the reference `b`; what is NaN in both, or the same infinity, is no error."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return Error(np.inf, 1.0, frame)
    if not a.size or np.array_equal(a, b):
        return Error(0.0, 0.0, frame)
    if b.dtype.kind != "f":
        share = float((a != b).mean())
        return Error(share, share, frame)
    finite = np.isfinite(a) & np.isfinite(b)
    broken = ~finite & (a != b) & ~(np.isnan(a) & np.isnan(b))
    b = np.where(finite, b, 0).astype(np.float64)
    apart = np.abs(np.where(finite, a, 0) - b)
    scale = max(np.abs(b).max(), TINY)
    share = float(((apart > tolerance * scale) | broken).mean())
    return Error(np.inf if broken.any() else float(apart.max() / scale), share, frame)


def undefined(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the elements that are not a number in both arrays."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not a.size or "f" not in (a.dtype.kind, b.dtype.kind):
        return 0.0
    return float(((a != a) & (b != b)).mean())


def measure_rms(a: np.ndarray, b: np.ndarray, tolerance: float, frame: int) -> Error:
    """As `measure`, but `relative` is the root mean square of a-b over that of b: what a few elements do hardly counts.

    That is the measure for INT8, where one rounding that falls to the other side moves a value by a whole step.
    """
    worst = measure(a, b, tolerance, frame)
    if not np.isfinite(worst.relative) or np.asarray(b).dtype.kind != "f" or not worst.relative:
        return worst
    finite = np.isfinite(b)
    a, b = (np.where(finite, array, 0).astype(np.float64) for array in (a, b))
    return worst._replace(relative=float(np.sqrt(np.mean((a - b) ** 2)) / max(np.sqrt(np.mean(b**2)), TINY)))


METRICS = {"max": measure, "rms": measure_rms}


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"
