"""Accuracy of occupancy: mIoU over the voxels that cameras see, as Occ3D scores it, and RayIoU. No torch.

mIoU: one histogram of label against prediction over all frames, intersection over union of each class but `free`, and
their mean. RayIoU (SparseOcc, arXiv:2312.17118): rays as of a LiDAR are followed in label and prediction to the first
voxel that is filled; a ray is right if the class is and if the distances differ by less than 1, 2 or 4 m.

Both protocols leave out of the mean what is neither in the labels nor predicted. So a class that the labels lack counts
with 0 once one voxel is predicted as it, and two networks have means over different classes: the worse one may have the
higher mean. To compare networks, or precisions of one, take `mIoU/labeled` and `RayIoU/labeled`, whose classes are
those of the labels.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from helpers.arguments import typed
from helpers.dataset import Dataset, Frame, occupancy
from helpers.dataset.occupancy import CLASSES, FREE, LOW, SHAPE, VOXEL, Occupancy
from helpers.errors import BadInput
from helpers.metrics.driven import Run, driven
from helpers.sequence import Step

THRESHOLDS = (1.0, 2.0, 4.0)  # m
STEEPEST, HIGHEST = 10, 0.21  # rays that meet the ground at 1 .. 10 heights of the sensor; rad above the horizon


@typed
def histogram(found: np.ndarray, label: Occupancy) -> np.ndarray:
    """Counts int64 [18,18] of (true class, predicted class) over the voxels that cameras see.

    found: predicted classes, integers [200,200,16]. Raises BadInput for another shape or kind, or a class above 17.
    """
    _check(found)
    pairs = label.semantics[label.mask_camera].astype(np.int64) * len(CLASSES) + found[label.mask_camera]
    return np.bincount(pairs, minlength=len(CLASSES) ** 2).reshape(len(CLASSES), len(CLASSES))


@typed
def mean_iou(counts: np.ndarray) -> dict[str, float]:
    """mIoU, `mIoU/labeled` and `IoU/CLASS` of every class but `free`, in percent, from counts [18,18] of `histogram`.

    mIoU is the mean over the classes that occur in label or prediction, as Occ3D has it; `mIoU/labeled` that over those
    that occur in the labels. NaN for a class that occurs in neither, and for a mean of nothing.
    """
    both, label = np.diag(counts).astype(np.float64), counts.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = 100 * (both / (counts.sum(0) + label - both))[:FREE]
    means = {"mIoU": _mean(iou), "mIoU/labeled": _mean(iou[label[:FREE] > 0])}
    return means | {f"IoU/{name}": float(value) for name, value in zip(CLASSES, iou, strict=False)}


@lru_cache(maxsize=1)
def lidar_directions() -> np.ndarray:
    """Unit vectors [R,3] of the rays of RayIoU: every degree of azimuth, elevations as of a LiDAR."""
    below = [-np.pi / 2 + np.arctan(k + 1) for k in range(STEEPEST)]
    step = below[-1] - below[-2]
    elevation = np.array([*below, *np.arange(below[-1] + step, HIGHEST + step, step)])
    azimuth = np.radians(np.arange(360))[:, None]
    flat = np.cos(elevation)
    rays = np.stack(np.broadcast_arrays(flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)), -1)
    return rays.reshape(-1, 3)


@typed
def first_hits(classes: np.ndarray, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class of the first filled voxel on each ray, `FREE` if there is none, and the distance in m to where it enters.

    classes [200,200,16]; origin [3] in ego, m, inside the volume; directions [R,3], unit vectors. Voxels are visited
    one by one (Amanatides and Woo, 1987).
    """
    position = (np.asarray(origin, np.float64) - LOW) / VOXEL
    if (position < 0).any() or (position >= SHAPE).any():
        raise BadInput("origin of rays", np.round(origin, 2), "a point inside the volume", "pass it in ego, in m")
    ahead = directions > 0
    with np.errstate(divide="ignore"):
        pace = np.abs(1 / directions)  # voxels of way per voxel along an axis
    cell = np.tile(np.floor(position).astype(np.int64), (len(directions), 1))
    with np.errstate(invalid="ignore"):
        next_wall = np.where(directions == 0, np.inf, np.where(ahead, cell + 1 - position, position - cell) * pace)
    step, way = np.where(ahead, 1, -1), np.zeros(len(directions))
    found, distance = np.full(len(directions), FREE), np.full(len(directions), np.inf)
    rays = np.arange(len(directions))
    while len(rays):
        here = classes[tuple(cell[rays].T)]
        hit = here != FREE
        found[rays[hit]], distance[rays[hit]] = here[hit], way[rays[hit]] * VOXEL
        rays = rays[~hit]
        axis = next_wall[rays].argmin(1)
        way[rays] = next_wall[rays, axis]
        next_wall[rays, axis] += pace[rays, axis]
        cell[rays, axis] += step[rays, axis]
        moved = cell[rays, axis]
        rays = rays[(moved >= 0) & (moved < np.array(SHAPE)[axis])]
    return found, distance


