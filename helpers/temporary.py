"""Temporary folders that go with their process: removed when it is done, and if it was killed, by the next that comes.

Such a folder is called `.NAME.xxxxxxxx.part`. Its process holds a lock on it, which the system releases when that
process is gone, however it ended; whoever makes another one in the same place removes those that nobody holds.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAME = re.compile(r"\.(?P<target>.+)\.[a-z0-9_]{8}\.part")
REPLACED = "replaced"  # within such a folder: what stood in the target's place


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a new empty folder in the folder of `path`, which exists; it is removed at the end of the block.

    Raises:
        OSError: no folder can be made there.
    """
    sweep(path.parent)
    folder, lock = _held(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new empty folder where the system keeps temporary files; it is removed at the end of the block."""
    with beside(Path(tempfile.gettempdir(), "onramp")) as folder:
        yield folder


def sweep(parent: Path) -> None:
    """Remove the temporary folders in `parent` whose processes are gone; what one of them had put aside comes back."""
    for match in filter(None, map(NAME.fullmatch, os.listdir(parent))):
        path, target = parent / match[0], parent / match["target"]
        with contextlib.suppress(OSError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if (path / REPLACED).exists() and not target.exists():
                os.rename(path / REPLACED, target)
            shutil.rmtree(path, ignore_errors=True)


def _held(path):
    """(a new folder beside `path`, the descriptor that holds its lock)."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # somebody swept it
        with contextlib.suppress(OSError):  # a file system without locks, where nothing is swept either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # somebody swept it before it was locked


@contextlib.contextmanager
def _locked(folder, how):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
