"""Boxes and arrows: what a picture of a graph is drawn from."""

from itertools import pairwise
from typing import TYPE_CHECKING

from helpers.display.layout import layered
from helpers.display.style import MUTED, PALETTE, ink_on, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {
    "custom operator": PALETTE[3],
    "convolution": PALETTE[0],
    "matrix product": PALETTE[4],
    "normalization, activation": PALETTE[2],
    "quantize / dequantize": PALETTE[6],
    "gather, sample": PALETTE[1],
    "other": "#D5D5D5",
    "input": "#FFFFFF",
    "output": "#FFFFFF",
}
WIDTH, HEIGHT, GAP_X, GAP_Y = 1.55, 0.38, 0.2, 0.36  # inches
PITCH = HEIGHT + GAP_Y
CENTERED = {"ha": "center", "va": "center"}


def draw(
    items: list[tuple[str, str]], edges: dict[tuple[int, int], str], shapes: dict[str, str]
) -> "tuple[Figure, Axes]":
    """Draw items from top to bottom, arrows between them, and a legend of the families that occur.

    Args:
        items: (text, family) of each; a text's second line is smaller; the family "more" is text alone.
        edges: {(a, b): tensor} of places in `items`, with a < b.
        shapes: what to write beside the first arrow of a tensor.
    """
    rooms = [GAP_X + (0.85 if family == "more" else WIDTH) for _, family in items]
    x, layer, routes = layered(rooms, list(edges), slim=0.35)
    bends = [at for route in routes.values() for at, _ in route]
    left = min([at - room / 2 for at, room in zip(x, rooms, strict=True)] + bends) - 0.1
    right = max([at + room / 2 for at, room in zip(x, rooms, strict=True)] + bends) + 0.1
    depth = max(layer) * PITCH + HEIGHT
    figure, axes = new_figure(max(5.5, right - left), depth + 0.9)
    axes.set_axis_off()
    axes.set(xlim=(left, right), ylim=(-depth - 0.05, 0.05), aspect="equal")
    labeled = set()
    for edge, route in routes.items():
        points = [(px, -pl * PITCH - HEIGHT / 2) for px, pl in route]
        _draw_edge(axes, points)
        if edges[edge] in shapes and edges[edge] not in labeled:
            labeled.add(edges[edge])
            _draw_label(axes, shapes[edges[edge]], *points[:2])
    for (text, family), px, pl in zip(items, x, layer, strict=True):
        _draw_item(axes, text, family, px, -pl * PITCH - HEIGHT / 2)
    _draw_legend(axes, {family for _, family in items})
    return figure, axes


def _draw_label(axes, text, start, end):
    """Write `text` on the upper part of an arrow between the centers of two boxes."""
    x, y = 0.7 * start[0] + 0.3 * end[0], start[1] - HEIGHT / 2 - 0.3 * GAP_Y
    under = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axes.text(x, y, text, fontsize=6.5, color=MUTED, zorder=3, bbox=under, **CENTERED)


def _draw_edge(axes, points):
    """A smooth line from the bottom of the first box to the top of the last, vertical where it meets a layer."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    (x0, y0), (x1, y1) = points[0], points[-1]
    passed = [(x, y + sign * HEIGHT / 2) for x, y in points[1:-1] for sign in (1, -1)]
    points = [(x0, y0 - HEIGHT / 2), *passed, (x1, y1 + HEIGHT / 2)]
    vertices, codes = [points[0]], [Curve.MOVETO]
    for (ax, ay), (bx, by) in pairwise(points):
        middle = (ay + by) / 2
        vertices += [(ax, middle), (bx, middle), (bx, by)]
        codes += [Curve.CURVE4] * 3
    line = Curve(vertices, codes)
    axes.add_patch(FancyArrowPatch(path=line, arrowstyle="-|>", mutation_scale=7, color=MUTED, linewidth=0.9, zorder=1))


def _draw_item(axes, text, family, x, y):
    from matplotlib.patches import FancyBboxPatch

    if family == "more":
        axes.text(x, y, text, fontsize=13, color=MUTED, fontweight="bold", **CENTERED)
        return
    color = COLORS[family]
    ends = family in ("input", "output")
    box = FancyBboxPatch(
        (x - WIDTH / 2, y - HEIGHT / 2),
        WIDTH,
        HEIGHT,
        facecolor=color,
        edgecolor=MUTED if ends else color,
        linewidth=0.8,
        boxstyle=f"round,pad=0,rounding_size={0.2 if ends else 0.06}",
        zorder=2,
    )
    axes.add_patch(box)
    title, _, name = text.partition("\n")
    large, ink = 8 if len(title) < 22 else 5.8, ink_on(color)
    up = 0.08 if name else 0
    axes.text(x, y + up, title, fontsize=large, fontweight="bold", color=ink, zorder=4, **CENTERED)
    axes.text(x, y - 0.1, name, fontsize=5.8, color=ink, zorder=4, **CENTERED)


def _draw_legend(axes, families):
    from matplotlib.patches import Patch

    used = {family: color for family, color in COLORS.items() if family in families}
    patches = [Patch(facecolor=color, edgecolor=MUTED, linewidth=0.5, label=family) for family, color in used.items()]
    axes.legend(handles=patches, fontsize=7, frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, 0))
