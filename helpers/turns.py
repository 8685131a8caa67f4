"""Turns of programs that share a machine: what measures time runs alone, and what runs long lets it pass.

The programs share a folder with two locks. What they run shares `floor`, and what is to be alone has it for itself.
Whoever waits for it holds `next`, so nobody overtakes; the system releases what a process held when it ends, however it
ends.
"""

import fcntl
import os
from pathlib import Path

VARIABLE = "ONRAMP_TURNS"  # in the environment of a child that has the turn of its parent: FOLDER:NEXT:FLOOR


class Turns:
    """The turns of one program among those that share `folder`.

    Args:
        descriptors: of the files of another object, which may be of the parent process: both then are one program.
    """

    def __init__(self, folder: str | Path, descriptors: tuple[int, int] | None = None) -> None:
        self.folder = Path(folder)
        opened = descriptors or [os.open(self.folder / name, os.O_CREAT | os.O_RDWR) for name in ("next", "floor")]
        self.descriptors = self.next, self.floor = tuple(opened)
        self.alone = False

    def take(self, alone: bool) -> None:
        """End the turn before, and wait until the next may begin; one alone after another keeps the turn."""
        if alone and self.alone:
            return
        fcntl.flock(self.floor, fcntl.LOCK_UN)
        fcntl.flock(self.next, fcntl.LOCK_EX)
        fcntl.flock(self.floor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self.next, fcntl.LOCK_UN)
        self.alone = alone

    def pause(self) -> None:
        """In a turn that is shared: let whoever waits to be alone go first."""
        if self._is_held("next") and not self._is_held("floor"):
            self.take(False)

    def variable(self) -> str:
        """The value of VARIABLE for a child that inherits `descriptors`."""
        return f"{self.folder}:{self.next}:{self.floor}"

    def _is_held(self, name):
        """Whether someone has a lock for himself."""
        probe = os.open(self.folder / name, os.O_RDWR)
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(probe)
        return False


def pause() -> None:
    """Between two steps of something long: let what waits to be alone go first; nothing where no turns are taken."""
    if value := os.environ.get(VARIABLE):
        folder, first, second = value.rsplit(":", 2)
        Turns(folder, (int(first), int(second))).pause()
