"""Which scenes a process evaluates: the same answer in every process, without a word between them."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from helpers.errors import BadInput

RANK, WORLD_SIZE = "RANK", "WORLD_SIZE"  # of torchrun
MOST = 1 << 20  # processes


@dataclass(frozen=True)
class Worker:
    """One of `count` processes, `rank` from 0.

    Raises BadInput for numbers that do not fit each other.
    """

    rank: int = 0
    count: int = 1

    def __post_init__(self):
        if not 0 <= self.rank < self.count <= MOST:
            found = f"{RANK}={self.rank}, {WORLD_SIZE}={self.count}"
            expected = f"0 <= {RANK} < {WORLD_SIZE} <= {MOST}"
            raise BadInput("worker", found, expected, "start the processes with torchrun")

    def __str__(self):
        return "evaluate" if self.count == 1 else f"evaluate {self.rank + 1}/{self.count}"

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> "Worker":
        """What torchrun says in RANK and WORLD_SIZE; the only one where it says nothing.

        Raises:
            BadInput: one of the two alone, or no whole numbers that fit each other.
        """
        given = {name: variables[name] for name in (RANK, WORLD_SIZE) if name in variables}
        if not given:
            return cls()
        if len(given) < 2 or not all(value.isascii() and value.isdigit() for value in given.values()):
            found = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise BadInput("environment", found, f"whole numbers in {RANK} and {WORLD_SIZE}", "set both, or neither")
        return cls(int(given[RANK]), int(given[WORLD_SIZE]))

    def share(self, scenes: Mapping[str, Collection[str]]) -> list[str]:
        """This process's scenes, in order: the longest first, each to the process with the fewest frames so far."""
        loads, mine = [0] * self.count, set()
        for scene in sorted(scenes, key=lambda scene: -len(scenes[scene])):
            least = loads.index(min(loads))
            loads[least] += len(scenes[scene])
            if least == self.rank:
                mine.add(scene)
        return [scene for scene in scenes if scene in mine]
