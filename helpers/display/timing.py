"""Pictures of time: the spans of one frame on a time axis, and work under a machine's two ceilings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.benchmark import pace
from helpers.display.style import GRID, INK, MUTED, PALETTE, WIDEST, new_figure, picture
from helpers.display.tables import number
from helpers.display.told import told
from helpers.errors import BadInput

if TYPE_CHECKING:
    from IPython.display import Image

Point = tuple[float, float]
Spans = Mapping[str, Point]
MARKERS = "os^DvPX"  # one fewer than colors: no two of the first 56 points look alike
ARROW = {"arrowstyle": "<->", "color": MUTED, "shrinkA": 0, "shrinkB": 0}


@told
def timeline(work: Sequence[tuple[str, float, float, str]], spans: Mapping[str, Point], title: str) -> "Image":
    """Bars of work in lanes over time, and named spans below them.

    Args:
        work: (lane, start, end, text) of each bar; lanes from top to bottom in the order of first appearance.
        spans: name -> (start, end). Times have any one unit; the axis has no numbers.
    """
    lanes = list(dict.fromkeys(lane for lane, *_ in work))
    height = {lane: len(lanes) - 1 - k for k, lane in enumerate(lanes)}
    last = max(end for _, end in [*((s, e) for _, s, e, _ in work), *spans.values()])
    letter = 0.0125 * last  # about its width
    written = {lane: [-last, -last] for lane in lanes}  # where the lower row of a lane's texts ends, and the upper one
    figure, axes = new_figure(7.6, 1.2 + 0.75 * len(lanes) + 0.3 * len(spans))
    for k, (lane, start, end, text) in enumerate(work):
        axes.barh(height[lane], end - start, left=start, height=0.55, color=PALETTE[k % 6], edgecolor="white")
        middle = (start + end) / 2
        reach = letter * len(text) / 2
        upper = middle - reach < written[lane][0]
        written[lane][upper] = middle + reach
        axes.text(middle, height[lane] + 0.34 + 0.16 * upper, text, ha="center", va="bottom", fontsize=8, color=INK)
    for k, (name, (start, end)) in enumerate(spans.items()):
        y = -0.75 - 0.42 * k
        axes.annotate("", (start, y), (end, y), arrowprops=ARROW)
        axes.text(end, y, f"  {name}", va="center", fontsize=9, fontweight="bold", color=INK)
    axes.set_yticks(list(height.values()), list(height))
    axes.set(xlim=(-0.01 * last, 1.15 * last), ylim=(-0.75 - 0.42 * len(spans), len(lanes) - 0.25))
    axes.set(xlabel="time (not to scale)", xticks=[])
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    return picture(figure, f"{title}. {_told(work, spans)}")


def _told(work, spans):
    """The timeline in words: what each lane does in order, and from where to where each span reaches."""
    lanes = dict.fromkeys(lane for lane, *_ in work)
    doing = [f"{lane}: {', then '.join(text for own, _, _, text in work if own == lane)}" for lane in lanes]
    reach = []
    for name, (first, last) in spans.items():
        inside = [text for _, start, end, text in work if start >= first and end <= last]
        reach.append(f"{name} spans {', '.join(inside)}")
    return "; ".join(doing) + ". " + "; ".join(reach) + "."


@told
def schedule(ways: Mapping[str, Sequence[Spans]], title: str) -> "Image":
    """Measured stages of frames in a row, each way in its own panel below the one before, on one time axis.

    A panel's title tells the way's period and latency (`helpers.benchmark.pace`). A thin line is a frame that waits.

    Args:
        ways: name -> stage -> (begin, end) in seconds, of each frame in order; at least two frames.
    """
    stages = list(dict.fromkeys(stage for frames in ways.values() for spans in frames for stage in spans))
    colors = dict(zip(stages, PALETTE, strict=False))
    rows = sum(map(len, ways.values()))
    from matplotlib.patches import Patch

    figure, _ = new_figure(5.6, 0.9 + 0.75 * len(ways) + 0.24 * rows)
    figure.clear()
    panels = figure.subplots(
        len(ways), 1, sharex=True, squeeze=False, height_ratios=[len(one) + 1 for one in ways.values()]
    )
    told = []
    for axes, (name, frames) in zip(panels[:, 0], ways.items(), strict=True):
        _draw_frames(axes, frames, colors)
        latency, period = pace(frames)
        said = f"{name}: a frame every {number(period)} ms, each takes {number(latency)} ms"
        axes.set_title(said.replace(": ", "\n", 1), loc="left", fontsize=10, color=INK)
        told.append(f"{said} ({_medians(frames)})")
    panels[-1, 0].set_xlim(left=0)  # of all panels: each has its bars now
    panels[-1, 0].set_xlabel("ms", fontsize=10, color=INK)
    handles = [Patch(color=color, label=stage) for stage, color in colors.items()]
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold", color=INK)
    figure.legend(handles=handles, frameon=False, fontsize=10, ncols=4, loc="outside lower left")
    return picture(figure, f"{title}. {'; '.join(told)}.")


def _draw_frames(axes, frames, colors):
    """A lane for each frame, from top to bottom; times in ms from the first begin."""
    start = min(begin for begin, _ in frames[0].values())
    for k, spans in enumerate(frames):
        first, last = min(begin for begin, _ in spans.values()), max(end for _, end in spans.values())
        axes.plot([1e3 * (first - start), 1e3 * (last - start)], [k, k], color=MUTED, linewidth=1)
        for stage, (begin, end) in spans.items():
            left, width = 1e3 * (begin - start), 1e3 * (end - begin)
            axes.barh(
                k, width, left=left, height=0.7, color=colors[stage], edgecolor=colors[stage], linewidth=0.8, zorder=2
            )
    axes.set_yticks(range(len(frames)), [f"frame {k + 1}" for k in range(len(frames))])
    axes.set(ylim=(len(frames) - 0.4, -0.6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9.5)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _medians(frames):
    """The stages in words: the median ms of each."""
    medians = {stage: np.median([np.subtract(*spans[stage][::-1]) for spans in frames]) for stage in frames[0]}
    return ", ".join(f"{stage} {number(1e3 * float(median))}" for stage, median in medians.items())


@told
def roofline(peaks: Mapping[str, float], bandwidth: float, points: Mapping[str, Point], title: str) -> "Image":
    """Work under the ceilings of a machine, on logarithmic axes.

    Args:
        peaks: name -> operations per second, one flat roof each. bandwidth: bytes per second, the slanted roof.
        points: name -> (operations per byte, operations per second).

    Raises:
        BadInput: a value that is not above 0, or no point.
    """
    values = [bandwidth, *peaks.values(), *(value for point in points.values() for value in point)]
    if not points or not peaks or not all(np.isfinite(value) and value > 0 for value in values):
        raise BadInput(
            "roofline", f"peaks {dict(peaks)}, points {dict(points)}", "finite numbers above 0", "look at it"
        )
    figure, axes = new_figure(WIDEST, 4.2)
    reach = [x for x, _ in points.values()] + [peak / bandwidth for peak in peaks.values()]
    left, right = min(reach) / 4, max(reach) * 25
    above = np.inf
    for name, peak in sorted(peaks.items(), key=lambda item: -item[1]):
        axes.plot([left, peak / bandwidth, right], [left * bandwidth, peak, peak], color=MUTED, linewidth=1.5)
        offset = (-4, -11) if above < 1.5 * peak else (-4, 3)  # below the line if another is close above it
        axes.annotate(name, (right, peak), offset, textcoords="offset points", ha="right", fontsize=8, color=INK)
        above = peak
    for k, (name, (x, y)) in enumerate(sorted(points.items(), key=lambda item: -item[1][1])):
        look = {"color": PALETTE[k % len(PALETTE)], "marker": MARKERS[k % len(MARKERS)], "edgecolor": INK}
        axes.scatter(x, y, s=60, linewidth=0.5, zorder=3, label=name, **look)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set(xscale="log", yscale="log", xlim=(left, right))
    low, high = np.log10(axes.dataLim.intervaly)
    axes.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))
    axes.set_xlabel("operations per byte", fontsize=9, color=INK)
    axes.set_ylabel("operations per second", fontsize=9, color=INK)
    axes.yaxis.set_minor_formatter("")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    return picture(figure, _described(peaks, bandwidth, points, title))


def _described(peaks, bandwidth, points, title):
    """Each point in words: its intensity, the roof over it, and which share of the highest such roof it reaches."""
    peak, told = max(peaks.values()), []
    for name, (x, y) in points.items():
        roof = "memory" if x < peak / bandwidth else "arithmetic"
        share = y / min(peak, x * bandwidth)
        told.append(f"{name}: {number(float(x))} operations per byte, {share:.0%} of the {roof} roof")
    return f"{title}. {'; '.join(told)}."


@told
def tokens(ways: Mapping[str, tuple[float, Sequence[float]]], title: str) -> "Image":
    """Generation on one time axis: of each way the prompt (until the first token), then every later token.

    Args:
        ways: name -> (ms until the first token, ms of each step after it).
    """
    figure, axes = new_figure(WIDEST, 1.1 + 0.7 * len(ways))
    told = []
    for k, (name, (first, steps)) in enumerate(ways.items()):
        ends = np.cumsum([first, *steps])
        axes.barh(-k, first, height=0.6, color=PALETTE[0], edgecolor="white", linewidth=0.6)
        axes.barh(
            [-k] * len(steps), steps, left=ends[:-1], height=0.6, color=PALETTE[1], edgecolor="white", linewidth=0.6
        )
        told.append(f"{name}: first token after {number(first)} ms, then {number(float(np.mean(steps)))} ms a token")
    axes.set_yticks([-k for k in range(len(ways))], list(ways))
    axes.set_xlabel("ms", fontsize=10, color=INK)
    axes.set_title(f"{title} (first bar: the prompt)", loc="left", fontsize=11, fontweight="bold", color=INK)
    return picture(figure, f"{title}. {'; '.join(told)}.")
