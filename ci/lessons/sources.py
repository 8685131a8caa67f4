"""What the result of a lesson depends on, as digests: files, installed packages, the data set, the machine."""

import functools
import hashlib
import importlib.metadata
import os
import sys
from pathlib import Path

from helpers import records
from helpers.errors import BadInput
from helpers.files import ROOT, sha256
from helpers.repository import git

MADE = {"build", "data", "learner", "solutions", "__pycache__"}  # folders of what is made
DRIVER = Path("/proc/driver/nvidia")


class Sources:
    """The digests of one run, each computed once, whatever the number of lessons.

    Args:
        out: the folder of the run's results, which depend on the sources and are none.
        root: the project's folder.
        threads: how many each lesson may start, on which its times depend.
    """

    def __init__(self, out, root=ROOT, threads=None):
        self.root, self.out, self.threads = Path(root), Path(out), threads
        self.data = functools.cache(self.data)

    def files(self):
        """The files that a lesson can read, relative to the root: all but the lessons themselves and the tests.

        Where there is git, those that it tracks, and new ones beside them: not a folder that is new as a whole, which
        may be a data set. Else all, without what is made.
        """
        try:
            names = {Path(name) for name in git(self.root, "ls-files", "-z").split("\0") if name}
            known = sorted({name.parts[0] for name in names if len(name.parts) > 1})
            words = "ls-files", "-z", "--others", "--exclude-standard", "--", *known
            names |= {Path(name) for name in git(self.root, *words).split("\0") if name} if known else set()
        except (BadInput, ValueError):  # no git, no repository, or names that are not UTF-8
            names = set(self.walk())
        return sorted(name for name in names if not self.is_left_out(name))

    def walk(self):
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in MADE and not name.startswith(".")]
            yield from (Path(folder, name).relative_to(self.root) for name in names)

    def is_left_out(self, name):
        lesson = name.parts[0] == "notebooks" and name.suffix == ".ipynb"
        return lesson or name.parts[0] == "tests" or (self.root / name).is_relative_to(self.out)

    @functools.cached_property
    def shared(self):
        """Digest of all that the lessons have in common."""
        digest = hashlib.sha256(f"{sys.version}\n{machine()}\n{self.threads}\n".encode())
        for name in self.files():
            digest.update(f"{name}\0{content(self.root / name)}\n".encode("utf-8", "surrogateescape"))
        for installed in sorted(f"{each.name} {each.version}" for each in importlib.metadata.distributions()):
            digest.update(f"{installed}\n".encode())
        return digest.hexdigest()

    def data(self, root):
        """Digest of the names, sizes and times of the files of a data set, which takes no time to speak of."""
        digest, seen = hashlib.sha256(), set()
        for folder, folders, names in os.walk(self.root / root, followlinks=True):
            folders.sort()
            if (here := os.path.realpath(folder)) in seen:
                folders.clear()  # a link that leads back
                continue
            seen.add(here)
            for path in (Path(folder, name) for name in sorted(names)):
                digest.update(f"{path}\0{state(path)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def machine(driver=DRIVER):
    """The processor, the GPUs and the driver, as text: a time of one machine is none of another's."""
    told = [driver / "version", *sorted(driver.glob("gpus/*/information"))]
    return "\n".join([records.cpu(), *(path.read_text(encoding="utf-8") for path in told if path.is_file())])


def content(path):
    """Digest of a file's content, or why there is none."""
    try:
        return sha256(path)
    except OSError as error:
        return type(error).__name__


def state(path):
    """Size and time of a file, or why there is none."""
    try:
        found = path.stat()
    except OSError as error:
        return type(error).__name__
    return f"{found.st_size} {found.st_mtime_ns}"
