"""Where the project's files are, how to write one so that it is whole or absent, and how to read one."""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from helpers import disk, temporary
from helpers.arguments import typed
from helpers.errors import BadInput, foreign

ROOT = Path(__file__).resolve().parents[1]
PathLike = str | os.PathLike[str]
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
MOST = 64 << 20  # bytes of a file that is read as a whole, where nothing else is said
LARGE, SETTLED = 64 << 20, 2.0  # bytes of a file whose digest is kept; seconds, more than the grain of a file's times
NOTHING, ENDLESS = "no such file", "a device or a pipe"
_digests: dict[tuple[Any, ...], str] = {}


@typed
def as_path(path: PathLike, expected: str = "a path that can be looked up", fix: str = "correct the path") -> Path:
    """`path` as a Path that may be asked what is there: the door of all paths that come from outside.

    Raises:
        BadInput: no text, a NUL or half a character in it, a name that is too long, a ring of links, or a
            folder that may not be entered. That nothing is there is no error.
    """
    path = Path(path)
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise BadInput(path, getattr(error, "strerror", None) or f"no path ({error})", expected, fix) from error
    return path


def found_at(path: PathLike) -> str:
    """What is at a path, links followed: "a file", "a folder", "a device or a pipe" or "no such file"."""
    path = as_path(path)
    try:
        mode = path.stat().st_mode  # asked once: what is there may come or go meanwhile
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING
    return "a file" if stat.S_ISREG(mode) else "a folder" if stat.S_ISDIR(mode) else ENDLESS


