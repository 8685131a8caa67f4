"""Patches: small corrections to an installed package or to the course's own example plugin, as `patches/` lists them.

`patches/manifest.toml` names for each patch the versions it is for and the SHA-256 of every file before and after.
A patch's state is read from the files alone, so applying twice is applying once, an interrupted run is completed or
undone by the next one, and a file in any third state is left alone. Faults that a setting avoids are listed as
settings, with a probe that shows them; a reader's own clone is the business of `helpers.environment.patches.clones`.
"""

import os
import shlex
import shutil
import sys
import tomllib
from collections.abc import Collection
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from helpers import temporary
from helpers.arguments import typed
from helpers.environment.machine import normalized
from helpers.errors import BadInput
from helpers.files import ROOT, PathLike, as_path, atomic, sha256
from helpers.repository import git

PATCHES = ROOT / "patches"
Entry = dict[str, Any]  # of manifest.toml


def manifest(patches: PathLike = PATCHES) -> dict[str, Entry]:
    """The entries of `patches/manifest.toml`: {id: dict}, patches and settings."""
    content = tomllib.loads((Path(patches) / "manifest.toml").read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in content["patch"]}


@typed
def patch(id: str, site: PathLike | None = None, dry_run: bool = False, patches: PathLike = PATCHES) -> dict[str, Any]:
    """Apply a patch; nothing is written unless every file can be.

    Args:
        id: as in the manifest.
        site: the folder that holds the target: a site-packages folder, or the root of a copy made by `scratch`.
            Default: where the running Python finds the package; for the course's own code, the repository.
        dry_run: check and try everything, write nothing.

    Returns:
        dict of `id`, `state` ("applied"), `site`, `changed` (files written, or with `dry_run` to be written) and
        `notes` (hard links left alone, modules to load again).

    Raises:
        BadInput: unknown id, a setting, package absent or of another version, a file that is neither as before nor as
            after (both hashes are named), shared by a symbolic link, or read-only.
    """
    return _switch(id, "after", site, dry_run, patches)


@typed
def unpatch(
    id: str, site: PathLike | None = None, dry_run: bool = False, patches: PathLike = PATCHES
) -> dict[str, Any]:
    """Undo a patch: the files are byte for byte as before. Arguments, return value and errors as for `patch`."""
    return _switch(id, "before", site, dry_run, patches)


def status(
    site: PathLike | None = None, patches: PathLike = PATCHES, ids: Collection[str] | None = None
) -> list[dict[str, str]]:
    """Where every entry of the manifest stands, as a list of dicts of `id`, `kind`, `target`, `found`, `state`.

    `state` is "applied", "not applied", "half applied", "drifted" (a file is neither as before nor as after), "other
    version", "not installed", or "setting" for a fault that a setting avoids. Never raises for what is installed.
    """
    return [_status(entry, site) for id, entry in manifest(patches).items() if ids is None or id in ids]


def _status(entry, site):
    found = installed(entry, site)
    row = {"id": entry["id"], "kind": entry["kind"], "target": _target(entry), "found": found or "not installed"}
    if found is None:
        state = "not installed"
    elif entry["kind"] == "setting":
        state = "setting"
    elif not in_range(entry, found):
        state = "other version"
    else:
        states = set(_states(entry, _root(entry, site)).values())
        words = {"before": "not applied", "after": "applied"}
        state = "drifted" if None in states else "half applied" if len(states) > 1 else words[states.pop()]
    return row | {"state": state}


def _switch(id, goal, site, dry_run, patches):
    entry = find(id, patches)
    if entry["kind"] == "setting":
        raise BadInput(f"patch {id}", "a setting, not a patch", "an entry with files", f"use {entry['avoided_by']}")
    root = _checked_root(entry, site)
    states = _states(entry, root)
    if None in states.values():
        raise _drift(entry, root, states)
    todo = [path for path, state in states.items() if state != goal]
    notes = [note for path in todo for note in _check_writable(root, path)]
    if todo:
        with temporary.scratch() as work:
            _git_apply(entry, root, todo, goal, work, Path(patches))
            if not dry_run:
                _replace(root, todo, work)
                notes += _loaded(root, todo)
    state = {"after": "applied", "before": "not applied"}[goal]
    return {"id": id, "state": state, "site": str(root), "changed": todo, "notes": notes}


def find(id: str, patches: PathLike = PATCHES) -> Entry:
    """The manifest's entry of that id, or BadInput with the known ones."""
    entries = manifest(patches)
    if id not in entries:
        raise BadInput("patch id", repr(id), ", ".join(entries), "python -m helpers patch list")
    return entries[id]


def _target(entry):
    return f"{entry['package']}{entry['versions']}" if "package" in entry else "this repository"


def distribution(entry: Entry, site: PathLike | None) -> Distribution | None:
    """The installed distribution of an entry's package in `site` (default: where this Python looks), or None."""
    wanted = normalized(entry["package"])
    for found in distributions(path=[str(as_path(site))] if site else sys.path):
        if normalized(found.metadata["Name"] or "") == wanted:
            return found
    return None


