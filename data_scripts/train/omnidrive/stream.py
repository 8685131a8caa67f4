"""New scenes, rendered by worker processes while the training goes on, and the store that streams walk through."""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_scripts.train.ahead import Ahead
from data_scripts.train.omnidrive.worlds import Arrays, scene
from helpers.dataset.questions import Question

Scene = tuple[Arrays, list[list[Question]]]
AGAIN = 0.03  # of all frames, before which a stream forgets


class Stream(Ahead):
    """Ever new scenes, from number `first` on. `taken` counts those that were handed out."""

    def __init__(self, config: Any, workers: int, seed: int, frames: int, first: int = 0) -> None:
        super().__init__(functools.partial(scene, seed=seed, frames=frames, config=config), workers, first)


class Store:
    """The newest `size` scenes, all of as many frames: arrays [size, frames, ...] on a device, questions apart."""

    def __init__(self, size: int, device: torch.device | str) -> None:
        self.size, self.device, self.held, self._next = size, torch.device(device), 0, 0
        self.arrays: dict[str, Tensor] = {}
        self.questions: list[list[list[Question]]] = []

    @property
    def frames(self) -> int:
        """Of each scene."""
        return next(iter(self.arrays.values())).shape[1]

    def add(self, scene: Scene) -> None:
        """Take a scene in, in the place of the oldest where it is full."""
        arrays, asked = scene
        for name, array in arrays.items():
            if name not in self.arrays:
                tensor = torch.from_numpy(array)
                self.arrays[name] = torch.empty((self.size, *tensor.shape), dtype=tensor.dtype, device=self.device)
            self.arrays[name][self._next] = torch.from_numpy(array).to(self.device)
        self.questions[self._next : self._next + 1] = [asked]
        self._next = (self._next + 1) % self.size
        self.held = max(self.held, self._next or self.size)

    def rows(self, scenes: np.ndarray, frames: np.ndarray) -> dict[str, Tensor]:
        """Frame `frames[b]` of scene `scenes[b]`, for every b."""
        where = tuple(torch.from_numpy(each).to(self.device) for each in (scenes, frames))
        return {name: array[where] for name, array in self.arrays.items()}


class Walks:
    """`count` streams that go through scenes of a store frame by frame, each by itself."""

    def __init__(self, store: Store, count: int, seed: int) -> None:
        self.store, self.random = store, np.random.default_rng(seed)
        self.scenes = self.random.integers(store.held, size=count)
        self.at = self.random.integers(store.frames, size=count)  # they begin apart from each other
        self._fresh = np.ones(count, bool)

    def next(self) -> tuple[dict[str, Tensor], np.ndarray]:
        """The next frame of each, and whether it is a stream's first: bool [count]."""
        ended = self.at == self.store.frames
        self.scenes[ended], self.at[ended] = self.random.integers(self.store.held, size=ended.sum()), 0
        first = self._fresh | (self.at == 0) | (self.random.random(len(self.at)) < AGAIN)
        rows = self.store.rows(self.scenes, self.at)
        self.at, self._fresh = self.at + 1, np.zeros_like(first)
        return rows, first
