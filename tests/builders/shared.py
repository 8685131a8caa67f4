"""What tests only read, made by one of the processes that share them."""

import fcntl
import os
from pathlib import Path


def once(tmp_path_factory, name, make):
    """The path that `make(folder)` returned to the first process that asked for `name`; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = base / name, base / f"{name}.made"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir(exist_ok=True)
            path = str(make(folder))
            made.write_text(path)
    return Path(made.read_text())