def installed(entry: Entry, site: PathLike | None) -> str | None:
    """Version of the target in `site`; for the course's own code "own", or None where the files are absent."""
    if "package" in entry:
        found = distribution(entry, site)
        return found.version if found else None
    return "own" if all((_root(entry, site) / file["path"]).is_file() for file in entry["files"]) else None


def in_range(entry: Entry, version: str | None) -> bool:
    """Whether the entry is for this version of its package; the course's own code has none."""
    from packaging.specifiers import SpecifierSet

    if "package" not in entry:
        return True
    return version is not None and SpecifierSet(entry["versions"]).contains(version, prereleases=True)


def _root(entry, site):
    found = distribution(entry, None) if site is None and "package" in entry else None
    return Path(str(found.locate_file(""))) if found else as_path(site or ROOT)


def _checked_root(entry, site):
    version, where = installed(entry, site), f"patch {entry['id']}"
    if version is None:
        fix = _install(_target(entry), site) if "package" in entry else "give the root of the repository"
        raise BadInput(where, f"not installed in {site or sys.prefix}", _target(entry), fix)
    if not in_range(entry, version):
        fix = f"see whether the fault is still there: python -m helpers patch check {entry['id']}"
        raise BadInput(where, f"{entry['package']} {version} in {_root(entry, site)}", _target(entry), fix)
    return _root(entry, site)


def _states(entry, root):
    """{path: "before", "after" or None (neither, or absent)} by SHA-256."""
    states = {}
    for file in entry["files"]:
        path = root / file["path"]
        digest = sha256(path) if path.is_file() else None
        states[file["path"]] = {file["before"]: "before", file["after"]: "after"}.get(digest)
    return states


def _drift(entry, root, states):
    file = next(file for file in entry["files"] if states[file["path"]] is None)
    path = root / file["path"]
    found = f"SHA-256 {sha256(path)}" if path.is_file() else "no such file"
    version = f"{installed(entry, root)}, " if "package" in entry else ""
    elsewhere = root if root != _root(entry, None) else None
    expected = f"{file['before']} (before) or {file['after']} (after), of {_target(entry)}"
    if "package" in entry:
        fix = _install(f"{entry['package']}=={installed(entry, root)}", elsewhere, "--force-reinstall", "--no-deps")
    elif elsewhere:
        fix = f"cp {shlex.join([str(ROOT / file['path']), str(path)])}"
    else:
        fix = f"git -C {shlex.quote(str(root))} checkout -- {file['path']}"
    return BadInput(path, version + found, expected, fix)


def _install(what, site, *options):
    """The command that installs a package where this Python looks, or in the folder `site`."""
    place = ["--upgrade", "--target", str(site)] if site else []  # without --upgrade nothing there is replaced
    return f"python -m pip install {shlex.join([*options, *place, what])}"


def _check_writable(root, name):
    """Notes on how a file is shared; BadInput where writing would reach, or break, what others use."""
    path = root / name
    if path.resolve() != root.resolve() / name:
        fix = "install the package by copy (for uv: --link-mode=copy), or patch a copy of it"
        raise BadInput(path, f"a symbolic link to {path.resolve()}", "a file of this environment alone", fix)
    mode = path.stat().st_mode
    if not mode & 0o200 or not os.access(path.parent, os.W_OK):
        raise BadInput(path, "read-only", "a file that you may write", "patch an environment of your own: make setup")
    links = path.stat().st_nlink
    return [f"{path.name} has {links} hard links (a package cache): only this copy is replaced"] if links > 1 else []


def _git_apply(entry, root, todo, goal, work, patches):
    """Make the files `todo` as they should be in the folder `work`, by git, and check their hashes."""
    for path in todo:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, work / path)
    reverse = ["--reverse"] if goal == "before" else []
    restore = f"git -C {shlex.quote(str(patches))} checkout -- ."
    git(work, "apply", *reverse, *(f"--include={path}" for path in todo), str(patches / entry["file"]), fix=restore)
    for file in entry["files"]:
        if file["path"] in todo and sha256(work / file["path"]) != file[goal]:
            found = f"{file['path']} with SHA-256 {sha256(work / file['path'])}"
            raise BadInput(patches / entry["file"], found, file[goal], restore)


def _replace(root, todo, work):
    """Put the files of `work` in place, each by one rename; if one fails, put back those already replaced."""
    kept, done = {path: (root / path).read_bytes() for path in todo}, []
    try:
        for path in todo:
            done.append(path)
            _write(root / path, (work / path).read_bytes())
    except BaseException:
        for path in done:
            _write(root / path, kept[path])
        raise


def _write(path, content):
    with atomic(path) as part:
        part.write_bytes(content)
        shutil.copymode(path, part)
    for stale in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        stale.unlink(missing_ok=True)


def _loaded(root, todo):
    """Modules of this process that still hold the old code."""
    files = {str((root / path).resolve()) for path in todo}
    names = [name for name, module in list(sys.modules.items()) if getattr(module, "__file__", None) in files]
    return [f"{name} is already imported: restart the kernel" for name in names]