@contextlib.contextmanager
def atomic(path: PathLike, folder: bool = False, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it to `path` if the block succeeds, remove it if it does not.

    With `folder=True` the temporary path is an existing empty folder and replaces an existing `path` folder. With
    `new=True` nothing is replaced but an empty folder, whoever else writes `path` meanwhile.

    Raises:
        BadInput: `path` cannot be made or replaced, something came there meanwhile that `new` keeps, or the disk is
            full. Other errors of the block stay what they are.
    """
    path = as_path(path)
    with _holder(path, folder) as holder:
        part = holder / path.name
        with disk.errors(path, part=part):
            if folder:
                part.mkdir()
            yield part
        with disk.errors(path, every=True):
            if new:
                _put_new(part, path)
            else:
                _put(part, path, holder / temporary.REPLACED)


def check_target(path: PathLike, folder: bool = False) -> None:
    """BadInput if `atomic` could not write `path`: to be asked before long work. The folders above it are made."""
    with _holder(as_path(path), folder):
        pass


def check_distinct(output: PathLike, *inputs: PathLike | None) -> None:
    """BadInput if writing `output` would replace one of `inputs`, whatever the spelling: to be asked before long work.

    A link, symbolic or hard, to an input is that input. An input that is None counts for nothing.
    """
    output = as_path(output)
    for path in (as_path(path) for path in inputs if path is not None):
        if output.resolve() == path.resolve() or _is_one_file(output, path):
            raise BadInput(output, "the output is also an input", "a file of its own", "give the output another name")


def _is_one_file(one, other):
    with contextlib.suppress(OSError):  # a file that is not there is none of the others
        return os.path.samefile(one, other)
    return False


def stays_inside(name: PathLike, folder: PathLike) -> bool:
    """Whether a name that a file gives, taken from `folder`, leads to a place in it, links followed; no `..`."""
    path, root = Path(name), Path(folder).resolve()
    if not path.parts or path.is_absolute() or ".." in path.parts:
        return False
    try:
        return as_path(root / path).resolve().is_relative_to(root)
    except BadInput:
        return False


@contextlib.contextmanager
def _holder(path, folder):
    """Yield a new folder beside `path`, in which it can be written; BadInput if it cannot."""
    if path.name in ("", ".."):
        raise BadInput(path, "a path without a name", "a name in a folder", "give another name, such as ./out")
    with contextlib.ExitStack() as stack:
        with disk.errors(path, every=True):
            found, expected = found_at(path), "a folder" if folder else "a file"
            if found not in (expected, NOTHING):
                raise BadInput(path, found, f"{expected}, or nothing", "give another name")
            path.parent.mkdir(parents=True, exist_ok=True)
            holder = stack.enter_context(temporary.beside(path))
        yield holder


def _put_new(part, path):
    """Put `part` at `path`, where nothing is or an empty folder; what has come there meanwhile stays."""
    try:
        (os.rename if part.is_dir() else os.link)(part, path)  # neither takes the place of what holds something
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        found, fix = f"{found_at(path)} that came meanwhile", "use what the other run wrote, or give another name"
        raise BadInput(path, found, "a name that is free (nothing half written is left)", fix) from error


def _put(part, path, aside):
    """Put `part` in the place of `path`, whoever does the same meanwhile; a link is replaced, not what it leads to."""
    try:
        os.replace(part, path)
    except OSError as error:
        filled = error.errno in (errno.ENOTEMPTY, errno.EEXIST)  # what a folder says that is not empty
        if not filled and not path.is_symlink():
            raise
        if not _exchange(part, path):
            _swap(part, path, aside)


def _exchange(part, path):
    """Let a folder and a folder or link change places in one step, so that neither is ever absent; whether it could."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = AT_FDCWD, os.fsencode(part), AT_FDCWD, os.fsencode(path)
    return rename is not None and rename(*names, RENAME_EXCHANGE) == 0


def _swap(part, path, aside):
    """Put the folder `part` in the place of the folder `path`, which comes back if that fails."""
    os.replace(path, aside)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(aside, path)
        raise


def open_file(path: PathLike, expected: str = "a file", fix: str = "correct the path") -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        BadInput: a folder, a device or a pipe. OSError: as `open`, for what is absent or may not be read.
    """
    path = as_path(path, expected, fix)
    if (found := found_at(path)) in (ENDLESS, "a folder"):
        raise BadInput(path, found, expected, fix)
    return open(path, "rb")


def read_file(path: PathLike, expected: str, fix: str, most: int = MOST) -> bytes:
    """The content of a file; raises as `open_file`, and BadInput for a file of more than `most` bytes."""
    with open_file(path, expected, fix) as stream:
        if (size := os.fstat(stream.fileno()).st_size) > most:
            raise BadInput(path, f"{size:,} bytes", f"{expected}, of at most {most:,} bytes", fix)
        return stream.read()


def read_json(path: PathLike, expected: str, fix: str, most: int = MOST) -> Any:
    """The content of a JSON file of at most `most` bytes.

    Raises:
        BadInput: no file, one that may not be read or is too long, no JSON in UTF-8, or a name twice in one object.
    """
    try:
        return json.loads(read_file(path, expected, fix, most).decode("utf-8"), object_pairs_hook=each_once)
    except BadInput:
        raise
    except FileNotFoundError as error:
        raise BadInput(path, "no such file", expected, "correct the path") from error
    except OSError as error:
        raise BadInput(path, f"not readable: {error.strerror or error}", expected, fix) from error
    except RecursionError as error:
        raise BadInput(path, "JSON that is nested too deeply", expected, fix) from error
    except ValueError as error:
        raise BadInput(path, f"not JSON ({error})", expected, fix) from error


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of an object's (name, value); ValueError for a name of which JSON would keep the last value unasked."""
    if len(names := [name for name, _ in pairs]) > len(table := dict(pairs)):
        raise ValueError(f"{max(names, key=names.count)!r} stands twice in one object")
    return table


def sha256(*paths: PathLike) -> str:
    """Hex digest over the content of the given files, in order; raises as `open_file`.

    Large files are not read again in one process while nothing about them has changed.
    """
    states = tuple(map(_state, paths))
    if states in _digests:
        return _digests[states]
    digest = hashlib.sha256()
    for path in paths:
        with open_file(path) as stream, foreign(path, "a file that can be read to its end", "check where it lies"):
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    if None not in states:
        _digests[states] = digest.hexdigest()
    return digest.hexdigest()


def _state(path):
    """What any change of a large file changes; None for a small one, or for one so new that its times may not tell."""
    try:
        found = as_path(path).stat()
    except OSError:
        return None
    settled = time.time() - max(found.st_mtime, found.st_ctime) > SETTLED
    if not stat.S_ISREG(found.st_mode) or found.st_size < LARGE or not settled:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
