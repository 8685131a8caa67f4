"""Turns of lessons that run at the same time: a cell tagged `timed` runs while no cell of another lesson does.

The lessons share a folder with two locks. Cells share `floor`, and a timed cell has it for itself. Whoever waits for it
holds `next`, so nobody overtakes; the system releases what a process held when that process ends, however it ends.
"""

import fcntl
import os
from pathlib import Path

TAG = "timed"


class Turns:
    """The turns of one lesson among those that share `folder`."""

    def __init__(self, folder):
        self.next, self.floor = (os.open(Path(folder, name), os.O_CREAT | os.O_RDWR) for name in ("next", "floor"))
        self.alone = False

    def take(self, alone):
        """End the turn before, and wait until a cell may run; one timed cell after another keeps the turn."""
        if alone and self.alone:
            return
        fcntl.flock(self.floor, fcntl.LOCK_UN)
        fcntl.flock(self.next, fcntl.LOCK_EX)
        fcntl.flock(self.floor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self.next, fcntl.LOCK_UN)
        self.alone = alone
