"""Planned paths against what the driver did: L2, collisions, road boundary, as OmniDrive's evaluation defines them.

A path is float64 [6,2]: x forward and y left in m, in the vehicle's frame now, at the next six half seconds. Scored are
frames whose six next key frames are there. Two ways to give the L2 at k seconds are in use and both are told: the mean
over the first 2k points ("mean", of ST-P3 and OmniDrive), and the distance at that time alone ("at", of UniAD).
Source: OmniDrive (arXiv:2405.01533), evaluation of open-loop planning; ST-P3 (arXiv:2207.07601). No torch.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from helpers.arguments import array, typed
from helpers.dataset import Dataset, Frame
from helpers.dataset.questions import FARTHEST, POINTS, parse_path
from helpers.errors import BadInput
from helpers.metrics.planning import answers
from helpers.metrics.planning.baselines import BASELINES
from helpers.metrics.planning.surroundings import Surroundings

__all__ = ["BASELINES", "Surroundings", "baseline", "eval_planning", "measure", "score", "summary"]

SECONDS = (1, 2, 3)
Row = dict[str, float]


@typed
def measure(path: np.ndarray, frame: Frame, around: Surroundings) -> Row:
    """What one path is worth: `L2/mean@Ks` and `L2/at@Ks` in m, `collision@Ks` and `boundary@Ks` 0 or 1, K = 1, 2, 3.

    Raises:
        BadInput: a path of another shape or not finite, or a frame whose future is not known.
    """
    path = _path(path, f"path of {frame.token}")
    if len(frame.future_path) != POINTS:
        found = f"{len(frame.future_path)} key frames after this one"
        raise BadInput(f"frame {frame.token}", found, f"{POINTS}", "score the frames whose future is known")
    distance = np.hypot(*(path - frame.future_path).T)
    hit = around.collisions(path) & ~around.collisions(frame.future_path)
    off, at_start = around.off_road(path)
    row: Row = {}
    for second in SECONDS:
        steps = slice(0, 2 * second)
        row[f"L2/mean@{second}s"] = float(distance[steps].mean())
        row[f"L2/at@{second}s"] = float(distance[2 * second - 1])
        row[f"collision@{second}s"] = float(hit[steps].any())
        row[f"boundary@{second}s"] = float(off[steps].any() and not at_start)
    return row


@typed
def summary(rows: Iterable) -> dict[str, float]:
    """Means of what `measure` gives, and `samples`, their number; distances in m, rates as shares from 0 to 1.

    Raises:
        BadInput: no row, or one that is no table of the same names.
    """
    rows = list(rows)
    if not rows:
        raise BadInput("planned paths", "none to score", "one at least", "score frames whose future is known")
    if wrong := [row for row in rows if not isinstance(row, dict) or row.keys() != rows[0].keys()]:
        raise BadInput("planned paths", f"{wrong[0]!r:.80}", "rows of `measure`", "pass what `measure` gives")
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} | {"samples": len(rows)}


@typed
def score(paths: dict[str, np.ndarray | None], dataset: Dataset, progress: bool = False) -> dict[str, float]:
    """Metrics of planned paths by sample token; None stands for an answer without a path.

    Returns:
        `summary` of those that have a path and a known future, and `parsed`, the share of all answers with a path. As
        OmniDrive's evaluation has it, an answer without a path counts in nothing else: who gives none where it is far
        off has lower distances. So hold `parsed` beside them, and compare those of equal `samples`.

    Raises:
        BadInput: a token that is not in the data set, no path to score, or a path of another shape.
    """
    places = {token: i for i, token in enumerate(dataset.tokens)}
    if unknown := [token for token in paths if token not in places]:
        found = f"{len(unknown)} tokens not in the split, first {unknown[0]!r:.60}"
        raise BadInput("paths", found, f"sample tokens of split {dataset.split!r}", "score the split that was run")
    rows = []
    for token in tqdm(sorted(paths, key=places.__getitem__), "planning", disable=not progress, unit="frame"):
        frame = dataset[places[token]]
        path = paths[token]
        if path is not None and len(frame.future_path) == POINTS:
            rows.append(measure(path, frame, Surroundings.of(dataset, frame)))
    parsed = sum(path is not None for path in paths.values())
    return summary(rows) | {"parsed": parsed / len(paths)}


@typed
def eval_planning(folder: str | Path, dataset: Dataset, progress: bool = True) -> dict[str, float]:
    """Metrics of a folder of saved answers, one file for each sample token (`answers.save`).

    Returns:
        As `score`, and `missing`: samples of the split without a file, which count for nothing else.

    Raises:
        BadInput: no folder, no file of the split in it, or a file that holds something else.
    """
    said = answers.read(folder, dataset.tokens)
    found = score({token: parse_path(text) for token, text in said.items()}, dataset, progress)
    return found | {"missing": len(dataset) - len(said)}


@typed
def baseline(planner: str | Callable[[Frame], np.ndarray], dataset: Dataset) -> dict[str, float]:
    """Metrics of a planner that sees a frame's own motion alone: a name of `BASELINES`, or frame -> path."""
    if isinstance(planner, str):
        if planner not in BASELINES:
            raise BadInput("baseline", repr(planner), f"one of {', '.join(BASELINES)}", "correct the name")
        planner = BASELINES[planner]
    return score({frame.token: planner(frame) for frame in dataset}, dataset)


def _path(path, where):
    found = array(where, path, (POINTS, 2)).astype(np.float64)
    if (farthest := np.abs(found).max()) > FARTHEST:
        raise BadInput(where, f"{farthest:g} m away", f"up to {FARTHEST:g} m", "look at how the answer is read")
    return found
