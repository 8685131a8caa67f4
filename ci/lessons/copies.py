"""The copies of the lessons that people work in: learner/ without the solutions, solutions/ with them.

Both lie beside notebooks/, so that relative links lead to the same places, and git ignores them. A copy that was
changed is kept; `reset` renews one and moves the old one to a folder `old` beside it.
"""

import datetime
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import nbformat

from ci.lessons import lesson as lessons
from ci.lessons.learner import exercises, learner_copy, plain_copy
from helpers import disk
from helpers.errors import BadInput
from helpers.files import ROOT, atomic

SOURCE = ROOT / "notebooks"
MANIFEST = ".manifest.json"
FIRST = "00_start_here.ipynb"


@dataclass(frozen=True)
class Kind:
    folder: Path
    make: object  # notebook, note -> the copy
    note: str  # ends the first cell of each lesson; {lesson} is its name


LEARNER = Kind(
    ROOT / "learner",
    learner_copy,
    "*This copy is yours: change what you like. `make reset LESSON={lesson}` renews it and keeps the old one.*",
)
SOLUTIONS = Kind(
    ROOT / "solutions",
    plain_copy,
    "*This copy holds the solutions. `make lab` without `SOLUTIONS=1` opens one in which you find them yourself.*",
)


def digest(path):
    """SHA-256 of a file, in hex. Raises BadInput for what cannot be read, a folder too."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        found = f"not readable: {error.strerror or error}"
        raise BadInput(path, found, "a file of yours", "move it away, and repeat the command") from error


def files(source):
    """What is copied: path below `source` -> path."""
    found = (path for path in sorted(source.rglob("*")) if path.is_file())
    return {path.relative_to(source).as_posix(): path for path in found if not hidden(path.relative_to(source))}


def hidden(path):
    return any(part.startswith(".") for part in path.parts)


def read_manifest(folder):
    """{name: {"source": digest, "copy": digest}} of what was written to the folder; empty if that cannot be read."""
    try:
        known = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {name: {"source": str(each["source"]), "copy": str(each["copy"])} for name, each in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_manifest(folder, manifest):
    with atomic(folder / MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def content(path, name, kind):
    """The bytes of the copy that a lesson has now. Raises BadInput if it is no notebook."""
    if path.suffix != ".ipynb":
        return path.read_bytes()
    try:
        notebook = lessons.read(path)
    except ValueError as error:
        raise BadInput(path, error, "a lesson", "move it away: notebooks/ holds nothing but lessons") from error
    exercises(notebook, name)
    text = nbformat.writes(kind.make(notebook, kind.note.format(lesson=Path(name).stem)))
    return (text.removesuffix("\n") + "\n").encode()


def write_one(path, target, name, kind):
    """Write one copy; the digests of its source and of itself."""
    made = content(path, name, kind)
    with atomic(target) as part:
        part.write_bytes(made)
    return entry(path, made)


def entry(path, made):
    return {"source": digest(path), "copy": hashlib.sha256(made).hexdigest()}


def is_notebook(path):
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8"))["cells"], list)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def state(path, target, name, kind, known):
    """What is to be said of a copy: "written" and "renewed" have to be done, "found" has to be remembered."""
    if not target.exists():
        return "written"
    mine = digest(target)
    if mine == known.get("copy"):
        return "renewed" if known["source"] != digest(path) else "unchanged"
    if mine == entry(path, content(path, name, kind))["copy"]:  # written by a command that was stopped
        return "found"
    if path.suffix == ".ipynb" and not is_notebook(target):
        return f"kept, but it is no notebook any more; `make reset LESSON={Path(name).stem}` renews it:"
    known_source = known.get("source", digest(path))
    return "kept: you have changed it" if known_source == digest(path) else "kept, and the lesson has a newer version"


def write(kind, source=SOURCE):
    """Write every copy that is missing, or unchanged while its lesson is new; a list of (path, what was done).

    "kept" is one that was changed, "kept, and the lesson has a newer version" one whose source has changed too. What
    was written is remembered even if a later one cannot be.
    """
    manifest, done = read_manifest(kind.folder), []
    before = dict(manifest)
    try:
        for name, path in files(source).items():
            target = kind.folder / name
            what = state(path, target, name, kind, manifest.get(name, {}))
            if what in ("written", "renewed"):
                manifest[name] = write_one(path, target, name, kind)
            elif what == "found":
                manifest[name], what = {"source": digest(path), "copy": digest(target)}, "unchanged"
            done.append((target, what))
    finally:
        if manifest != before:
            write_manifest(kind.folder, manifest)
    return done


def find(lesson, source=SOURCE):
    """The name of the lesson that is meant: its number ("02", "2"), its name, the beginning of it, or a path.

    Raises BadInput if none fits, or several do.
    """
    names = [name for name in files(source) if name.endswith(".ipynb")]
    wanted = Path(str(lesson)).name.removesuffix(".ipynb")
    wanted = wanted.zfill(2) if wanted.isdigit() else wanted
    exact = [name for name in names if Path(name).stem == wanted]
    fitting = exact or [name for name in names if wanted and Path(name).stem.startswith(wanted)]
    if len(fitting) != 1:
        found = f"{len(fitting)} lessons fit: {', '.join(fitting)}" if fitting else "no such lesson"
        expected = ", ".join(Path(name).stem for name in names)
        raise BadInput(f"LESSON={lesson}", found, f"one of {expected}", "give its number or its whole name")
    return fitting[0]


def reset(lesson, kind=LEARNER, source=SOURCE):
    """Renew the copy of a lesson; (its path, where the old one went, or None if it was missing or unchanged)."""
    name = find(lesson, source)
    target, manifest, old = kind.folder / name, read_manifest(kind.folder), None
    made = content(source / name, name, kind)
    wanted = (manifest.get(name, {}).get("copy"), hashlib.sha256(made).hexdigest())
    if os.path.lexists(target) and not (target.is_file() and digest(target) in wanted):
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
        old = target.parent / "old" / f"{target.stem}-{now}{target.suffix}"
        with disk.errors(old, every=True):
            old.parent.mkdir(parents=True, exist_ok=True)
            target.rename(old)
    manifest[name] = write_one(source / name, target, name, kind)
    write_manifest(kind.folder, manifest)
    return target, old
