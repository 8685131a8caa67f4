"""The picture that explains SmoothQuant: the largest magnitude of every channel, before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.display.pictures import Picture, sentence
from helpers.display.style import DPI, GRID, INK, MUTED, PALETTE, WIDEST, picture
from helpers.display.tables import number
from helpers.display.told import told
from helpers.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Maxima = Sequence[float] | np.ndarray


@told
def outliers(before: tuple[Maxima, Maxima], after: tuple[Maxima, Maxima], title: str | None = None) -> Picture:
    """Largest magnitudes by channel, of an activation and of the weight that reads it, in two panels of one log axis.

    Args:
        before, after: (activation [K], weight [K]), as `activation`, `weight` and `smoothed_activation`,
            `smoothed_weight` of a `helpers.quantize.linears.Group`. Zeros are left out.

    A dashed line is an activation's largest: all its channels share 127 steps up to it.
    """
    from matplotlib.figure import Figure

    panels = {"before": before, "after smoothing": after}
    arrays = {name: tuple(np.asarray(each, np.float64).ravel() for each in pair) for name, pair in panels.items()}
    for name, pair in arrays.items():
        sizes = {len(each) for each in pair} | {len(before[0])}
        if sizes == {0} or len(sizes) > 1 or not all(np.isfinite(each).all() for each in pair):
            raise BadInput(f"outliers, {name}", f"{[len(each) for each in pair]} maxima", "finite ones of all channels",
                           "pass the maxima of one group")  # fmt: skip
    figure = Figure(figsize=(WIDEST, 3.3), dpi=DPI, layout="constrained", facecolor="white")
    for axes, (name, pair) in zip(figure.subplots(1, 2, sharey=True), arrays.items(), strict=True):
        _panel(axes, name, *pair)
    figure.axes[0].set_ylabel("largest magnitude", fontsize=9, color=INK)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), frameon=False, fontsize=9, ncols=2,
                  loc="outside lower center")  # fmt: skip
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    parts = "; ".join(f"{name}: {_spread('activation', pair[0])}, {_spread('weight', pair[1])}"
                      for name, pair in arrays.items())  # fmt: skip
    return picture(figure, sentence(title, f"Largest magnitudes of {len(before[0])} channels. {parts}"))


def _panel(axes: "Axes", name: str, activation: np.ndarray, weight: np.ndarray) -> None:
    drawn = ((PALETTE[3], "activation", activation, 5.0), (PALETTE[0], "weight", weight, 1.8))
    for color, label, values, width in drawn:  # the narrower in front, where both are alike
        channels = np.flatnonzero(values > 0)
        axes.vlines(
            channels, values[channels] / 1.12, values[channels] * 1.12, color=color, linewidth=width, label=label
        )
    if (most := activation.max()) > 0:
        axes.axhline(most, color=PALETTE[3], linestyle="--", linewidth=1)
    axes.set_yscale("log")
    axes.set_title(name, fontsize=9, color=INK)
    axes.set_xlabel("channel", fontsize=8, color=MUTED)
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def _spread(name: str, values: np.ndarray) -> str:
    middle, most = float(np.median(values)), float(values.max())
    times = f", {most / middle:.1f} times" if middle > 0 else ""
    return f"{name} median {number(middle)}, largest {number(most)}{times}"
