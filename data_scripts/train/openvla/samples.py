"""Observations of tabletops as the tensors that a step of training takes."""

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data_scripts import make_tabletop
from data_scripts.tabletop import render, text
from data_scripts.tabletop.render import TALL, WIDTH
from data_scripts.tabletop.text import CELL
from data_scripts.tabletop.world import COLORS
from helpers.errors import BadInput
from helpers.llm.tokenizer import Tokenizer
from helpers.systems.openvla.decode import Statistics, encode, normalize
from helpers.systems.openvla.inputs import fitted, prompt

LENGTH = 64  # tokens of a row: prompt, reasoning, action and end


@dataclass(frozen=True)
class Samples:
    """pictures: uint8 [N, H, W, 3]. ids: int64 [N, T], filled up on the right with 0. asked, ends: [N], tokens of the
    prompt, and of the whole. places: [N, 7, 2], column and row of each color's thing, and of the gripper, in 0..1 of
    the picture; NaN where there is none.
    """

    pictures: Tensor
    ids: Tensor
    asked: Tensor
    ends: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def map(self, change: Any) -> "Samples":
        """The same with each tensor changed."""
        return Samples(*(change(getattr(self, field.name)) for field in fields(self)))


@dataclass(frozen=True)
class Task:
    """What turns an observation into a row."""

    config: Any
    tokenizer: Tokenizer
    statistics: Statistics

    def row(self, image: np.ndarray, instruction: str, reasoning: str, action: np.ndarray) -> tuple:
        """Picture, ids, asked, end and places of one observation."""
        question = self.tokenizer.encode(prompt(instruction, self.config))
        tokens = map(int, encode(normalize(action, self.statistics), self.config))
        said = [self.tokenizer.encode(word)[1:] for word in reasoning.split(" ")]  # no merge goes beyond a word
        ids = [*question, *itertools.chain(*said), *tokens, self.tokenizer.eos]
        if len(ids) > LENGTH:
            raise BadInput(f"{instruction!r} and its reasoning", f"{len(ids)} tokens", f"at most {LENGTH}", "say less")
        padded = ids + [0] * (LENGTH - len(ids))
        return (
            fitted(image, self.config, self.config.towers[0]),
            padded,
            len(question),
            len(ids),
            told_places(reasoning),
        )


def of_rows(rows: Sequence[tuple]) -> Samples:
    """Rows of `Task.row` under each other."""
    pictures, ids, asked, ends, places = zip(*rows, strict=True)
    numbers = (torch.tensor(each) for each in (ids, asked, ends, places))
    return Samples(torch.from_numpy(np.stack(pictures)), *numbers)


def fresh(task: Task, first: int, episodes: int, seed: int, wander: float) -> Samples:
    """The states of new episodes; half of the pictures have been through JPEG, as those of a folder have."""
    rows = []
    for number in range(first, first + episodes):
        for k, state in enumerate(make_tabletop.states(number, seed, wander)):
            image = render.render(state, 10 * number + k)
            seen = compressed(image) if (number + k) % 2 else image
            rows.append(task.row(seen, state.instruction, text.reasoning(state), state.expert()))
    return of_rows(rows)


def compressed(image: np.ndarray) -> np.ndarray:
    """A picture as it is after a file of `make_tabletop`."""
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=make_tabletop.QUALITY)
    return np.asarray(Image.open(held))


def told_places(reasoning):
    """Where a text says that the things of each color and the gripper are, as `Samples.places` has them."""
    found = {}
    for name, column, row in re.findall(r"(\w+:?(?: \w+)?) \[(\d+), (\d+)\]", reasoning):
        word = name.split()[0] if name.split()[0] in COLORS else "gripper"
        found[word] = ((int(column) + 0.5) * CELL / WIDTH, (int(row) + 0.5) * CELL / TALL)
    return [found.get(word, (float("nan"), float("nan"))) for word in (*COLORS, "gripper")]


def pixel_values(pictures: Tensor, config) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3 * towers, H, W], as `helpers.systems.openvla.inputs.normalized` does it."""
    values = pictures.permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor([getattr(tower, name) for tower in config.towers], device=values.device)
        for name in ("mean", "std")
    )
    parts = (values[:, None] - mean[..., None, None]) / std[..., None, None]
    return parts.flatten(1, 2)
