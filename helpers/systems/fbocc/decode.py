"""Network outputs to Occ3D's labels. Needs no torch."""

import numpy as np

from helpers.errors import BadInput, foreign
from helpers.voxels import SHAPE


def decode(pred_occupancy: np.ndarray) -> np.ndarray:
    """Logits of one frame -> label of every voxel of 0.4 m, uint8 [200,200,16] along x, y, z, values 0..17.

    pred_occupancy [1,19,Y,X,Z]: channel 0 is what no label is made of, k + 1 is Occ3D's class k, 18 is free space. The
    logits of a volume half as large along an axis are interpolated linearly, as
    `torch.nn.functional.interpolate(align_corners=False)` does. Raises BadInput for another shape or values that are
    not finite.
    """
    with foreign("pred_occupancy", "an array [1,19,Y,X,Z]", "pass the network's output unchanged"):
        logits = np.asarray(pred_occupancy)
    fits = logits.ndim == 5 and logits.shape[:2] == (1, 19) and logits.dtype.kind in "fiu"
    if not fits or any(size not in (full, full // 2) for size, full in zip(_xyz(logits), SHAPE, strict=True)):
        expected = f"[1,19,Y,X,Z] of {SHAPE} voxels, or half as many along an axis"
        raise BadInput(
            "pred_occupancy", f"{logits.dtype}, shape {logits.shape}", expected, "pass the network's output unchanged"
        )
    bad = np.count_nonzero(~np.isfinite(logits))
    if bad:
        fix = "find the first bad tensor: python -m helpers divergence RIGHT.onnx YOURS.onnx"
        raise BadInput("pred_occupancy", f"{bad} values that are NaN or infinite", "finite values", fix)
    logits = logits[0, 1:].transpose(0, 2, 1, 3)
    for axis, full in enumerate(SHAPE, 1):
        if logits.shape[axis] != full:
            logits = _doubled(logits, axis)
    return logits.argmax(0).astype(np.uint8)


def _xyz(logits):
    y, x, z = logits.shape[2:]
    return x, y, z


def _doubled(values, axis):
    """Twice as many samples along an axis, each a quarter of a step beside an old one; the outermost are repeated."""
    values = np.moveaxis(values, axis, 0)
    near = np.float32(0.75) * values
    before = near + np.float32(0.25) * np.concatenate([values[:1], values[:-1]])
    after = near + np.float32(0.25) * np.concatenate([values[1:], values[-1:]])
    return np.moveaxis(np.stack([before, after], 1).reshape(2 * len(values), *values.shape[1:]), 0, axis)
