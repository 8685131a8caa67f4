"""What several runs may want at once: a new file, the first word about a folder, and a folder for oneself. Linux."""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from helpers import disk, temporary
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, check_target


def write_new(path: PathLike, text: str) -> Path:
    """Write `text` to a new file: `path`, or `stem-2`, `stem-3`, ... where that is taken; returns the file's path.

    The file is whole or absent, and never takes the place of another, whoever writes at the same time.

    Raises:
        BadInput: no file can be made there, or the disk is full.
    """
    path = as_path(path)
    free = (path.with_stem(f"{path.stem}-{number}") if number > 1 else path for number in itertools.count(1))
    return next(target for target in free if write_first(target, text))


def write_first(path: PathLike, text: str) -> bool:
    """Write `text` to a new file at `path`, whole or absent; False if there is something: of several runs one writes.

    Raises:
        BadInput: no file can be made there, or the disk is full.
    """
    path = as_path(path)
    check_target(path)
    with disk.errors(path, every=True), temporary.beside(path) as holder:
        part = holder / path.name
        part.write_text(text, encoding="utf-8")
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
            return True
    return False


@contextlib.contextmanager
def alone(folder: PathLike, work: str, fix: str) -> Iterator[None]:
    """Hold a folder, which is made, while the block runs; however this process ends, the system lets it go then.

    Args:
        work: what is done there, in words: "a run of lessons".
        fix: what who comes second can do but wait.

    Raises:
        BadInput: another process holds it, or the folder cannot be made.
    """
    folder = as_path(folder)
    with disk.errors(folder, every=True):
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks, where two have to know of each other
            _take(held, folder, work, fix)
        yield
    finally:
        os.close(held)


def _take(held, folder, work, fix):
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        found = f"{work} that another process is at"
        raise BadInput(folder, found, "one at a time", f"wait for its end, or {fix}") from error
