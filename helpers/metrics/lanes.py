"""Accuracy of a map: IoU of what is drawn on the road, and of the road, over all frames together. No torch.

IoU-lane takes dividers, crossings and contours as one mask. Source: UniAD (arXiv:2212.10156), which names the classes.
"""

from collections.abc import Iterable

import numpy as np

from helpers.arguments import array, typed
from helpers.errors import BadInput

CLASSES = ("divider", "crossing", "contour")
ROWS = ("IoU-lane", *(f"IoU/{name}" for name in CLASSES), "IoU/drivable")


@typed
def counts(lanes: np.ndarray, road: np.ndarray, true_lanes: np.ndarray, true_road: np.ndarray) -> np.ndarray:
    """Cells int64 [5, 2] of one frame, in both and in either of found and label, of each of `ROWS`.

    Args:
        lanes, true_lanes: bool [3, H, W], cells of each of `CLASSES`. road, true_road: bool [H, W], cells to drive on.

    Raises:
        BadInput: masks that are not bool, or of different shapes.
    """
    pairs = ((lanes, true_lanes, (len(CLASSES), None, None), "lanes"), (road, true_road, (None, None), "road"))
    masks = [(_mask(found, shape, name), _mask(label, shape, f"true_{name}")) for found, label, shape, name in pairs]
    shapes = {mask.shape[-2:] for pair in masks for mask in pair}
    if len(shapes) > 1:
        raise BadInput("lanes, road", f"maps of {sorted(shapes)} cells", "one size for all", "resample the maps")
    (lanes, true_lanes), (road, true_road) = masks
    found = [lanes.any(0), *lanes, road]
    label = [true_lanes.any(0), *true_lanes, true_road]
    return np.array([((a & b).sum(), (a | b).sum()) for a, b in zip(found, label, strict=True)], np.int64)


def _mask(values, shape, name):
    values = np.asarray(values)
    if values.dtype != bool:
        raise BadInput(name, f"{values.dtype} {list(values.shape)}", "a mask of bool", "compare with a threshold first")
    return array(name, values.astype(np.uint8), shape).astype(bool)


@typed
def rates(total: np.ndarray) -> dict[str, float]:
    """IoU from 0 to 1 of each of `ROWS` from the sum of `counts`; NaN for what is neither found nor in the labels."""
    total = array("total", total, (len(ROWS), 2))
    if not ((total[:, 0] >= 0) & (total[:, 0] <= total[:, 1])).all():
        raise BadInput("total", total.tolist(), "cells in both, no more than those in either", "add up `counts`")
    return {name: float(both / either) if either else float("nan")
            for name, (both, either) in zip(ROWS, total, strict=True)}  # fmt: skip


@typed
def score(frames: Iterable) -> dict[str, float]:
    """`rates` over (lanes, road, true_lanes, true_road) of many frames, and `frames`, their number.

    Raises:
        BadInput: no frame, or as `counts`.
    """
    total, number = np.zeros((len(ROWS), 2), np.int64), 0
    for one in frames:
        if not isinstance(one, tuple | list) or len(one) != 4:
            found = f"{type(one).__name__}{f' of {len(one)}' if isinstance(one, tuple | list) else ''}"
            raise BadInput(f"frame {number}", found, "lanes, road, true_lanes, true_road", "give all four masks")
        total, number = total + counts(*one), number + 1
    if not number:
        raise BadInput("frames", "none", "at least one to score", "score a split that has frames")
    return rates(total) | {"frames": number}
