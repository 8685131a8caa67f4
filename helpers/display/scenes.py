"""Pictures of a driving scene: the bird's-eye view, images side by side."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from helpers.boxes import Boxes, require_frame
from helpers.display.pictures import Picture, listed, tally
from helpers.display.style import (
    DPI,
    GRID,
    INK,
    MUTED,
    PALETTE,
    WIDEST,
    class_color,
    line_colors,
    new_figure,
    picture,
    wrapped,
)
from helpers.display.tables import number
from helpers.display.told import told
from helpers.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@told
def bev(
    frame: Any,
    ground_truth: Boxes | None = None,
    detections: Boxes | None = None,
    path: ArrayLike | Mapping[str, Iterable[ArrayLike]] | None = None,
    threshold: float = 0.1,
    extent: float = 51.2,
) -> Picture:
    """The scene from above, forward up, ± `extent` meters around the lidar.

    Args:
        frame: `helpers.dataset.Frame`.
        ground_truth: `Boxes` in the lidar frame, outlined.
        detections: `Boxes` in the lidar frame, filled by class and the fuller the higher the score.
        path: future positions of the ego vehicle [T, 2], m, in the ego frame; or what they are -> lines [n, 2 or 3] of
            that frame, such as lanes and several paths, which are drawn in colors of their own.
        threshold: detections that score less are left out.

    A stroke points ahead of each box; an arrow is where it will be in one second. Returns a `Picture`.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    detections = None if detections is None else above(detections, threshold)
    figure, axes = new_figure(8.2, 6.52)
    figure.set_layout_engine("none")  # the constrained one loses the labels of axes of equal aspect
    axes.set_position([0.08, 0.08, 0.70, 0.88])
    ground(axes, extent)
    colored = detections if detections is not None else ground_truth
    present = {} if colored is None else colors_of(colored)
    handles = [Patch(color=color, label=name.replace("_", " ")) for name, color in present.items()]
    if detections is not None:
        _footprints(axes, detections, filled=True)
    if ground_truth is not None:
        require_frame(ground_truth, "lidar")
        _footprints(axes, ground_truth, filled=False, ink=None if colored is ground_truth else INK)
        if colored is not ground_truth:
            handles.append(Patch(facecolor="none", edgecolor=INK, label="ground truth"))
    if isinstance(path, Mapping):
        handles += _lines(axes, frame, path)
    elif path is not None:
        x, y = lidar_points(np.asarray(path), frame.lidar2ego).T
        axes.plot(x, y, color=PALETTE[3], linewidth=2, linestyle=(0, (4, 2)), zorder=5)
        handles.append(Line2D([], [], color=PALETTE[3], linewidth=2, linestyle=(0, (4, 2)), label="future path"))
    if handles:
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.785, 0.97), frameon=False, fontsize=8)
    axes.set_title(f"{frame.scene}, frame {frame.index}", loc="left", fontsize=11, fontweight="bold", color=INK)
    groups = ((ground_truth, "true"), (detections, "detected"))
    shown = [f"{len(b.labels)} {what}{tally(b.names)}" for b, what in groups if b is not None]
    if isinstance(path, Mapping):
        shown += [f"{len(list(lines))} {name}" for name, lines in path.items()]
    elif path is not None:
        shown += ["the future path of the vehicle"]
    what = f"Bird's-eye view of {frame.scene}, frame {frame.index}"
    return picture(figure, f"{what}: {', '.join(shown) or 'the vehicle alone'}")


@told
def bev_row(
    frame: Any, versions: Mapping[str, Boxes], ground_truth: Boxes, threshold: float = 0.1, extent: float = 51.2
) -> Picture:
    """One scene from above as each of several networks saw it, side by side; arguments as in `bev`.

    versions: name -> its detections, `Boxes` in the lidar frame, filled by class; the truth is outlined in each.
    """
    from matplotlib.figure import Figure

    require_frame(ground_truth, "lidar")
    kept = {name: above(boxes, threshold) for name, boxes in versions.items()}
    if not kept:
        raise BadInput("versions", "none", "at least one name with its boxes", "pass what was detected")
    figure = Figure(figsize=(3.9 * len(kept), 4.1), dpi=DPI, layout="constrained", facecolor="white")
    for axes, (name, boxes) in zip(figure.subplots(1, len(kept), squeeze=False)[0], kept.items(), strict=True):
        ground(axes, extent)
        _footprints(axes, boxes, filled=True)
        _footprints(axes, ground_truth, filled=False, ink=INK)
        axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=INK)
    parts = [f"{name} detects {len(boxes.labels)}{tally(boxes.names)}" for name, boxes in kept.items()]
    truth = f"{len(ground_truth.labels)} true{tally(ground_truth.names)}"
    return picture(figure, f"Bird's-eye views of {frame.scene}, frame {frame.index}: {truth}; {listed(parts)}")


