"""One look for every figure: palette, fonts, and the way from a matplotlib figure to a picture in the notebook."""

import io
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from helpers.arguments import typed
from helpers.display.pictures import Picture
from helpers.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#999999")
INK, MUTED, GRID = "#222222", "#666666", "#DDDDDD"
CLASS_COLORS = {
    "car": "#56B4E9",
    "truck": "#0072B2",
    "construction_vehicle": "#F0E442",
    "bus": "#009E73",
    "trailer": "#88CCAA",
    "barrier": "#BBBBBB",
    "motorcycle": "#CC79A7",
    "bicycle": "#AA4499",
    "pedestrian": "#D55E00",
    "traffic_cone": "#E69F00",
    "others": "#333333",
    "driveable_surface": "#8F8F99",
    "other_flat": "#C9A66B",
    "sidewalk": "#D9CBB8",
    "terrain": "#B9CC7E",
    "manmade": "#8A6A58",
    "vegetation": "#4C8B3B",
    "this vehicle": "#E6007E",
}
LINE_COLORS = ("#E6007E", "#6CC400", "#7A4FBF", "#D55E00")  # of lines on the ground, on asphalt and on white
DPI = 110
WIDEST = 6.8  # inches of a figure with letters; a page shows a wider one smaller, and its letters with it


def class_color(name: str, classes: Iterable[str]) -> str:
    """The color of a class: that of `CLASS_COLORS`, or the palette's by its place in the class set."""
    return CLASS_COLORS.get(name) or PALETTE[list(classes).index(name) % len(PALETTE)]


def line_colors(names: Iterable[str]) -> dict[str, str]:
    """Name -> color of lines on the ground, in the order of their names."""
    return {name: LINE_COLORS[k % len(LINE_COLORS)] for k, name in enumerate(names)}


@typed
def new_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of `width` x `height` inches and its axes, unknown to pyplot: nothing to close, nothing shown twice."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_axisbelow(True)
    return figure, axes


def wrapped(text: str, room: float, size: float) -> str:
    """The text in lines of at most `room` inches in letters of `size` points, broken between words alone."""
    letters = max(1, int(72 * room / (0.56 * size)))
    return "\n".join(textwrap.fill(line, letters, break_long_words=False) for line in text.split("\n"))


def picture(figure: "Figure", alt: str) -> Picture:
    """The figure as a picture of PNG bytes, `alt` being its description in words. Two "$" in a name are no formula."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text():  # the exponents of a logarithmic axis, which are formulas, come later
            text.set_parse_math(False)
    return _png(figure, alt)


def _png(figure, alt):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    return Picture(data=stream.getvalue(), format="png", alt=alt)


@typed
def figure(drawn: "Figure", alt: str) -> Picture:
    """A figure drawn with matplotlib as a picture; a cell that draws one ends in this instead of `plt.show()`.

    Args:
        drawn: the figure; pyplot forgets it, so that it is not shown a second time.
        alt: what it shows, in one or two sentences made from the data, for a reader who cannot see it.

    Raises:
        BadInput: `alt` says nothing.
    """
    from matplotlib import pyplot

    if not hasattr(drawn, "savefig"):
        raise BadInput("figure", f"{drawn!r:.60}", "a figure of matplotlib", "pass what pyplot.figure() returns")
    if not alt.strip():
        raise BadInput("figure", "no alternative text", "a sentence that says what it shows", "pass it as alt")
    pyplot.close(drawn)
    return _png(drawn, alt)


def photo(pixels: "np.ndarray", alt: str, quality: int = 85) -> Picture:
    """RGB `pixels` [H, W, 3] uint8 as a picture of JPEG bytes, `alt` being its description in words."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, format="jpeg", quality=quality, optimize=True)
    return Picture(data=stream.getvalue(), format="jpeg", alt=alt)


def ink_on(color: str) -> str:
    """Black or white, whichever reads better on `color` (relative luminance, WCAG 2)."""
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#FFFFFF"
