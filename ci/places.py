"""Tries the working tree in places where other programs stumble; exit code 1 if anything fails there.

    python -m ci.places                       # all places
    python -m ci.places umask "second user"   # those whose names begin so; --quick: no lesson, no set-up

Each place gets a copy of the tree of its own, without `.venv`: this program's Python and packages run it. Two users
need root, and a Python that another user may run; without them that place is skipped, and says so.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from helpers import processes
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.repository import git

OTHER, LONGEST = {"user": 65534, "group": 65534, "extra_groups": []}, "1800"  # nobody; seconds, for a busy machine
SCENE = ["-m", "data_scripts.make_minidrive", "--names", "scene-0103", "--frames", "2", "--workers", "1"]
TESTS = ["-m", "pytest", "-p", "no:cacheprovider", "tests/helpers/test_files.py", "tests/helpers/test_records.py"]
BUILT = {".venv", ".git", "build", "data", "learner", "solutions"}
COMMANDS = {
    "data": [*SCENE, "--out", "data/minidrive"],
    "models": ["-m", "helpers", "models"],
    "doctor": ["-m", "helpers", "doctor"],
    "records": ["-m", "helpers", "records"],
    "graph": ["-m", "helpers", "graph", "--help"],
    "tests": TESTS,
    "lint": ["-m", "ci.lessons.check"],
    "lesson": ["-m", "ci.lessons.run", "notebooks/00_start_here.ipynb", "--fast", "--out", "build/fast", "-p", "TIER",
               "cpu"],
    "commit": ["-c", "from helpers.records import commit; print(commit())"],
}  # fmt: skip
NO_GIT = {"tests": [*TESTS, "-k", "not git and not commit"]}  # those two are about it
SET_UP = {"set-up": ["-c", "import os; os.execvp('make', ['make', 'learner'])"]}


@dataclass
class Place:
    """Where a tree stands and how it is run.

    Attributes:
        prepare: function (an empty folder) -> the tree in it.
        environment: variables that are other than this program's; None takes one away.
        options: of subprocess.run, such as umask or user.
        commit: what the commit of the code has to be there: "known" or "unknown".
        skip: why the place cannot be tried here, or "".
        python: the Python and its packages.
        commands: what is run.
        fails: command -> what it prints where it has to fail, as a regular expression.
    """

    prepare: Callable[[Path], Path]
    environment: dict[str, str | None] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    commit: str = "known"
    skip: str = ""
    python: str = sys.executable
    commands: dict[str, list[str]] = field(default_factory=lambda: COMMANDS)
    fails: dict[str, str] = field(default_factory=dict)


def files():
    """The files of the working tree, relative to it: those that git knows or would add, else all but what is built."""
    try:
        listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    except BadInput:
        listed = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    kept = [name for name in listed if name.split("/")[0] not in BUILT and (ROOT / name).is_file()]
    return [name for name in kept if "__pycache__" not in name]


def tree(folder):
    """Copy the working tree, without a repository."""
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def repository(folder):
    """Make `folder` a repository with one commit of all that is in it."""
    own = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, *own, "commit", "--quiet", "--allow-empty", "--message", "all of it")
    return folder


def plain(folder):
    return repository(tree(folder / "onramp"))


def tarball(folder):
    return tree(folder / "onramp")


def odd_path(folder):
    return repository(tree(folder / "my Straße 日本 $(x) 'q'" / "on ramp"))


def in_another_repository(folder):
    tree(repository(folder) / "onramp")
    return folder / "onramp"


def renamed(folder):
    """A tree that has been used, then renamed, then copied, whose first place is gone."""
    first = plain(folder)
    for name in ("data", "records", "doctor"):
        run(first, COMMANDS[name], Place(plain))
    first.rename(folder / "renamed")
    return Path(shutil.copytree(folder / "renamed", folder / "copy", symlinks=True))


def for_all(folder):
    """A tree of this user which another one may read and not write; the data is there."""
    there = plain(folder)
    run(there, COMMANDS["data"], Place(plain))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return there


def without(program, folder):
    """A new folder with links to every program on PATH but one."""
    folder.mkdir()
    for source in reversed(os.environ["PATH"].split(":")):
        for path in Path(source).glob("*"):
            if path.name != program:
                with contextlib.suppress(OSError):
                    (folder / path.name).unlink(missing_ok=True)
                    (folder / path.name).symlink_to(path)
    return str(folder)


def another_user():
    """(why there is none or "", a Python that another user may run): ours, or the system's with our packages."""
    if os.geteuid():
        return "needs root", ""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        if as_nobody([python, "-c", f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"]) == 0:
            return "", python
    return "this Python may not be run by another user", ""


def as_nobody(command):
    with contextlib.suppress(OSError):
        return subprocess.run(command, cwd="/", capture_output=True, **OTHER).returncode
    return 1


def places(out):
    """dict of name -> Place; what they need besides is made in the folder `out`."""
    why, python = another_user()
    (home := out / "home").mkdir()
    home.chmod(0o777)
    ascii_only = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None}
    return {
        "plain": Place(plain),
        "spaces, letters": Place(odd_path),
        "tarball": Place(tarball, commit="unknown"),
        "no git": Place(tarball, {"PATH": without("git", out / "programs")}, commit="unknown",
                        commands=COMMANDS | NO_GIT, fails={"doctor": "FAIL *tools *not on PATH: git\n *cure: .*git\n"}),
        "in another repository": Place(in_another_repository, commit="unknown"),
        "renamed, copied": Place(renamed),
        "read-only HOME": Place(plain, {"HOME": "/proc/self", "XDG_CACHE_HOME": None, "MPLCONFIGDIR": None}),
        "LANG=C": Place(plain, {"LC_ALL": "C", "LANG": "C"}),
        "ASCII": Place(plain, ascii_only),
        "umask 077": Place(plain, options={"umask": 0o077}),
        "second user": Place(for_all, {"HOME": str(home)}, OTHER, commit="unknown", skip=why, python=python,
                             fails={"lesson": "expected: a place where it can be written"}),
        "set-up": Place(odd_path, {"HOME": "/proc/self", "LC_ALL": "C"}, {"umask": 0o077}, commands=SET_UP),
    }  # fmt: skip


def run(folder, words, place):
    """The finished command in the tree `folder`."""
    packages = [] if place.python == sys.executable else [name for name in sys.path if "-packages" in name]
    own = {"PYTHONPATH": os.pathsep.join([str(folder), *packages]), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {key: value for key, value in (os.environ | own | place.environment).items() if value is not None}
    return subprocess.run(
        ["timeout", "--kill-after=10", LONGEST, place.python, *words], cwd=folder, env=environment, encoding="utf-8",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", **place.options,
    )  # fmt: skip


def verdict(name, place, done):
    """What is wrong with a finished command, or ""."""
    if name == "commit" and not done.returncode:
        known = done.stdout.strip() != "unknown"
        return "" if known == (place.commit == "known") else f"the commit is {done.stdout.strip()}"
    if name in place.fails:
        return "" if done.returncode and re.search(place.fails[name], done.stdout) else "it does not fail as it has to"
    return f"exit code {done.returncode}" if done.returncode else "traceback" if "Traceback" in done.stdout else ""


def attempt(name, place, out, wanted):
    """Run those commands of a place that are wanted; returns the list of (command, problem, output)."""
    folder = out / re.sub(r"\W", "-", name)
    folder.mkdir(parents=True)
    there, found = place.prepare(folder), []
    for command, words in place.commands.items():
        if command in wanted:
            done = run(there, words, place)
            found.append((command, verdict(command, place, done), done.stdout))
    shutil.rmtree(folder)
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.places", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="beginnings of names (default: all)")
    parser.add_argument("--quick", action="store_true", help="without the lesson and the set-up")
    known = [*COMMANDS, *SET_UP]
    parser.add_argument("--commands", nargs="+", choices=known, default=known, help="what is run (all)")
    arguments = parser.parse_args(argv)
    wanted = set(arguments.commands) - ({"lesson", "set-up"} if arguments.quick else set())
    problems = []
    with tempfile.TemporaryDirectory(prefix="onramp-places-") as temporary:
        out = Path(temporary)
        out.chmod(0o755)
        chosen = {name: each for name, each in places(out).items() if name.startswith(tuple(arguments.names) or "")}
        for name, place in chosen.items():
            if place.skip:
                print(f"{name:22}skipped: {place.skip}")
                continue
            found = attempt(name, place, out, wanted)
            for said, wrong in (("ok", False), ("FAILED", True)):
                if named := [command for command, problem, _ in found if bool(problem) == wrong]:
                    print(f"{name:22}{said}: {', '.join(named)}", flush=True)
            problems += [(name, command, problem, output) for command, problem, output in found if problem]
    for name, command, problem, output in problems:
        print(f"\n{name}, {command}: {problem}\n    " + "\n    ".join(output.strip().splitlines()[-12:]))
    return 1 if problems or not chosen else 0


if __name__ == "__main__":
    sys.exit(processes.program(main))