@told
def side_by_side(images: Iterable[ArrayLike], titles: Iterable[str] | None = None, height: float = 2.6) -> Picture:
    """Images [H, W] or [H, W, 3] in one row, `height` inches high or as high as fits, with `titles` above."""
    from matplotlib.figure import Figure

    arrays = [np.asarray(image) for image in images]
    names = list(titles or [""] * len(arrays))
    if not arrays or len(names) != len(arrays):
        found = f"{len(arrays)} images, {len(names)} titles"
        raise BadInput("side_by_side", found, "one title an image", "match them")
    ratios = [array.shape[1] / array.shape[0] for array in arrays]
    height = min(height, WIDEST / sum(ratios))
    heads = [wrapped(name, ratio * height, 9) for name, ratio in zip(names, ratios, strict=True)]
    size = sum(ratios) * height + 0.1, height + 0.2 + 0.15 * max(head.count("\n") + 1 for head in heads)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(arrays), width_ratios=ratios, squeeze=False)[0]
    for ax, image, head in zip(axes, arrays, heads, strict=True):
        ax.imshow(image, cmap="cividis")
        ax.set_title(head, loc="left", fontsize=9, color=INK)
        ax.set_axis_off()
    ranges = [f"values {number(float(array.min()))} to {number(float(array.max()))}" for array in arrays]
    parts = (f"{name or place}, {spread}" for place, (name, spread) in enumerate(zip(names, ranges, strict=True), 1))
    return picture(figure, f"Images side by side: {listed(parts)}")


def above(boxes: Boxes, threshold: float) -> Boxes:
    """The boxes of at least that score; BadInput unless they are in the lidar frame."""
    require_frame(boxes, "lidar")
    return boxes[boxes.scores >= threshold]


def colors_of(*groups: Boxes) -> dict[str, str]:
    """Name -> color of the classes that occur in `groups` of boxes, in the order of their class sets."""
    return {
        name: class_color(name, boxes.classes) for boxes in groups for name in boxes.classes if name in set(boxes.names)
    }


def ground(axes: "Axes", extent: float) -> None:
    """Range rings every 10 m and the ego vehicle."""
    from matplotlib.patches import Circle, Polygon

    for radius in range(10, int(extent * 1.5), 10):
        axes.add_patch(Circle((0, 0), radius, fill=False, color=GRID, linewidth=0.9, zorder=0))
        if radius < extent:
            diagonal = radius / np.sqrt(2)
            back = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(diagonal, -diagonal, f"{radius} m", fontsize=7, color=MUTED, ha="center", va="center", bbox=back)
    ego = np.array([[-0.86, -1.6], [0.86, -1.6], [0.86, 1.5], [0.0, 2.5], [-0.86, 1.5]])  # nuScenes: a Renault Zoe
    axes.add_patch(Polygon(ego, color=INK, zorder=6))
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    axes.set_xlabel("m to the right of the lidar", fontsize=9, color=INK)
    axes.set_ylabel("m ahead of the lidar", fontsize=9, color=INK)


def _footprints(axes, boxes, filled, ink=None):
    """Boxes from above: filled by score or outlined, in the colors of their classes or in `ink`."""
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_rgba

    colors = [ink or class_color(name, boxes.classes) for name in boxes.names]
    ahead = np.stack([np.cos(boxes.yaws), np.sin(boxes.yaws)], axis=1)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    half = boxes.sizes[:, 1::-1] / 2  # length, width
    centers, along, across = boxes.centers[:, :2], ahead * half[:, :1], side * half[:, 1:]
    outlines = np.stack([centers + s * along + t * across for s, t in ((1, 1), (1, -1), (-1, -1), (-1, 1))], axis=1)
    ticks = np.stack([centers + along, centers + along + ahead], axis=1)
    fullness = [0.15 + 0.85 * min(float(score), 1.0) if filled else 0.0 for score in boxes.scores]
    faces = [to_rgba(color, alpha) for color, alpha in zip(colors, fullness, strict=True)]
    axes.add_collection(PolyCollection(outlines, facecolors=faces, edgecolors=colors, linewidths=1.1, zorder=2))
    axes.add_collection(LineCollection(ticks, colors=colors, linewidths=1.1, zorder=3))
    moving = np.linalg.norm(boxes.velocities, axis=1) > 0.5
    if moving.any():
        axes.quiver(
            *boxes.centers[moving, :2].T,
            *boxes.velocities[moving].T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.003,
            color=np.array(colors)[moving],
            zorder=4,
        )


def _lines(axes, frame, groups):
    """Draw name -> lines of the ego frame, the first on top; returns what names them in the key."""
    from matplotlib.lines import Line2D

    colors = line_colors(groups)
    for depth, (name, lines) in enumerate(groups.items()):
        for line in lines:
            x, y = lidar_points(np.asarray(line)[:, :2], frame.lidar2ego).T
            width = 1.3 if depth else 2.6
            axes.plot(x, y, color=colors[name], linewidth=width, marker="o", markersize=2.5, zorder=8 - 0.1 * depth)
    return [Line2D([], [], color=color, linewidth=2, label=name) for name, color in colors.items()]


def lidar_points(points: np.ndarray, lidar2ego: np.ndarray) -> np.ndarray:
    """Points [T, 2] on the ground of the ego frame -> [T, 2] of the lidar frame, m."""
    flat = np.concatenate([points, np.zeros((len(points), 1)), np.ones((len(points), 1))], axis=1)
    return (flat @ np.linalg.inv(lidar2ego).T)[:, :2]