def ray_counts(found: np.ndarray, label: Occupancy, origin: np.ndarray) -> np.ndarray:
    """Rays of one frame that met something in the label: int64 [2 + len(THRESHOLDS), 17] by class.

    Rows: rays of the class in the label, in the prediction, and those right within each threshold. origin [3]: of the
    sensor in ego, m.
    """
    _check(found)
    directions = lidar_directions()
    true_class, true_way = _hits_of_label(
        label.semantics.tobytes(), label.semantics.dtype.str, tuple(map(float, origin))
    )
    met = true_class != FREE
    directions, true_class, true_way = directions[met], true_class[met], true_way[met]
    found_class, found_way = first_hits(found, origin, directions)
    with np.errstate(invalid="ignore"):
        error = np.where(found_class == true_class, np.abs(found_way - true_way), np.inf)
    groups = [true_class, found_class, *(true_class[error < limit] for limit in THRESHOLDS)]
    return np.stack([np.bincount(group, minlength=len(CLASSES))[:FREE] for group in groups])


@lru_cache(maxsize=32)
def _hits_of_label(semantics, dtype, origin):
    """`first_hits` of the rays of RayIoU in a label, which one scores many predictions against."""
    classes = np.frombuffer(semantics, dtype).reshape(SHAPE)
    return first_hits(classes, np.array(origin), lidar_directions())


@typed
def ray_iou(counts: np.ndarray) -> dict[str, float]:
    """RayIoU at every threshold, their mean, and `RayIoU/labeled`, in percent, from the sum of `ray_counts`.

    RayIoU is of the classes that a ray meets in label or prediction, as SparseOcc has it; `RayIoU/labeled`, a mean over
    the thresholds too, of those that a ray meets in the labels. NaN for a mean of nothing.
    """
    true, found, *right = counts.astype(np.float64)
    with np.errstate(invalid="ignore"):
        iou = [100 * each / (true + found - each) for each in right]
    values = list(map(_mean, iou))
    rows = {f"RayIoU@{limit:g}m": value for limit, value in zip(THRESHOLDS, values, strict=True)}
    labeled = float(np.mean([_mean(each[true > 0]) for each in iou]))
    return {"RayIoU": float(np.mean(values)), "RayIoU/labeled": labeled} | rows


@typed
def score(pairs: Iterable[tuple[Frame, np.ndarray]], dataset: Dataset, rays: bool = True) -> dict[str, float]:
    """`mean_iou` and, with `rays`, `ray_iou` of predicted classes [200,200,16], in percent; and frames.

    Raises:
        BadInput: no frame, labels that are missing, damaged or another frame's, a prediction of another shape.
    """
    counts, met = np.zeros((len(CLASSES),) * 2, np.int64), np.zeros((2 + len(THRESHOLDS), FREE), np.int64)
    frames, first = 0, {}
    for frame, found in pairs:
        label = occupancy.read(dataset.dataroot, frame)
        occupancy.check_apart(dataset.dataroot, frame, first.setdefault(label.digest, frame))
        counts += histogram(found, label)
        if rays:
            met += ray_counts(found, label, frame.lidar2ego[:3, 3])
        frames += 1
    if not frames:
        raise BadInput("frames", "none", "at least one frame to score", "score a split that has frames")
    return mean_iou(counts) | (ray_iou(met) if rays else {}) | {"frames": frames}


@typed
def evaluate(
    run: Run,
    dataset: Dataset,
    config: Any,
    steps: Iterable[Step] | None = None,
    progress: bool = True,
    rays: bool = True,
) -> dict[str, float]:
    """Occupancy metrics (`score`) of a network over a split, or over those `steps` of it that are given."""
    return score(driven(run, dataset, config, steps, progress), dataset, rays)


def _check(found):
    if not isinstance(found, np.ndarray) or found.shape != SHAPE or found.dtype.kind not in "ui":
        shown = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
        raise BadInput("predicted occupancy", shown, f"integers {list(SHAPE)}", "decode the network's outputs")
    if found.min() < 0 or found.max() > FREE:
        fix = "map the classes to helpers.dataset.occupancy.CLASSES"
        raise BadInput("predicted occupancy", f"classes {found.min()}..{found.max()}", f"0..{FREE}", fix)


def _mean(values):
    """The mean without NaN; NaN of nothing."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
