"""What alpha of SmoothQuant a network wants: its error for each, Linears alone in INT8."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers import temporary
from helpers.arguments import between, typed
from helpers.calibration import CalibrationReader
from helpers.errors import BadInput
from helpers.graph import session, walk
from helpers.graph.file import save
from helpers.quantize import linears, smoothing, source

ALPHAS = (None, 0.0, 0.25, 0.5, 0.75, 1.0)


@typed
def sweep(
    path: str | Path,
    calibration: str | Path,
    judged: str | Path | None = None,
    alphas: Sequence = ALPHAS,
    samples: int | None = None,
) -> list[dict[str, Any]]:
    """A row for each alpha, None being plain INT8: `alpha`, `error`, and `error/OUTPUT` of each output.

    An error is the distance from the floating-point outputs relative to their size, both in the L2 norm over all
    samples, infinite where an output is not finite; `error` is the largest.

    Args:
        calibration: the set that ranges are measured on. judged: the set that is scored, of the same form; None for the
            same, where nothing is cut and a large alpha looks better than it is. samples: score only the first so many.

    Raises:
        BadInput: as `smoothing.quantize_linears`, or no alpha.
    """
    if not alphas:
        raise BadInput("alphas", "none", "one at least", "pass numbers from 0 to 1, and None for plain INT8")
    for alpha in alphas:
        if alpha is not None:
            between("alpha", alpha, 0.0, 1.0)
    path = Path(path)
    model, reader = smoothing.opened(path, calibration)
    types, names = source.types_of(model, path), [value.name for value in model.graph.output]
    scored = calibration if judged is None else judged
    judge = CalibrationReader(scored, source.shapes_of(model, path, scored), samples, False, types)
    reference, groups = _outputs(path, judge, names), smoothing.measure(model, reader, (), path)
    rows = []
    with temporary.scratch() as folder:
        for alpha in alphas:
            quantized = walk.copy(model)
            linears.place(quantized, groups if alpha is None else smoothing.apply(quantized, groups, alpha), path)
            found = _outputs(save(quantized, folder / "quantized.onnx"), judge, names)
            errors = {name: _distance(found[name], reference[name]) for name in names}
            each = {f"error/{name}": error for name, error in errors.items()}
            rows.append({"alpha": alpha, "error": max(errors.values())} | each)
    return rows


def _outputs(path, reader, names):
    """Output -> its arrays over the set, every operator as it is written."""
    opened, found = session.open_session(path, "basic"), {name: [] for name in names}
    needed = [value.name for value in opened.get_inputs()]
    for sample in reader:
        arrays = session.run(opened, names, {name: sample[name] for name in needed}, path)
        for name, array in zip(names, arrays, strict=True):
            found[name].append(np.asarray(array, np.float64))
    return found


def _distance(found, reference):
    """Relative to the reference; infinite where one of the two is not a number."""
    square = sum(float(np.sum((a - b) ** 2)) for a, b in zip(found, reference, strict=True))
    size = sum(float(np.sum(b**2)) for b in reference)
    if not np.isfinite(square + size):
        return float("inf")
    return float(np.sqrt(square / size)) if size else float(square > 0)
