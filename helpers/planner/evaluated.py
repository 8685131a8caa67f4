"""An evaluation that asks for the path too: of each frame the boxes and the answer are kept, and both are scored."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from helpers.dataset import Dataset, Frame
from helpers.dataset.questions import PLANNING_QUESTION, parse_path
from helpers.errors import BadInput
from helpers.evaluate.store import AGAIN
from helpers.evaluate.tasks import Detection, Results
from helpers.files import PathLike, as_path
from helpers.metrics import planning
from helpers.metrics.planning import answers
from helpers.planner import Planner
from helpers.sequence import Arrays
from helpers.systems.base import Config

ANSWERS = "answers"  # the folder of saved answers within that of the evaluation


class Seeing:
    """A configuration that decodes boxes and the table beside them, (Boxes, [rows, hidden_size]); the rest is its own.

    Raises BadInput for a system that has no table.
    """

    def __init__(self, config: Config) -> None:
        if not config.table:
            fix = "leave --language out"
            raise BadInput(f"config {config.name!r}", "no table for a language model", "a system that has one", fix)
        self.config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self.config, name)

    def decode(self, outputs: Arrays) -> Any:
        """What the configuration decodes, and the table of the frame."""
        return self.config.decode(outputs), outputs[self.config.table][0]


class Planning(Detection):
    """Boxes, and the answer of a planner, which is saved to `folder`/answers too, as `helpers planning` reads it."""

    def __init__(self, open_planner: Callable[[], Planner], folder: PathLike) -> None:
        """open_planner: is called when the first frame without an answer comes."""
        self._open, self.folder = open_planner, as_path(folder) / ANSWERS

    @cached_property
    def planner(self) -> Planner:
        """What answers."""
        return self._open()

    def keep(self, frame: Frame, found: Any, dataset: Dataset) -> Arrays:
        """The boxes, and answer uint8 [n], the text in UTF-8."""
        boxes, table = found
        text = self.planner.answer(table, frame.location).text
        answers.save(self.folder, frame.token, [(PLANNING_QUESTION, text)])
        return super().keep(frame, boxes, dataset) | {"answer": np.frombuffer(text.encode(), np.uint8)}

    def total(self, results: Results, dataset: Dataset) -> dict[str, float]:
        """The metrics of boxes, and `planning/...`: L2, collisions, boundary, and the share that has a path."""
        paths, kept = {}, []
        for token, arrays in results:
            paths[token] = parse_path(_answer(arrays, token))
            kept.append((token, arrays))
        found = scored(paths, dataset)
        return super().total(kept, dataset) | {f"planning/{name}": value for name, value in found.items()}


def scored(paths: dict[str, np.ndarray | None], dataset: Dataset) -> dict[str, float]:
    """As `helpers.metrics.planning.score`; the share that has a path alone, where none of them has a known future."""
    if any(paths.get(token) is not None for token in _with_future(dataset)):
        return planning.score(paths, dataset)
    return {"parsed": sum(path is not None for path in paths.values()) / len(paths)}


def _with_future(dataset):
    return (frame.token for frame in dataset if len(frame.future_path) == planning.POINTS)


def _answer(arrays, token):
    if "answer" not in arrays or arrays["answer"].dtype != np.uint8:
        raise BadInput(
            f"result of {token}", f"arrays {', '.join(arrays) or 'none'}", "an array 'answer' of bytes", AGAIN
        )
    return arrays["answer"].tobytes().decode("utf-8", "replace")
