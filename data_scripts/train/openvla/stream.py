"""New tables, rendered by worker processes while the training goes on, and the store that batches are drawn of."""

import functools
from collections.abc import Iterator

import numpy as np
import torch

from data_scripts.train.ahead import Ahead
from data_scripts.train.openvla.samples import Samples, Task, fresh

EPISODES = 24  # that a worker makes at a time


def made(number: int, task: Task, episodes: int, seed: int, wander: float) -> list[np.ndarray]:
    """`samples.fresh` as arrays: they go through a pipe, where tensors would take a file each of shared memory."""
    return [tensor.numpy() for tensor in vars(fresh(task, number, episodes, seed, wander)).values()]


class Stream(Ahead):
    """Samples of ever new episodes, from number `first` on. `taken` counts the episodes that were handed out."""

    def __init__(self, task: Task, workers: int, seed: int, wander: float, first: int = 0) -> None:
        make = functools.partial(made, task=task, episodes=EPISODES, seed=seed, wander=wander)
        super().__init__(make, workers, first, EPISODES)

    def ready(self, block: bool = False) -> Iterator[Samples]:
        """What is done; with `block` at least one."""
        for arrays in super().ready(block):
            yield Samples(*map(torch.from_numpy, arrays))


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
