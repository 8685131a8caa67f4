"""The stages of a network in a row, with what flows between them and what comes back from the frame before."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helpers.display.style import INK, MUTED, PALETTE, new_figure, picture

if TYPE_CHECKING:
    from IPython.display import Image

WIDTH, GAP, HEIGHT = 1.9, 0.5, 1.05  # of a stage, in inches
Stage = tuple[str, str, str]  # name, what it does, what leaves it


def network_diagram(stages: Sequence[Stage], memory: tuple[str, str, str] | None = None) -> "Image":
    """The stages as boxes from left to right; under each arrow stands what leaves the stage.

    Args:
        stages: (name, what it does, what leaves it), in order.
        memory: (stage that gives, stage that takes, label) of what comes back on the next frame.

    Raises:
        ValueError: `memory` names a stage that is not there.
    """
    names = [name for name, _, _ in stages]
    if memory and not {memory[0], memory[1]} <= set(names):
        raise ValueError(f"memory {memory[:2]} names none of the stages {names}")
    width = len(stages) * (WIDTH + GAP)
    figure, axes = new_figure(width, 2.6 if memory else 1.9)
    axes.set(xlim=(0, width), ylim=(-0.75 if memory else -0.1, HEIGHT + 0.55))
    axes.set_axis_off()
    for i, (name, work, leaves) in enumerate(stages):
        left = i * (WIDTH + GAP)
        _box(axes, left, name, work, PALETTE[i % len(PALETTE)])
        _arrow(axes, left + WIDTH, left + WIDTH + GAP, leaves)
    if memory:
        gives, takes = (names.index(name) * (WIDTH + GAP) for name in memory[:2])
        _loop(axes, gives + 0.85 * WIDTH, takes + 0.15 * WIDTH, memory[2])
    return picture(figure, _words(stages, memory))


def _box(axes, left, name, work, color):
    from matplotlib.patches import FancyBboxPatch

    outline = FancyBboxPatch((left + 0.06, 0.06), WIDTH - 0.12, HEIGHT - 0.12, boxstyle="round,pad=0.05")
    outline.set(facecolor=color, alpha=0.18, edgecolor=color, linewidth=1.5)
    axes.add_patch(outline)
    axes.text(left + WIDTH / 2, HEIGHT * 0.72, name, ha="center", va="center", fontsize=10, weight="bold", color=INK)
    axes.text(left + WIDTH / 2, HEIGHT * 0.33, work, ha="center", va="center", fontsize=8, color=INK)


def _arrow(axes, start, end, leaves):
    axes.annotate("", (end, HEIGHT / 2), (start, HEIGHT / 2), arrowprops={"arrowstyle": "->", "color": MUTED})
    axes.text((start + end) / 2, HEIGHT + 0.12, leaves, ha="center", va="bottom", fontsize=8, color=INK)


def _loop(axes, start, end, label):
    style = {"arrowstyle": "->", "color": MUTED, "connectionstyle": "arc3,rad=-0.5", "linestyle": "--"}
    axes.annotate("", (end, 0), (start, 0), arrowprops=style)
    axes.text((start + end) / 2, -0.62, label, ha="center", va="center", fontsize=8, color=INK)


def _words(stages, memory):
    parts = [f"{name} ({work}) gives {leaves}" for name, work, leaves in stages]
    text = "Diagram of the network, from left to right: " + "; ".join(parts).replace("\n", " ") + "."
    return text + (f" {memory[2]}: from {memory[0]} back to {memory[1]} on the next frame." if memory else "")
