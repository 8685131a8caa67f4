"""The parts of a network in rows, as data flows through them, each in the color of what was measured or chosen."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.display.pictures import listed
from helpers.display.style import DPI, INK, MUTED, PALETTE, ink_on, picture
from helpers.display.tables import number
from helpers.display.told import told
from helpers.errors import BadInput

if TYPE_CHECKING:
    from helpers.display.pictures import Picture

WIDTH, HEIGHT = 1.0, 0.74  # of a part's box, in units of the distance between two
LETTERS = 14  # in a line of a name
Value = float | str


@told
def parts(
    rows: Mapping[str, Sequence[str]],
    values: Mapping[str, Value],
    notes: Mapping[str, str],
    title: str,
    kinds: Sequence[str] = (),
) -> "Picture":
    """Boxes of the parts of a network, row by row, with arrows from each to the next of its row.

    Args:
        rows: name of a row -> its parts, in the order of the data.
        values: part -> a number from 0 on, also infinite, on a logarithmic scale of color; or a text, of which each has
            its color.
        notes: part -> what stands below its name.
        kinds: all texts that pictures beside this one have too, so that each keeps its color in all of them.
    """
    from matplotlib.figure import Figure

    names = [name for row in rows.values() for name in row]
    if not names or set(names) - set(values):
        missing = ", ".join(sorted(set(names) - set(values))) or "no part"
        raise BadInput("parts", missing, "a value for every part", "measure each part that a row names")
    longest = max(map(len, rows.values()))
    figure = Figure(figsize=(1.6 + 1.62 * longest, 0.75 + 0.95 * len(rows)), dpi=DPI, layout="constrained")
    figure.set_facecolor("white")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    colors = _colors(figure, axes, {name: values[name] for name in names}, kinds)
    for depth, (row, inside) in enumerate(rows.items()):
        axes.text(-0.22, -depth, row, ha="right", va="center", fontsize=10, fontweight="bold", color=INK)
        for at, name in enumerate(inside):
            _box(axes, (1.25 * at, -depth), colors[name], [name, notes.get(name, "")])
            if at:
                ends = (1.25 * at, -depth), (1.25 * at - 0.25, -depth)
                axes.annotate("", *ends, arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.2})
    axes.set(xlim=(-1.05, 1.25 * longest), ylim=(0.5 - len(rows), 0.5))
    axes.set_axis_off()
    return picture(figure, f"{title}. {listed((f'{name} {_said(values[name])}' for name in names), len(names))}.")


def _said(value):
    return value if isinstance(value, str) else number(value)


def _colors(figure, axes, values, kinds):
    """Part -> color, and the key to them."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, to_hex
    from matplotlib.patches import Patch

    if all(isinstance(value, str) for value in values.values()):
        colors = dict(zip(kinds or sorted(set(values.values())), PALETTE, strict=False))
        handles = [Patch(color=color, label=kind) for kind, color in colors.items()]
        axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(colors), frameon=False)
        return {name: colors[value] for name, value in values.items()}
    known = [value for value in values.values() if 0 < value < math.inf] or [1e-9]
    least = min(known)
    most = max(*known, least * 1.01) * (10 if math.inf in values.values() else 1)
    scale = LogNorm(least, most, clip=True)
    shades = ScalarMappable(scale, colormaps["YlOrRd"])
    figure.colorbar(shades, ax=axes, shrink=0.8, pad=0.01).ax.tick_params(labelsize=8)
    return {name: to_hex(shades.to_rgba(min(max(value, least), most))) for name, value in values.items()}


def _box(axes, at, color, words):
    from matplotlib.patches import FancyBboxPatch

    shape = FancyBboxPatch((at[0], at[1] - HEIGHT / 2), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.08")
    shape.set(facecolor=color, edgecolor=MUTED, linewidth=0.8)
    axes.add_patch(shape)
    ink, middle = ink_on(color), at[0] + WIDTH / 2
    name = textwrap.fill(words[0], LETTERS)
    axes.text(middle, at[1] + 0.1, name, ha="center", va="center", fontsize=9, color=ink)
    axes.text(middle, at[1] - 0.25, words[1], ha="center", va="center", fontsize=8, color=ink)
