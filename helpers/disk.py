"""What a disk refuses to whom writes, in words that name the file, the room that was found, and what helps."""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers.errors import BadInput, full

REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
NO_FOLDER = "No usable temporary directory"  # as tempfile says it
WHOLE = "(nothing half written is left)"
ROOM = "free space, or choose another folder"


def holder(path: str | os.PathLike[str]) -> Path:
    """The folder that holds `path`, or the nearest above it that exists."""
    return next(folder for folder in Path(path).absolute().parents if folder.exists())


def free(path: str | os.PathLike[str]) -> int:
    """Bytes that this user may still write on the disk that holds `path`, a file or folder that need not exist."""
    usage = os.statvfs(holder(Path(path) / "x"))
    return usage.f_bavail * usage.f_frsize


def same(one: Path, other: Path) -> bool:
    """Whether one disk holds both folders."""
    return one.stat().st_dev == other.stat().st_dev


def require(path: str | os.PathLike[str], needed: int, what: str = "it", fix: str = ROOM) -> None:
    """BadInput if the disk that is to hold `path` has fewer than `needed` bytes free; `what` is to be written there."""
    if (found := free(path)) < needed:
        raise BadInput(path, f"{mib(found)} free on the disk", f"{mib(needed)} for {what}", fix)


def size(folder: Path) -> int:
    """Bytes on the disk of the files below a folder, while others may add and remove some; 0 where there is none."""
    found = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            found += path.lstat().st_blocks * 512
    return found


def mib(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 2**20:,.1f} MiB"


@contextlib.contextmanager
def errors(path: str | os.PathLike[str], every: bool = False, part: Path | None = None) -> Iterator[None]:
    """Turn a full disk, met while `path` is written, into a BadInput that names the file and the space left.

    Args:
        every: any other refusal of the system becomes a BadInput too, that names what it refused.
        part: what is written in the place of `path`, in a temporary folder that goes then; no error names it.
    """
    try:
        yield
    except BadInput as error:
        if part is None or str(part.parent) not in error.where:
            raise
        where = error.where.replace(str(part.parent), str(Path(path).parent))
        raise BadInput(where, error.found, error.expected, error.fix) from error
    except Exception as error:
        if full(error):
            raise BadInput(path, _found(error, path, part), f"more room for it {WHOLE}", ROOM) from error
        if not (every and isinstance(error, OSError)):
            raise
        found, fix = f"{error.strerror or error}: {error.filename or path}", "choose a folder that you may write to"
        raise BadInput(path, found, f"a place where it can be written {WHOLE}", fix) from error


def tell(error: Exception) -> int:
    """Print the error that ends a program, where it is bad input or the system refused a file, and return the exit
    code 2; any other is raised.
    """
    told = error if isinstance(error, BadInput) else _refusal(error)
    if told is None:
        raise error
    print(f"error: {told}", file=sys.stderr)
    return 2


def _refusal(error):
    """The BadInput of a file that the system refused, None for another error."""
    if isinstance(error, FileNotFoundError) and _is_gone():
        return BadInput("the current folder", "it is no longer there", "a folder", "go to another one, with cd")
    name = getattr(error, "filename", None)
    if full(error):
        if name:
            return BadInput(name, _found(error, name), "more room for it", ROOM)
        places = (tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp", os.getcwd())
        found = "; ".join(f"{mib(free(place))} free in {place}" for place in places)
        fix = "free space on the disk that has none; TMPDIR=FOLDER names another place for temporary files"
        return BadInput("a file that was being written", f"a disk is full ({found})", "more room for it", fix)
    if isinstance(error, FileNotFoundError) and str(error.strerror).startswith(NO_FOLDER):
        fix = "free space there, or name another folder: TMPDIR=FOLDER"
        return BadInput("temporary files", error.strerror, "a folder with room for them", fix)
    if isinstance(error, OSError) and error.errno in REFUSED and name:
        return BadInput(name, error.strerror, "what you may use so", "choose another, or change its owner or mode")
    return None


def _is_gone():
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _found(error, path, part=None):
    """What is the matter with the disk of `path`."""
    usage = os.statvfs(holder(path))
    left = f"{mib(usage.f_bavail * usage.f_frsize + (size(part.parent) if part else 0))} free"
    if getattr(error, "errno", None) == errno.EDQUOT:
        return f"the quota is used up ({left} on the disk)"
    if usage.f_files and not usage.f_favail:
        return f"the disk takes no more files ({left}, but no inode)"
    return f"the disk is full ({left})"
