"""Plots of accuracy against cost, of value ranges and of curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from helpers.display.pictures import Picture, listed, sentence
from helpers.display.style import GRID, INK, MUTED, PALETTE, WIDEST, new_figure, picture
from helpers.display.tables import Rows, number
from helpers.display.told import told
from helpers.errors import BadInput

Rectangle = tuple[float, float, float, float]  # left, bottom, right, top


@told
def frontier(
    rows: Rows, cost: str, accuracy: str, label: str = "name", floor: float | None = None, title: str | None = None
) -> Picture:
    """Accuracy against cost, one named point per row: better is up and to the left.

    Args:
        rows: list of dicts. cost, accuracy, label: columns; `cost` e.g. the latency relative to FP32 in the same run.
        floor: the accuracy that a version must keep; points below it are hollow.
    """
    rows = checked(rows, [cost, accuracy, label])
    figure, axes = new_figure(6.4, 4.0)
    for k, row in enumerate(rows):
        keeps = floor is None or row[accuracy] >= floor
        color = PALETTE[k % len(PALETTE)]
        face = color if keeps else "white"
        axes.scatter(row[cost], row[accuracy], s=90, marker="o", color=face, edgecolor=color, linewidth=2, zorder=3)
    if floor is not None:
        axes.axhline(floor, color=MUTED, linestyle="--", linewidth=1)
        axes.annotate(
            f"must keep {number(floor)}",
            (0, floor),
            (4, -4),
            xycoords=("axes fraction", "data"),
            va="top",
            textcoords="offset points",
            fontsize=8,
            color=MUTED,
        )
    axes.margins(0.2)
    _name(axes, [(str(row[label]), row[cost], row[accuracy]) for row in rows])
    dress(axes, title, cost, accuracy, grid="both")
    parts = (f"{row[label]}: {accuracy} {number(row[accuracy])} at {number(row[cost])}" for row in rows)
    least = "" if floor is None else f"; must keep {number(floor)}"
    return picture(figure, sentence(title, f"Points of {accuracy} against {cost}: {listed(parts)}{least}"))


def _name(axes, points):
    """Write the names of (name, x, y) `points` beside them, none over another."""
    axes.autoscale_view()
    taken = []
    for name, x, y in points:
        at = axes.transData.transform((x, y)) * 72 / axes.figure.dpi
        offset, align = free_side(at, 5.2 * len(name), taken)
        axes.annotate(name, (x, y), offset, textcoords="offset points", fontsize=9, color=INK, ha=align)


def free_side(at: Sequence[float], width: float, taken: list[Rectangle]) -> tuple[tuple[int, int], str]:
    """Where a label of 9 points beside `at` covers none before it.

    Args:
        at: (x, y). width: of the label. taken: rectangles (left, bottom, right, top) of the labels before; the new one
            is appended. All in points.

    Returns:
        (offset, alignment): the first free one of above right, below right, above left, below left; above right if none
        is.
    """
    sides = [(offset, align) for align, dx in (("left", 8), ("right", -8)) for offset in ((dx, 6), (dx, -13))]
    boxes = []
    for (dx, dy), align in sides:
        left, bottom = at[0] + dx - (width if align == "right" else 0), at[1] + dy
        boxes.append((left, bottom, left + width, bottom + 10))
    free = [
        k
        for k, (left, bottom, right, top) in enumerate(boxes)
        if not any(left < c and a < right and bottom < d and b < top for a, b, c, d in taken)
    ]
    chosen = free[0] if free else 0
    taken.append(boxes[chosen])
    return sides[chosen]


@told
def histogram(
    values: ArrayLike | Mapping[str, ArrayLike],
    title: str | None = None,
    xlabel: str = "value",
    bins: int = 80,
    marks: Mapping[str, float] | None = None,
) -> Picture:
    """Distribution of one array, or of several (dict of name -> array); counts from 10 on are on a log scale.

    `marks` maps a name to a value on the x axis, drawn as a vertical line: a clipping threshold, a maximum.
    """
    given = values if isinstance(values, Mapping) else {None: values}
    series = {name: np.asarray(array, dtype=np.float64).ravel() for name, array in given.items()}
    for name, array in series.items():
        if array.size == 0 or not np.isfinite(array).all():
            found = "no values" if array.size == 0 else f"{np.count_nonzero(~np.isfinite(array))} values not finite"
            raise BadInput(
                f"histogram({name or 'values'})", found, "finite numbers", "look at where the values come from"
            )
    edges = np.histogram_bin_edges(np.concatenate(list(series.values())), bins)
    figure, axes = new_figure(WIDEST, 3.2)
    for k, (name, array) in enumerate(series.items()):
        filled = len(series) == 1
        axes.hist(
            array,
            edges,
            label=name,
            color=PALETTE[k % len(PALETTE)],
            histtype="stepfilled" if filled else "step",
            linewidth=1.6,
            alpha=0.85 if filled else 1.0,
        )
    for k, (name, at) in enumerate((marks or {}).items()):
        axes.axvline(
            at,
            color=PALETTE[(len(series) + k) % len(PALETTE)],
            linestyle="--",
            linewidth=1.6,
            label=f"{name} = {number(float(at))}",
        )
    if max(np.histogram(array, edges)[0].max() for array in series.values()) >= 10:
        axes.set_yscale("log")
    else:
        axes.yaxis.get_major_locator().set_params(integer=True)
    if len(series) > 1 or marks:
        axes.legend(frameon=False, fontsize=9)
    dress(axes, title, xlabel, "count", grid="y")
    parts = [_spread(name, array) for name, array in series.items()]
    parts += [f"{name} marked at {number(float(at))}" for name, at in (marks or {}).items()]
    return picture(figure, sentence(title, f"Histogram of {xlabel}: {listed(parts)}"))


def _spread(name, array):
    """The range of an array in words."""
    low, middle, high = map(number, map(float, np.percentile(array, [0, 50, 100])))
    return (f"{name}, " if name else "") + f"{array.size} values from {low} to {high}, median {middle}"


@told
def lines(
    series: Mapping[str, Any], title: str | None = None, xlabel: str = "step", ylabel: str = "value", log: bool = False
) -> Picture:
    """Curves: `series` maps a name to y values, or to a pair (x values, y values); NaN leaves a gap; `log` for a log
    y axis.
    """
    figure, axes = new_figure(WIDEST, 3.4)
    for k, (name, data) in enumerate(series.items()):
        x, y = data if isinstance(data, tuple) else (np.arange(len(data)), data)
        axes.plot(x, y, color=PALETTE[k % len(PALETTE)], marker="o", markersize=3, linewidth=1.6, label=name)
    if log:
        axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=9)
    dress(axes, title, xlabel, ylabel, grid="y")
    curves = {name: data if isinstance(data, tuple) else (range(len(data)), data) for name, data in series.items()}
    parts = (_course(name, x, y) for name, (x, y) in curves.items())
    return picture(figure, sentence(title, f"Curves of {ylabel} against {xlabel}: {listed(parts)}"))


def _course(name, x, y):
    """A curve in words: where it begins and ends, and its extremes; NaN is a gap in it."""
    y = np.asarray(y, dtype=np.float64)
    there = np.flatnonzero(~np.isnan(y))
    x, y = [x[at] for at in there], y[there]
    ends = f"{name} goes from {number(float(y[0]))} to {number(float(y[-1]))}" if len(y) else f"{name} is empty"
    if len(y) < 3:
        return ends
    low, high = (f"{number(float(y[at]))} at {_place(x[at])}" for at in (np.argmin(y), np.argmax(y)))
    return f"{ends}, lowest {low}, highest {high}"


def _place(value):
    return value if isinstance(value, str) else number(float(value))


def checked(rows: Rows, columns: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows as a list; BadInput for none, or for one without a column."""
    rows = list(rows)
    if not rows:
        raise BadInput("rows", "no rows", "at least one", "pass the table that the step before made")
    for k, row in enumerate(rows):
        missing = [column for column in columns if column not in row]
        if missing:
            raise BadInput(
                f"rows[{k}]", f"columns {list(row)}", f"a column {missing[0]!r}", "name a column of the rows"
            )
    return rows


def dress(axes: Any, title: str | None, xlabel: str | None, ylabel: str | None, grid: str) -> None:
    """Title, names of the axes, and grid lines, as in every plot."""
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    if title:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    if xlabel:
        axes.set_xlabel(xlabel, fontsize=9, color=INK)
    if ylabel:
        axes.set_ylabel(ylabel, fontsize=9, color=INK)
