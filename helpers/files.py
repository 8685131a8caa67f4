"""Where the project's files are, and how to write one so that it is whole or absent."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from helpers.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


@contextlib.contextmanager
def atomic(path, folder=False):
    """Yield a temporary path beside `path`; move it to `path` if the block succeeds, remove it if it does not.

    With `folder=True` the temporary path is an existing empty folder and replaces an existing `path` folder.

    Raises:
        BadInput: `path` cannot be made or replaced, or the disk is full. Other errors of the block stay what they are.
    """
    path = Path(path)
    holder = _holder(path, folder)
    part = holder / path.name
    try:
        with disk_errors(path):
            if folder:
                part.mkdir()
            yield part
        with disk_errors(path, every=True):
            if folder and path.exists():
                _swap(part, path, holder / "replaced")
            else:
                os.replace(part, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def check_target(path, folder=False):
    """BadInput if `atomic` could not write `path`: to be asked before long work. The folders above it are made."""
    _holder(Path(path), folder).rmdir()


def check_distinct(output, *inputs):
    """BadInput if writing `output` would replace one of `inputs`, whatever the spelling: to be asked before long work.

    An input that is None counts for nothing.
    """
    for path in (path for path in inputs if path is not None):
        if Path(output).resolve() == Path(path).resolve():
            raise BadInput(output, "the output is also an input", "a file of its own", "give the output another name")


def _holder(path, folder):
    """A new folder beside `path`, in which it can be written; BadInput if it cannot."""
    with disk_errors(path, every=True):
        if path.is_file() if folder else path.is_dir():
            found, expected = ("a file", "a folder") if folder else ("a folder", "a file")
            raise BadInput(path, found, f"{expected}, or nothing", "give another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))


def _swap(part, path, aside):
    """Put the folder `part` in the place of the folder `path`, which comes back if that fails."""
    os.replace(path, aside)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(aside, path)
        raise


@contextlib.contextmanager
def disk_errors(path, every=False):
    """Turn a full disk, met while `path` is written, into a BadInput that names the file and the space left.

    With `every`, any other refusal of the system becomes a BadInput too, that names what it refused.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not (full or every):
            raise
        found = f"{error.strerror or error}: {error.filename or path}"
        expected, fix = "a place where it can be written", "choose another folder, or one that you may write to"
        if full:
            folder = next(parent for parent in Path(path).absolute().parents if parent.exists())
            found = f"the disk is full ({shutil.disk_usage(folder).free / 2**20:.0f} MiB free)"
            expected, fix = "room for the file", "free space or choose another folder"
        raise BadInput(path, found, f"{expected} (nothing half written is left)", fix) from error


def is_lfs_pointer(path):
    """Whether `path` is a git-lfs pointer, the text that stands for a file which git-lfs has not fetched.

    False for what cannot be read. Source: the specification of git-lfs, docs/spec.md.
    """
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER
    return False


def sha256(*paths):
    """Hex digest over the content of the given files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()
