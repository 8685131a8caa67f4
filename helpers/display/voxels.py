"""Voxels as cubes that a reader can turn: pictures from all around behind a slider, which needs no kernel."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from helpers.display.pictures import Picture, escaped, tally
from helpers.display.steps import slider
from helpers.display.style import INK, class_color
from helpers.display.told import told
from helpers.errors import BadInput, printable

if TYPE_CHECKING:
    from IPython.display import HTML

ELEVATION = np.radians(38.0)  # of the eye above the ground
WIDTH = 520  # pixels of a picture
FINER = 2  # drawn larger by this factor, then averaged
LIGHT = (0.72, 0.86, 1.0)  # of the sides along x, along y, and of the top
SIDES = ("behind", "behind on the right", "the right", "ahead on the right", "ahead", "ahead on the left",
         "the left", "behind on the left")  # fmt: skip
SWATCH = "display:inline-block;width:.8em;height:.8em;border:1px solid #8888;margin-right:.3em;background:"


@told
def voxels(grids: Mapping[str, ArrayLike], classes: Sequence[str], empty: int, views: int = 16) -> "HTML":
    """Grids of classes as cubes, seen from `views` sides; turn them with the slider, or by dragging a picture.

    Args:
        grids: title -> integers [X, Y, Z], x ahead, y to the left, z up, all of one shape; a picture for each.
        classes: name of each class, which also gives its color.
        empty: the class that is not drawn.

    Raises:
        BadInput: no grid, one without three axes, of another shape or kind, or with a class that has no name.
    """
    from IPython.display import HTML

    arrays = _checked(grids, classes)
    pages = {}
    for number in range(views):
        turn = 360 * number / views
        side = SIDES[round(turn / 45) % len(SIDES)]
        pictures = [_picture(title, grid, classes, empty, turn, side) for title, grid in arrays.items()]
        pages[f"{turn:g}°"] = f"seen from {side}; {', '.join(arrays)}", pictures
    present = sorted({int(each) for grid in arrays.values() for each in np.unique(grid)} - {empty})
    entries = (f'<span style="{SWATCH}{class_color(classes[k], classes)}"></span>{_plain(classes[k])}' for k in present)
    items = "".join(f'<span style="margin-right:1em;white-space:nowrap">{entry}</span>' for entry in entries)
    return HTML(f'{slider("Turn", pages, turns=True).data}<p style="line-height:1.7">{items}</p>')


def _checked(grids, classes):
    arrays = {title: np.asarray(grid) for title, grid in grids.items()}
    if not arrays:
        raise BadInput("grids", "none", "at least one title with its grid", "pass what is to be drawn")
    shape = next(iter(arrays.values())).shape
    for title, grid in arrays.items():
        if grid.ndim != 3 or grid.shape != shape or not grid.size or grid.dtype.kind not in "ui":
            found = f"{grid.dtype} {list(grid.shape)}"
            raise BadInput(f"grid {title!r}", found, "integers [X, Y, Z], all of one shape", "decode it first")
        if grid.min() < 0 or grid.max() >= len(classes):
            found, expected = f"classes {grid.min()}..{grid.max()}", f"0..{len(classes) - 1}"
            raise BadInput(f"grid {title!r}", found, expected, "give a name to every class")
    return arrays


def _plain(name):
    return escaped(str(name).replace("_", " "))


def _picture(title, grid, classes, empty, turn, side):
    """The grid from one side, with its title and, as its text, what it holds."""
    from PIL import Image, ImageDraw, ImageFont

    pixels = Image.fromarray(draw(grid, classes, empty, np.radians(turn))).reduce(FINER)
    ImageDraw.Draw(pixels).text((6, 4), printable(title), font=ImageFont.load_default(size=15), fill=INK)
    stream = io.BytesIO()
    pixels.quantize(96, dither=Image.Dither.NONE).save(stream, format="png", optimize=True)
    counts = Counter({classes[k]: int(n) for k, n in enumerate(np.bincount(grid.ravel())) if n and k != empty})
    held = f"{sum(counts.values())} filled voxels{tally(counts.elements())}"
    return Picture(data=stream.getvalue(), format="png", alt=f"{title}, seen from {side} ({turn:g}°): {held}")


def draw(grid: np.ndarray, classes: Sequence[str], empty: int, azimuth: float) -> np.ndarray:
    """RGB pixels uint8 of the cubes without perspective, from above along `azimuth` (radians; 0 is along x)."""
    from matplotlib.colors import to_rgb

    ahead = np.array([np.cos(azimuth), np.sin(azimuth)])
    wide, across = WIDTH * FINER, float(np.hypot(grid.shape[0], grid.shape[1]))
    scale = wide / (across + 2)  # pixels of a voxel's edge
    down = -np.sin(ELEVATION)
    project = scale * np.array([[ahead[1], -ahead[0], 0], [down * ahead[0], down * ahead[1], -np.cos(ELEVATION)]])
    high = FINER * int((scale * (across * np.sin(ELEVATION) + (grid.shape[2] + 2) * np.cos(ELEVATION))) / FINER)
    middle = np.array([wide, high]) / 2 - project @ np.array(grid.shape) / 2
    places, sides = faces(grid != empty, ahead)
    corners = np.floor(places @ project.T + middle).astype(np.int64)
    palette = np.array([to_rgb(class_color(name, classes)) for name in classes])
    checkered = 1 - 0.06 * (places.sum(1) % 2)
    colors = palette[grid[tuple(places.T)]] * (np.array(LIGHT)[sides] * checkered)[:, None]
    canvas = np.full((high * wide, 3), 255, np.uint8)
    outlines = _outlines(project, ahead, int(scale) + 2) @ [1, wide]
    canvas[(corners @ [1, wide])[:, None] + outlines[sides]] = (255 * colors).astype(np.uint8)[:, None]
    return canvas.reshape(high, wide, 3)


def faces(filled: np.ndarray, ahead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces of cubes that look at the eye and touch no other cube, the farthest first: voxels [F,3] and sides [F].

    Sides: 0 along x, 1 along y, 2 on top. Slab by slab along x, then y, then z, no cube covers a later one.
    """
    toward = (*(-1 if part > 0 else 1 for part in ahead), 1)
    around = np.pad(filled, 1)
    found = []
    for axis, step in enumerate(toward):
        beyond = np.roll(around, -step, axis)[1:-1, 1:-1, 1:-1]
        places = np.argwhere(filled & ~beyond)
        found.append(np.column_stack([places, np.full(len(places), axis)]))
    every = np.concatenate(found)
    order = np.lexsort([every[:, axis] * toward[axis] for axis in (2, 1, 0)])
    return every[order, :3], every[order, 3]


def _outlines(project, ahead, points_along):
    """Pixels (right, down) of each of the three sides, from where a voxel's corner is: int64 [3,P,2], some repeated."""
    t = np.linspace(0, 1, points_along)
    one, other = (each.reshape(-1, 1) for each in np.meshgrid(t, t))
    sides = []
    for axis in range(3):
        nearest = axis == 2 or ahead[axis] < 0  # the side of the higher coordinate
        edges = np.delete(np.eye(3), axis, 0)
        points = one * edges[0] + other * edges[1] + nearest * np.eye(3)[axis]
        sides.append(np.rint(points @ project.T).astype(np.int64))
    return np.stack(sides)
