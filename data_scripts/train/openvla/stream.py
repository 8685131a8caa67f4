"""New tables, rendered by worker processes while the training goes on, and the store that batches are drawn of."""

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from data_scripts.train import recipe
from data_scripts.train.openvla.samples import Samples, Task, fresh

EPISODES = 24  # that a worker makes at a time
AHEAD = 2  # of such tasks, for each worker


def made(*arguments: Any) -> list[np.ndarray]:
    """`samples.fresh` as arrays: they go through a pipe, where tensors would take a file each of shared memory."""
    return [tensor.numpy() for tensor in vars(fresh(*arguments)).values()]


class Stream:
    """Samples of ever new episodes, from number `first` on. `taken` counts the episodes that were handed out."""

    def __init__(self, task: Task, workers: int, seed: int, wander: float, first: int = 0) -> None:
        self.task, self.seed, self.wander, self.taken = task, seed, wander, 0
        self._numbers = itertools.count(first, EPISODES)
        self._pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=recipe.begin_worker, initargs=(os.getpid(),)
        )
        self._running = {self._submit() for _ in range(AHEAD * workers)}

    def _submit(self) -> Future:
        return self._pool.submit(made, self.task, next(self._numbers), EPISODES, self.seed, self.wander)

    def ready(self, block: bool = False) -> Iterator[Samples]:
        """What is done; with `block` at least one."""
        done, self._running = wait(self._running, None if block else 0, FIRST_COMPLETED)
        for each in done:
            self._running.add(self._submit())
            self.taken += EPISODES
            yield Samples(*map(torch.from_numpy, each.result()))

    def close(self) -> None:
        """End the workers; what they are at is dropped."""
        self._pool.shutdown(cancel_futures=True)


class Store:
    """The newest `size` samples on a device."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size, self.device, self.held, self._next = size, device, 0, 0
        self._kept: Samples | None = None

    def add(self, samples: Samples) -> None:
        """Take them in, in the place of the oldest where it is full."""
        if self._kept is None:
            self._kept = samples.map(
                lambda tensor: torch.empty((self.size, *tensor.shape[1:]), dtype=tensor.dtype, device=self.device)
            )
        rows = (self._next + torch.arange(len(samples))) % self.size
        samples = samples.map(lambda tensor: tensor.to(self.device))
        kept, rows = vars(self._kept), rows.to(self.device)
        for name, tensor in vars(samples).items():
            kept[name][rows] = tensor
        self._next = (self._next + len(samples)) % self.size
        self.held = min(self.size, self.held + len(samples))

    def batch(self, count: int) -> Samples:
        """`count` of them at random, one or the other more than once."""
        if self._kept is None:
            raise ValueError("nothing was added yet")
        chosen = torch.randint(self.held, (count,), device=self.device)
        return self._kept.map(lambda tensor: tensor[chosen])
