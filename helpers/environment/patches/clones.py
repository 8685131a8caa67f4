"""A reader's patch file on the reader's clone: pinned commit checked out, patch tried, applied, and taken back exactly.

The published systems need patches that are not ours to ship (`[[procedure]]` in `patches/manifest.toml` says where each
comes from and which commit it is for). Before anything is changed, a journal in the clone's git folder notes the branch
and keeps a copy of every file that the patch touches, tracked or not; `revert_clone` puts back those copies, also after
an interruption.
"""

import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.environment.patches import PATCHES, Entry
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic, found_at, read_json, sha256, stays_inside
from helpers.repository import git
from helpers.shared import alone

LIST = "python -m helpers patch list"  # with the address of every repository


def _quoted(path):
    return shlex.quote(str(path))


def _revert(repo):
    return f"python -m helpers patch revert --clone {_quoted(repo)}"


def procedures(patches: PathLike = PATCHES) -> dict[str, Entry]:
    """The `[[procedure]]` entries of the manifest: {id: dict} with repository, commit, directory, steps, source."""
    content = tomllib.loads((Path(patches) / "manifest.toml").read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in content["procedure"]}


@typed
def apply_to_clone(repo: PathLike, patch_file: PathLike, commit: str, directory: str = "") -> dict[str, Any]:
    """Check out `commit` in the clone `repo` and apply `patch_file` to it; on any failure the clone is as it was.

    Args:
        repo: top folder of a git clone without changes to tracked files. Untracked files (copied in, or built) may be
            there, and the patch may touch them.
        patch_file: unified diff with `a/` and `b/` in front of paths.
        commit: what the patch was made for: a full or short hash, or a tag.
        directory: folder inside the clone that the patch's paths start from.

    Returns:
        dict of `state` ("applied"), `commit` (full hash), `previous` (branch or hash to go back to), `changed` (files;
        empty if the same patch was already applied) and `notes`.

    Raises:
        BadInput: not a clone, changes in the tree, unknown commit, another patch applied, or a patch that does not fit.
    """
    repo, patch_file = as_path(repo).resolve(), as_path(patch_file).resolve()
    journal = _journal(repo)
    if not patch_file.is_file():
        fix = "give the path of your copy of the patch"
        raise BadInput(patch_file, found_at(patch_file), "the patch to apply", fix)
    with _held(journal):
        commit = _resolve(repo, commit)
        key = {"patch": sha256(patch_file), "commit": commit, "directory": directory}
        if journal.is_file():
            return _already(repo, journal, _read(repo, journal), key)
        _require_clean(repo)
        record = key | {"stage": "started", "previous": _head(repo), "files": {}}
        _save(journal, record)
        try:
            _checkout(repo, commit)
            _apply(repo, patch_file, directory, journal, record)
        except BaseException:
            _restore(repo, journal, record)
            raise
        result = {"state": "applied", "commit": commit, "previous": record["previous"]}
        return result | {"changed": [*record["files"]], "notes": _submodules(repo)}


@typed
def revert_clone(repo: PathLike) -> dict[str, Any]:
    """Take back what `apply_to_clone` did, finished or interrupted: files byte for byte, then the former branch.

    Returns:
        dict of `state` ("not applied"), `previous` (where the clone is now) and `changed` (files put back).

    Raises:
        BadInput: not a clone, a file that was changed since (both hashes are named), other changes, another commit.
    """
    repo = as_path(repo).resolve()
    journal = _journal(repo)
    with _held(journal):
        if not journal.is_file():
            return {"state": "not applied", "previous": _head(repo), "changed": []}
        record = _read(repo, journal)
        if record["stage"] == "applied":
            _require_unchanged(repo, journal, record)
        _restore(repo, journal, record)
    return {"state": "not applied", "previous": record["previous"], "changed": [*record["files"]]}


def _held(journal):
    """The clone's git folder, for this run alone."""
    return alone(journal.parent.parent, "an application of a patch, or a revert,", "work in a clone of your own")


def _journal(repo):
    if not (repo / ".git").exists():
        found = "a folder without .git" if repo.is_dir() else "no such folder"
        tops = [parent for parent in repo.parents if (parent / ".git").exists()]
        fix = (
            f"give {tops[0]}"
            if tops and repo.is_dir()
            else f"git clone URL FOLDER, and give that folder; {LIST} shows the URL"
        )
        raise BadInput(repo, found, "the top folder of a git clone", fix)
    return Path(git(repo, "rev-parse", "--absolute-git-dir").strip()) / "onramp-patch" / "journal.json"


def _resolve(repo, commit):
    whole = re.fullmatch("[0-9a-f]{40}", commit)  # a server gives a commit by nothing shorter
    what = f"origin {commit}" if whole else "--tags origin, or give all 40 digits of the commit"
    fix = f"git -C {_quoted(repo)} fetch {what}, or clone the repository that the patch is for"
    return git(repo, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}", fix=fix).strip()


def _head(repo):
    """The branch, or the commit where there is none."""
    name = git(repo, "rev-parse", "--abbrev-ref", "HEAD").strip()
    return git(repo, "rev-parse", "HEAD").strip() if name == "HEAD" else name


