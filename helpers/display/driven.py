"""All that a network says of a moment of driving, from above: tracks, map, futures, occupancy, plan in one picture."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from helpers.boxes import corners, require_frame, transform
from helpers.display.pictures import Picture, listed, tally
from helpers.display.scenes import ground, lidar_points
from helpers.display.style import INK, LINE_COLORS, MUTED, PALETTE, new_figure, picture
from helpers.display.told import told
from helpers.errors import BadInput

LAYERS = ("map", "occupancy", "tracks", "motion", "plan")
FOOTPRINT = (2, 3, 7, 6)  # corners at the bottom, around
ROAD = "#EDEDF2"
LANES = {"divider": "#D9A400", "crossing": "#6FA3BF", "border": "#9C9CA8"}
PLAN, DRIVEN = LINE_COLORS[0], LINE_COLORS[1]
LABEL = 3.2, 2.2  # m of a number, width and height, in a picture of ± 40 m
NEAR, MOVES, AHEAD = 30.0, 2.0, 6  # m from the vehicle, m to the end, steps of half a second: as far as the plan goes
IDENTITIES = (*PALETTE[:6], "#332288", "#117733", "#882255", "#AA4499")  # of Okabe & Ito, and of Tol


@told
def driving(
    frame: Any, found: Any, past: Sequence = (), layers: Iterable[str] = LAYERS, extent: float = 51.2
) -> Picture:
    """What was found of a frame, forward up, ± `extent` meters around the lidar.

    Args:
        frame: `helpers.dataset.Frame`.
        found: with boxes in the lidar frame, ids, paths, chances, plan, lanes, drivable, owner, low, high and reach, as
            `helpers.systems.uniad.decode.Driven` has them.
        past: (frame, found) of frames before, oldest first: where each identity was is its trail.
        layers: of `LAYERS`, what is drawn.

    A track's color and number are its identity, the number where there is room for it; cells of vehicles are the paler
    the later. Futures are those of tracks near the vehicle that move. Returns a `Picture`.
    """
    chosen = list(layers)
    if unknown := [name for name in chosen if name not in LAYERS]:
        raise BadInput("layers", repr(unknown[0]), f"some of {', '.join(LAYERS)}", "correct the name")
    require_frame(found.boxes, "lidar")
    figure, axes = new_figure(8.0, 6.3)
    figure.set_layout_engine("none")
    axes.set_position([0.08, 0.08, 0.76, 0.87])
    ground(axes, extent)
    keys, words = [], []
    for name in chosen:  # an image sets the limits anew
        key, said = DRAWN[name](axes, frame, found, past)
        keys += key
        words.append(said)
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent))
    figure.legend(handles=keys, loc="upper left", bbox_to_anchor=(0.845, 0.95), frameon=False, fontsize=8)
    axes.set_title(f"{frame.scene}, frame {frame.index}", loc="left", fontsize=11, fontweight="bold", color=INK)
    return picture(figure, f"{frame.scene}, frame {frame.index}, from above: {'; '.join(words)}")


def color_of(identity: int) -> str:
    """The color of a track, the same in every frame."""
    return IDENTITIES[int(identity) % len(IDENTITIES)]


def _map(axes, frame, found, past):
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    image = np.zeros((*found.drivable.shape, 4))
    for mask, color in ((found.drivable, ROAD), *zip(found.lanes, LANES.values(), strict=False)):
        image[np.asarray(mask)] = (*to_rgb(color), 1.0)
    (left, low), (right, high) = found.low, found.high
    axes.imshow(image, origin="lower", extent=(left, right, low, high), zorder=0.5, interpolation="nearest")
    cells = ", ".join(f"{int(np.sum(mask))} of a {name}" for name, mask in zip(LANES, found.lanes, strict=False))
    key = [Patch(color=color, label=name) for name, color in ({"drivable": ROAD} | LANES).items()]
    return key, f"{np.mean(found.drivable):.0%} of the map is drivable, cells {cells}"


def _occupancy(axes, frame, found, past):
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    owner, reach = np.asarray(found.owner), found.reach
    image = np.zeros((*owner.shape[1:], 4))
    for step, cells in reversed(list(enumerate(owner))):
        image[cells > 0] = (*to_rgb(PALETTE[4]), 0.85 - 0.6 * step / max(len(owner) - 1, 1))
    axes.imshow(image, origin="lower", extent=(-reach, reach, -reach, reach), zorder=0.8, interpolation="nearest")
    key = [
        Patch(color=PALETTE[4], alpha=0.85, label="vehicle now"),
        Patch(color=PALETTE[4], alpha=0.25, label="in 2 s"),
    ]
    now, later = (int((cells > 0).sum()) for cells in (owner[0], owner[-1]))
    return key, f"{now} cells are occupied now and {later} at the end"


def _tracks(axes, frame, found, past):
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

    boxes = found.boxes
    footprints = corners(boxes)[:, FOOTPRINT, :2]
    colors = [color_of(each) for each in found.ids]
    axes.add_collection(
        PolyCollection(footprints, facecolors=colors, edgecolors=INK, linewidths=0.7, alpha=0.9, zorder=3)
    )
    for identity, trail in trails(frame, found, past).items():
        axes.plot(*trail.T, color=color_of(identity), linewidth=1.6, linestyle=":", zorder=2.5)
    for row in with_room(boxes.centers[:, :2], axes.get_xlim()[1] / 40 * np.array(LABEL)):
        axes.annotate(str(found.ids[row]), boxes.centers[row, :2], (4, 4), textcoords="offset points", fontsize=7,
                      color=INK, zorder=9, clip_on=True)  # fmt: skip
    key = [Line2D([], [], color=MUTED, linewidth=1.6, linestyle=":", label="where it was")] if len(past) else []
    identities = listed(map(str, found.ids)).replace(";", ",") or "none"
    return key, f"{len(found.ids)} tracks{tally(boxes.names)} with the identities {identities}"


def with_room(places: np.ndarray, size: np.ndarray) -> list[int]:
    """Rows of places [n, 2] whose labels of `size` (width, height) hide no other; the nearest to the vehicle first."""
    chosen: list[int] = []
    for row in np.argsort(np.hypot(*places.T), kind="stable").tolist():
        if all((np.abs(places[row] - places[other]) >= size).any() for other in chosen):
            chosen.append(row)
    return chosen


def trails(frame: Any, found: Any, past: Sequence) -> dict[int, np.ndarray]:
    """Identity -> places [n, 2] m in the lidar frame of `frame`, of those that are tracked now and were before."""
    here = np.linalg.inv(frame.ego2global @ frame.lidar2ego)
    places: dict[int, list] = {int(each): [] for each in found.ids}
    for before, then in [*past, (frame, found)]:
        boxes = transform(then.boxes, here @ before.ego2global @ before.lidar2ego, "lidar")
        for identity, center in zip(then.ids, boxes.centers, strict=True):
            if int(identity) in places:
                places[int(identity)].append(center[:2])
    return {identity: np.stack(trail) for identity, trail in places.items() if len(trail) > 1}


def _motion(axes, frame, found, past):
    from matplotlib.lines import Line2D

    centers, (modes, steps) = found.boxes.centers[:, :2], found.paths.shape[1:3]
    shown = min(steps, AHEAD)
    rows = moving(centers, found.paths[:, :, :shown], found.chances)
    for row in rows:
        for mode, path in enumerate(found.paths[row, :, :shown]):
            width, alpha = (2.2, 0.95) if mode == found.chances[row].argmax() else (0.7, 0.35)
            axes.plot(*np.vstack([centers[row], path]).T, color=color_of(found.ids[row]), linewidth=width, alpha=alpha,
                      zorder=2)  # fmt: skip
    names = {"likeliest future": 2.2, "other futures": 0.7}
    key = [Line2D([], [], color=MUTED, linewidth=width, label=name) for name, width in names.items()]
    near = f"{len(rows)} tracks that move within {NEAR:g} m"
    return key, f"of {near} the first {shown / 2:g} s of {modes} futures, the likeliest one thick"


def moving(centers: np.ndarray, paths: np.ndarray, chances: np.ndarray) -> list[int]:
    """Rows of objects near the vehicle whose likeliest path ends `MOVES` m away at least: of centers [n, 2],
    paths [n, modes, T, 2] and chances [n, modes].
    """
    ends = paths[np.arange(len(centers)), chances.argmax(1), -1]
    far, near = np.hypot(*(ends - centers).T) >= MOVES, np.hypot(*centers.T) <= NEAR
    return np.flatnonzero(far & near).tolist()


def _plan(axes, frame, found, past):
    from matplotlib.lines import Line2D

    driven = lidar_points(frame.future_path, frame.lidar2ego)
    lines = (("driven", driven - (lidar_points(np.zeros((1, 2)), frame.lidar2ego) if len(driven) else 0), DRIVEN, 6.0),
             ("planned", found.plan, PLAN, 2.0))  # fmt: skip
    for name, path, color, width in lines:
        axes.plot(*np.vstack([np.zeros((1, 2)), path]).T, color=color, linewidth=width, marker="o", markersize=3,
                  zorder=7 if name == "planned" else 6.5, solid_capstyle="round")  # fmt: skip
    key = [Line2D([], [], color=color, linewidth=width, label=name) for name, _, color, width in lines]
    x, y = found.plan[-1]
    return key, f"the plan ends {y:.1f} m ahead and {x:.1f} m to the right"


DRAWN = {"map": _map, "occupancy": _occupancy, "tracks": _tracks, "motion": _motion, "plan": _plan}
