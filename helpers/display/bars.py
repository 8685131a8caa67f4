"""Grouped bars: few of them stand, many lie, so that no name and no number covers another."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.display.pictures import Picture, listed, sentence
from helpers.display.plots import checked, dress
from helpers.display.style import INK, PALETTE, WIDEST, new_figure, picture, wrapped
from helpers.display.tables import Rows, number
from helpers.display.told import told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
MOST_UPRIGHT = 12  # bars; with more their numbers would touch


@told
def bars(rows: Rows, x: str, ys: str | Sequence[str], title: str | None = None, ylabel: str | None = None) -> Picture:
    """Grouped bars: one group per row (named by column `x`), one bar per column in `ys`, values written at their ends.

    Up to 12 bars stand side by side, more lie below each other.
    """
    ys = [ys] if isinstance(ys, str) else list(ys)
    rows = checked(rows, [x, *ys])
    label = ylabel or (ys[0] if len(ys) == 1 else None)
    draw = _upright if len(rows) * len(ys) <= MOST_UPRIGHT else _lying
    figure, axes = draw(rows, x, ys, title if len(ys) == 1 else None, label)
    if len(ys) > 1:
        axes.legend(frameon=False, fontsize=9, ncols=len(ys), loc="lower left", bbox_to_anchor=(0, 1))
    if len(ys) > 1 and title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold", color=INK)
    parts = (f"{_line(row[x])}: " + ", ".join(f"{y} {number(row[y])}" for y in ys) for row in rows)
    return picture(figure, sentence(title, f"Bars of {', '.join(ys)} by {x}: {listed(parts)}"))


def _upright(rows: list[Row], x: str, ys: list[str], title: str | None, label: str | None) -> "tuple[Figure, Axes]":
    figure, axes = new_figure(min(WIDEST, max(5.0, 1.2 + 0.55 * len(rows) * (len(ys) + 0.6))), 3.6)
    for at, width, y, color in _places(rows, ys):
        drawn = axes.bar(at, [row[y] for row in rows], width, color=color, label=y)
        axes.bar_label(drawn, [number(row[y]) for row in rows], padding=2, fontsize=8, color=INK)
    room = (figure.get_figwidth() - 0.7) / len(rows)
    axes.set_xticks(range(len(rows)), [wrapped(str(row[x]), room, 9) for row in rows])
    axes.margins(y=0.12)
    dress(axes, title, None, label, grid="y")
    return figure, axes


def _lying(rows: list[Row], x: str, ys: list[str], title: str | None, label: str | None) -> "tuple[Figure, Axes]":
    figure, axes = new_figure(WIDEST, 0.9 + 0.17 * len(rows) * (len(ys) + 0.6))
    for at, width, y, color in _places(rows, ys):
        drawn = axes.barh(at, [row[y] for row in rows], width, color=color, label=y)
        axes.bar_label(drawn, [number(row[y]) for row in rows], padding=2, fontsize=8, color=INK)
    axes.set_yticks(range(len(rows)), [_line(row[x]) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.02)
    dress(axes, title, label, None, grid="x")
    return figure, axes


def _places(rows, ys):
    """(places [rows], width, column, color) of the bars of each column, 0.8 wide together."""
    width = 0.8 / len(ys)
    for k, y in enumerate(ys):
        at = np.arange(len(rows)) + (k - (len(ys) - 1) / 2) * width
        yield at, width * 0.92, y, PALETTE[k % len(PALETTE)]


def _line(name):
    return " ".join(str(name).split("\n"))
