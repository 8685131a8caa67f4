"""One process in which libFuzzer chooses the inputs of a door, by what code of the helpers they reach.

    python -m ci.fuzz DOOR --guided 300             # seconds; runs this module
    python -m ci.fuzz.guided DOOR FOLDER FILE       # one input again, with an empty folder for the door

Needs atheris (requirements/fuzz.txt). A door makes its inputs by throwing dice; here the dice are the bytes that
libFuzzer mutates, so every door is guided without a corpus of its own. The process ends at the first input whose
verdict is bad: libFuzzer says it and keeps the bytes in build/fuzz/DOOR/.
"""

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import atheris


class Given(Random):
    """A source of random numbers that are the given bytes, and when these are used up, those of a seed."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = data

    def getrandbits(self, bits: int, /) -> int:
        """A whole number of so many bits."""
        size = (bits + 7) // 8
        if len(self._left) < size:
            return super().getrandbits(bits)
        taken, self._left = self._left[:size], self._left[size:]
        return int.from_bytes(taken, "little") >> (8 * size - bits)

    def random(self) -> float:
        """A number from 0 to below 1."""
        return self.getrandbits(16) / 2**16


def main(argv: Sequence[str]) -> None:
    """Guide the door argv[0] in the folder argv[1]; the rest are libFuzzer's arguments. Does not return."""
    name, common, *settings = argv
    with atheris.instrument_imports(include=["helpers"]):
        from ci.fuzz.door import BAD, outcome
        from ci.fuzz.doors import DOORS

        door = DOORS[name]
        door.prepare(Path(common))

    def attempt(data: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="input-", dir=common) as folder, contextlib.chdir(folder):
            door.make(Given(data), Path(common), Path(folder))
            verdict, said = outcome(door, Path(folder))
        if verdict in BAD:
            raise AssertionError(f"{verdict}: {said}")

    atheris.Setup([name, *settings], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
