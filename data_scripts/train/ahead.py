"""What worker processes make while a training goes on: ever new pieces of data, by their numbers."""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

from data_scripts.train import recipe

TASKS = 2  # at a time, for each worker


class Ahead:
    """The results of `make(number)` for number `first`, `first + step`, ..., each as soon as it is done.

    make: goes to the workers and has to be found there by its name. taken: numbers that were handed out.
    """

    def __init__(self, make: Callable[[int], Any], workers: int, first: int = 0, step: int = 1) -> None:
        self.make, self.step, self.taken = make, step, 0
        self._numbers = itertools.count(first, step)
        self._pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=recipe.begin_worker, initargs=(os.getpid(),)
        )
        self._running = {self._submit() for _ in range(TASKS * workers)}

    def _submit(self) -> Future:
        return self._pool.submit(self.make, next(self._numbers))

    def ready(self, block: bool = False) -> Iterator[Any]:
        """What is done; with `block` at least one."""
        done, self._running = wait(self._running, None if block else 0, FIRST_COMPLETED)
        for each in done:
            self._running.add(self._submit())
            self.taken += self.step
            yield each.result()

    def close(self) -> None:
        """End the workers; what they are at is finished and dropped."""
        self._pool.shutdown(cancel_futures=True)