def _changes(repo):
    """Tracked files that differ from the commit, staged or not."""
    lines = git(repo, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=all")
    return [line[3:] for line in lines.split("\0") if line]


def _require_clean(repo):
    if changed := _changes(repo):
        fix = f"git -C {_quoted(repo)} stash, or commit your changes; nothing was touched"
        raise BadInput(repo, f"changes in {', '.join(changed[:5])}", "a tree without changes", fix)


def _already(repo, journal, record, key):
    for name in key:
        if record[name] != key[name]:
            raise BadInput(repo, f"{name} {record[name]} (applied)", f"{name} {key[name]}", _revert(repo))
    if record["stage"] != "applied":
        raise BadInput(repo, "an interrupted application", "applied or not applied", _revert(repo))
    _require_unchanged(repo, journal, record)
    return {key: record[key] for key in ("commit", "previous")} | {"state": "applied", "changed": [], "notes": []}


def _require_unchanged(repo, journal, record):
    for name, digest in record["files"].items():
        if (found := _digest(repo / name)) != digest:
            left, here = journal.parent / "after" / name, _quoted(repo / name)
            back = f"cp {_quoted(left)} {here}" if digest != "absent" else f"rm {here}"
            fix = f"keep what is yours elsewhere, then {back}"
            raise BadInput(repo / name, f"SHA-256 {found}", f"{digest}, as the patch left it", fix)
    if others := sorted(set(_changes(repo)) - set(record["files"])):
        fix = f"git -C {_quoted(repo)} stash push -- {shlex.join(others)}"
        raise BadInput(repo, f"changes in {', '.join(others[:5])}", "only the patch's", fix)
    head = git(repo, "rev-parse", "HEAD").strip()
    if head != record["commit"]:
        fix = f"git -C {_quoted(repo)} checkout --detach {record['commit']}"
        raise BadInput(repo, f"commit {head}", record["commit"], fix)


def _digest(path):
    return sha256(path) if path.is_file() else "absent"


def _checkout(repo, to):
    git(repo, "checkout", "--quiet", *(["--detach"] if re.fullmatch("[0-9a-f]{40}", to) else []), to)


def _apply(repo, patch_file, directory, journal, record):
    place = [f"--directory={directory}"] if directory else []
    fix = "is this the patch for this commit, with its line endings? Nothing was changed"
    git(repo, "apply", "--check", *place, str(patch_file), fix=fix)
    lines = git(repo, "apply", "--numstat", "-z", *place, str(patch_file)).split("\0")
    names = [line.split("\t")[2] for line in lines if line]
    _keep(repo, names, journal.parent / "before")
    record |= {"stage": "applying", "files": dict.fromkeys(names)}
    _save(journal, record)
    git(repo, "apply", *place, str(patch_file), fix=fix)
    if others := sorted(set(_changes(repo)) - set(names)):
        git(repo, "checkout", "--quiet", "--", *others)
        found, fix = f"files renamed: {', '.join(others)}", "write it again: git diff --no-renames"
        raise BadInput(patch_file, found, "files changed, added or removed", fix)
    _keep(repo, names, journal.parent / "after")
    record |= {"stage": "applied", "files": {name: _digest(repo / name) for name in names}}
    _save(journal, record)


def _keep(repo, names, folder):
    """Copy those files of the clone that are there into `folder`."""
    for name in names:
        if (repo / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repo / name, folder / name)


def _restore(repo, journal, record):
    """The files as they were before, the former branch, and no journal."""
    for name in record["files"]:
        kept = journal.parent / "before" / name
        if kept.is_file():
            (repo / name).parent.mkdir(parents=True, exist_ok=True)
            with atomic(repo / name) as part:
                shutil.copy2(kept, part)
        elif (repo / name).is_file():
            (repo / name).unlink()
            _remove_empty(repo, (repo / name).parent)
    _checkout(repo, record["previous"])
    shutil.rmtree(journal.parent)


def _remove_empty(repo, folder):
    while folder != repo and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _read(repo, journal):
    kept, own = journal.parent / "before", _quoted(journal.parent)
    back = f"cp -a {_quoted(kept)}/. {_quoted(repo)} && " if kept.is_dir() else ""
    fix = f"{back}rm -r {own}   # files that the patch added stay: git -C {_quoted(repo)} status"
    record = read_json(journal, "the journal of an applied patch", fix)
    if not isinstance(record, dict) or not {"stage", "previous", "files"} <= record.keys():
        raise BadInput(journal, "not what was written", "the journal of an applied patch", fix)
    if foreign := [name for name in record["files"] if not stays_inside(name, repo)]:
        raise BadInput(journal, f"a file at {foreign[0]!r}", "files of this clone", fix)
    return record


def _save(journal, record):
    with atomic(journal) as part:
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _submodules(repo):
    lines = git(repo, "submodule", "status").splitlines()
    stale = [line.split()[1] for line in lines if line[0] in "-+"]
    command = f"git -C {_quoted(repo)} submodule update --init --recursive"
    return [f"submodules are not at this commit's version ({', '.join(stale[:3])}): {command}"] if stale else []
