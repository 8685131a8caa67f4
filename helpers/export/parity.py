"""An ONNX file held against the PyTorch model that it was exported from."""

from collections.abc import Iterable, Sequence
from itertools import tee

import numpy as np
import torch

from helpers import graph
from helpers.arguments import typed
from helpers.errors import BadInput, check_config
from helpers.files import PathLike
from helpers.graph import session
from helpers.sequence import Arrays, Step, as_steps, rollout


@typed
def check(path: PathLike, model: torch.nn.Module, frames: Iterable[Step | Arrays]) -> list[dict]:
    """Run frames in ONNX Runtime (CPU) and in PyTorch, each carrying its own states, and compare outputs.

    Args:
        path: ONNX file; custom nodes without a body get theirs from `helpers.ops` for the run.
        model: the module it was exported from, on the CPU.
        frames: steps of `helpers.dataset.stream`, or dicts name -> array, one per frame in order, without the states.
    Returns:
        One row per frame and output: frame, output, max_abs, rel = max|a-b| / max|b|, mean_rel = mean|a-b| / mean|b|,
        where a is ONNX Runtime and b is PyTorch.
    """
    check_config(getattr(model, "config", None), "states", "output_shapes", "initial_states")
    opened = session.open_session(graph.with_functions(graph.load(path)), where=path)
    names = list(model.config.output_shapes())

    def run_onnx(feeds):
        return dict(zip(names, session.run(opened, names, feeds, path), strict=True))

    def run_torch(feeds):
        with torch.no_grad():
            outputs = model(**{name: torch.from_numpy(np.asarray(array)) for name, array in feeds.items()})
        return {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}

    states, initial = model.config.states, model.config.initial_states()
    ours, theirs = tee(as_steps(frames))
    running = zip(rollout(run_onnx, ours, states, initial), rollout(run_torch, theirs, states, initial), strict=True)
    rows = []
    for index, ((_, _, a), (_, _, b)) in enumerate(running):
        rows += [{"frame": index, "output": name} | difference(a[name], b[name]) for name in names]
    return rows


@typed
def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """max_abs, rel and mean_rel of array `a` against the reference `b` of the same shape, or BadInput.

    A NaN on either side makes them NaN, and so do arrays without elements, of which nothing is known.
    """
    if a.shape != b.shape:
        raise BadInput("output", f"shape {list(a.shape)}", f"{list(b.shape)}, as in PyTorch", "export the model again")
    if not a.size:
        return dict.fromkeys(("max_abs", "rel", "mean_rel"), float("nan"))
    error = np.abs(a.astype(np.float64) - b)
    tiny = np.finfo(np.float32).tiny
    return {
        "max_abs": float(error.max()),
        "rel": float(error.max() / max(np.abs(b).max(), tiny)),
        "mean_rel": float(error.mean() / max(np.abs(b).mean(), tiny)),
    }


@typed
def assert_parity(rows: Sequence[dict], rel: float = 1e-4) -> None:
    """AssertionError naming the first frame and output of `check`'s rows whose relative error is above `rel` (or
    NaN).
    """
    assert rows, "no frame was compared"
    for row in rows:
        assert row["rel"] <= rel, (
            f"frame {row['frame']}: {row['output']} differs from PyTorch by {row['rel']:.2e} of its largest value "
            f"({row['max_abs']:.2e} absolute, {row['mean_rel']:.2e} on average); {rel:.0e} is allowed"
        )
