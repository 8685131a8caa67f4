"""Plots of the operators of a graph."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from helpers.display.pictures import Picture, listed, sentence
from helpers.display.plots import checked, dress
from helpers.display.style import INK, PALETTE, WIDEST, new_figure, picture
from helpers.display.tables import Rows, number
from helpers.display.told import told


@told
def op_chart(
    op_table: Rows, label: str = "op", value: str = "count", title: str | None = None, top: int = 25
) -> Picture:
    """Horizontal bars of an operator table: the `top` largest and every custom one, in its own color."""
    rows = sorted(checked(op_table, [label, value]), key=lambda row: -row[value])
    rest = [row for row in rows[top:] if not _is_custom(row)]
    rows = rows[:top] + [row for row in rows[top:] if _is_custom(row)]
    rows += [{label: f"{len(rest)} more", value: sum(row[value] for row in rest)}] if rest else []
    custom = [_is_custom(row) for row in rows]
    figure, axes = new_figure(WIDEST, 0.7 + 0.24 * len(rows))
    colors = [PALETTE[3] if own else PALETTE[0] for own in custom]
    drawn = axes.barh(range(len(rows)), [row[value] for row in rows], color=colors, height=0.75)
    axes.bar_label(drawn, [number(row[value]) for row in rows], padding=3, fontsize=8, color=INK)
    axes.set_yticks(range(len(rows)), [str(row[label]) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.1, y=0.02)
    if all(isinstance(row[value], Integral) for row in rows):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if any(custom):
        axes.legend([drawn[custom.index(True)]], ["custom operator"], frameon=False, fontsize=9, loc="center right")
    dress(axes, title, value, None, grid="x")
    parts = (f"{row[label]} {number(row[value])}" + " (custom)" * own for row, own in zip(rows, custom, strict=True))
    return picture(figure, sentence(title, f"Bars of {value} by {label}: {listed(parts)}"))


@told
def shares(rows: Rows, label: str, parts: Sequence[str], title: str | None = None, xlabel: str = "count") -> Picture:
    """Horizontal bars of whole numbers, one per row (named by column `label`), the columns `parts` end to end."""
    from matplotlib.ticker import MaxNLocator

    rows = checked(rows, [label, *parts])
    figure, axes = new_figure(WIDEST, 0.9 + 0.32 * len(rows))
    colors = dict(zip(parts, (PALETTE[2], "#D5D5D5", PALETTE[1], PALETTE[4]), strict=False))
    ends = np.zeros(len(rows))
    for part, color in colors.items():
        lengths = np.array([row[part] for row in rows])
        axes.barh(range(len(rows)), lengths, left=ends, color=color, label=part, height=0.75)
        ends += lengths
    axes.set_yticks(range(len(rows)), [str(row[label]) for row in rows])
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    dress(axes, title, xlabel, None, grid="x")
    texts = (f"{row[label]}: " + ", ".join(f"{number(row[part])} {part}" for part in colors) for row in rows)
    return picture(figure, sentence(title, f"Bars of {xlabel} by {label}: {listed(texts)}"))


def _is_custom(row):
    return row.get("domain") not in (None, "", "ai.onnx")
