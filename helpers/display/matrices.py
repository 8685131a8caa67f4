"""Tables of numbers as pictures: weights before and after quantization, a cache as it fills."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from helpers.display.style import DPI, INK, MUTED, WIDEST, picture, wrapped
from helpers.display.told import told
from helpers.errors import BadInput

if TYPE_CHECKING:
    from IPython.display import Image


@told
def matrices(panels: Mapping[str, np.ndarray], title: str, xlabel: str = "", ylabel: str = "") -> "Image":
    """Matrices side by side in one scale of color: red and blue around zero, or one color where none is below zero.

    Args:
        panels: caption -> [rows, columns] of finite numbers.
    """
    from matplotlib.figure import Figure

    for name, values in panels.items():
        if values.ndim != 2 or not values.size or not np.isfinite(values).all():
            found = f"{values.dtype} {list(values.shape)}"
            raise BadInput(f"matrix {name!r}", found, "finite numbers [rows, columns]", "choose two axes of it")
    most = max(float(np.abs(values).max()) for values in panels.values()) or 1.0
    signed = any((values < 0).any() for values in panels.values())
    colors = {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if signed else {"cmap": "Blues", "vmin": 0, "vmax": most}
    figure = Figure(
        figsize=(WIDEST, 1.1 + min(4.8 / len(panels), 2.6)), dpi=DPI, layout="constrained", facecolor="white"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    for axes, (name, values) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        image = axes.imshow(values, aspect="auto", interpolation="nearest", **colors)
        axes.set_title(wrapped(name, 5.0 / len(panels), 9), fontsize=9, color=INK)
        axes.set_xlabel(xlabel, fontsize=9, color=MUTED)
        axes.tick_params(labelsize=8, colors=MUTED)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True, nbins=5, min_n_ticks=1)
    figure.axes[0].set_ylabel(ylabel, fontsize=9, color=MUTED)
    figure.colorbar(image, ax=figure.axes, shrink=0.8).ax.tick_params(labelsize=8)
    told = "; ".join(f"{name}: {' by '.join(map(str, values.shape))}, {len(np.unique(values))} different values from "
                     f"{values.min():.3g} to {values.max():.3g}" for name, values in panels.items())  # fmt: skip
    return picture(figure, f"{title}. {told}.")
