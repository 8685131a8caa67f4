"""Accuracy of where vehicles will be on the ground: IoU of occupied cells and VPQ of instances, near and far. No torch.

Both are taken over a sequence of maps, now and at the next half seconds, in cells of 0.5 m: near is the middle 30 x 30
m, far the whole map (100 x 100 m at the published size). Video panoptic quality asks that an instance keeps its id.
Sources: FIERY (arXiv:2104.10490) for VPQ, UniAD (arXiv:2212.10156) for the two ranges.
"""

from collections.abc import Iterable

import numpy as np

from helpers.arguments import array, typed
from helpers.errors import BadInput

CELL, NEAR = 0.5, 30.0  # m: a cell, and the side of what is near
RANGES = ("n", "f")  # near and far, as the measures are called
COLUMNS = ("both", "either", "overlap", "TP", "FP", "FN")


@typed
def counts(found: np.ndarray, label: np.ndarray, occupied: np.ndarray | None = None) -> np.ndarray:
    """Counts float64 [2, 6] of one sequence: rows near and far, columns `COLUMNS`. Sums of them are counts too.

    Args:
        found, label: ids of instances, whole numbers [T, H, W], 0 where nothing is; the same vehicle has the same id at
            every step. occupied: cells found, bool [T, H, W], if they are not those with an id.

    `both` and `either` are cells of all steps; `overlap` is the sum of the IoU of instances that match, `TP` their
    number.

    Raises:
        BadInput: no whole numbers, another shape, or an id below 0.
    """
    label = array("label", label, (None, None, None), "whole")
    found = array("found", found, label.shape, "whole")
    cells = found > 0 if occupied is None else np.asarray(occupied)
    if cells.dtype != bool or cells.shape != label.shape:
        raise BadInput("occupied", f"{cells.dtype} {list(cells.shape)}", f"bool {list(label.shape)}", "pass a mask")
    for name, ids in (("found", found), ("label", label)):
        if ids.size and ids.min() < 0:
            raise BadInput(name, f"id {ids.min()}", "ids above 0, and 0 for the ground", "number the instances from 1")
    return np.stack([_counts(*(part[middle] for part in (found, label, cells))) for middle in _ranges(label.shape)])


def _ranges(shape):
    """Slices of the maps, near and far."""
    starts = [max(0, round((size - NEAR / CELL) / 2)) for size in shape[1:]]
    near = tuple(slice(start, size - start) for start, size in zip(starts, shape[1:], strict=True))
    return (slice(None), *near), (slice(None),)


def _counts(found, label, cells):
    filled = label > 0
    total = np.array([(cells & filled).sum(), (cells | filled).sum(), 0, 0, 0, 0], np.float64)
    held: dict[int, int] = {}  # label's id -> found id of the last step in which they matched
    for step in range(len(label)):
        total[2:] += _step(found[step], label[step], held)
    return total


def _step(found, label, held):
    """overlap, TP, FP and FN of one map; updates who was matched with whom."""
    found_ids, found_at, found_sizes = np.unique(found, return_inverse=True, return_counts=True)
    label_ids, label_at, label_sizes = np.unique(label, return_inverse=True, return_counts=True)
    both = np.bincount(label_at.ravel() * len(found_ids) + found_at.ravel(), minlength=len(label_ids) * len(found_ids))
    both = both.reshape(len(label_ids), len(found_ids))
    iou = both / (label_sizes[:, None] + found_sizes[None] - both)
    iou[label_ids == 0], iou[:, found_ids == 0] = 0, 0  # the ground is no instance
    matches = np.argwhere(iou > 0.5)
    overlap = right = moved = 0
    for i, j in matches:
        one, other = int(label_ids[i]), int(found_ids[j])
        if held.get(one, other) == other:
            overlap, right = overlap + iou[i, j], right + 1
        else:
            moved += 1  # it has another id than before: wrong, and missed
        held[one] = other
    false, missed = ((ids > 0).sum() - len(matches) + moved for ids in (found_ids, label_ids))
    return overlap, right, false, missed


@typed
def rates(total: np.ndarray) -> dict[str, float]:
    """IoU, VPQ and its parts SQ (mean IoU of matches) and RQ (F1 of instances), near (`-n`) and far (`-f`), in percent.

    total: the sum of `counts`. NaN where there is nothing, neither found nor in the labels. SQ is of what matches
    alone: who loses the instances that it got wrong has the higher one. VPQ counts every instance, so compare by it.
    """
    total, made = array("total", total, (2, len(COLUMNS))), {}
    if (total < 0).any():
        raise BadInput("total", total.tolist(), "counts, none below 0", "add up `counts`")
    for name, (both, either, overlap, right, false, missed) in zip(RANGES, total.astype(np.float64), strict=True):
        instances = right + (false + missed) / 2
        for measure, part, whole in (
            ("IoU", both, either),
            ("VPQ", overlap, instances),
            ("SQ", overlap, right),
            ("RQ", right, instances),
        ):
            made[f"{measure}-{name}"] = float(100 * part / whole) if whole else float("nan")
    return made


@typed
def score(sequences: Iterable) -> dict[str, float]:
    """`rates` over (found, label) or (found, label, occupied) of many sequences, and `sequences`, their number.

    Raises:
        BadInput: no sequence, or as `counts`.
    """
    total, number = np.zeros((2, len(COLUMNS))), 0
    for one in sequences:
        if not isinstance(one, tuple | list) or len(one) not in (2, 3):
            found = f"{type(one).__name__}{f' of {len(one)}' if isinstance(one, tuple | list) else ''}"
            raise BadInput(f"sequence {number}", found, "found, label and maybe occupied", "give these arrays")
        total, number = total + counts(*one), number + 1
    if not number:
        raise BadInput("sequences", "none", "at least one to score", "score frames whose future is known")
    return rates(total) | {"sequences": number}
