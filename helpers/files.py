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


@contextlib.contextmanager
def atomic(path, folder=False):
    """Yield a temporary path beside `path`; move it to `path` if the block succeeds, remove it if it does not.

    With `folder=True` the temporary path is an existing empty folder and replaces an existing `path` folder.
    A full disk is a BadInput that names `path`.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        part = holder / path.name
        try:
            if folder:
                part.mkdir()
            yield part
            if folder and path.exists():
                _swap(part, path, holder / "replaced")
            else:
                os.replace(part, path)
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def _swap(part, path, aside):
    """Put the folder `part` in the place of the folder `path`, which comes back if that fails."""
    os.replace(path, aside)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(aside, path)
        raise


@contextlib.contextmanager
def disk_errors(path):
    """Turn a full disk, met while `path` is written, into a BadInput that names the file and the space left."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        folder = next(parent for parent in Path(path).absolute().parents if parent.exists())
        found = f"the disk is full ({shutil.disk_usage(folder).free / 2**20:.0f} MiB free)"
        fix = "free space or choose another folder"
        raise BadInput(path, found, "room for the file (nothing half written is left)", fix) from error


def sha256(*paths):
    """Hex digest over the content of the given files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()
