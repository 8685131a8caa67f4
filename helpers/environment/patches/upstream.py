"""Is a patch still needed? Each entry of `patches/manifest.toml` has a probe, a program that shows its fault or not.

`python patches/probes/ID.py` exits with 0 when all is well and with 1, and the message, when the fault shows. Here the
probes run against scratch copies of a package, so an environment is never touched.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.environment import patches as patching
from helpers.environment.patches import PATCHES
from helpers.errors import BadInput
from helpers.files import ROOT, PathLike

SECONDS = 120


@typed
def scratch(id: str, folder: PathLike, site: PathLike | None = None, patches: PathLike = PATCHES) -> Path:
    """Copy what an entry of the manifest is about into `folder`, unpatched, and return the folder.

    A package is copied with its metadata, so `folder` serves as a site-packages folder of one package
    (`PYTHONPATH=folder`); of the course's own code the folder of the example is copied.

    Raises:
        BadInput: unknown id, package not installed, or `folder` already holds it.
    """
    folder, entry = Path(folder), patching.find(id, patches)
    for source, target in _sources(entry, site):
        if (folder / target).exists():
            raise BadInput(folder / target, "already there", "a new folder", "give another folder, or remove it")
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / target)
    if patching.status(folder, patches, [id])[0]["state"] in ("applied", "half applied"):
        patching.unpatch(id, folder, patches=patches)
    return folder


def _sources(entry, site):
    """(what to copy, where it goes below the scratch folder) pairs."""
    if "package" not in entry:
        names = {str(Path(file["path"]).parent) for file in entry["files"]}
        return [(Path(site or ROOT) / name, name) for name in sorted(names)]
    found = patching.distribution(entry, site)
    if found is None:
        raise BadInput(entry["package"], "not installed", "an installed package", "make setup")
    tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
    return [(Path(str(found.locate_file(top))), top) for top in sorted(tops)]


@typed
def probe(id: str, site: PathLike | None = None, patches: PathLike = PATCHES) -> tuple[bool, str]:
    """Run an entry's probe with the packages of `site` in front; returns (is the fault there, what it printed).

    Raises:
        BadInput: no such probe, or one that ended otherwise than with 0, or with 1 and a message, or not in time.
    """
    program = Path(patches) / "probes" / f"{id}.py"
    if not program.is_file():
        known = ", ".join(path.stem for path in sorted(program.parent.glob("*.py")))
        raise BadInput(f"probe of {id}", "none", f"one of {known}", "python -m helpers patch list")
    settings = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    settings |= {"PYTHONPATH": str(site)} if site else {}
    command = [sys.executable, str(program)]
    try:
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
    except subprocess.TimeoutExpired as error:
        fix = f"run it where less else runs: {' '.join(command)}"
        raise BadInput(program, f"no end after {SECONDS} s", "a verdict", fix) from error
    if done.returncode not in (0, 1) or not done.stdout.strip():
        words = done.stderr.strip().splitlines() or ["nothing"]
        raise BadInput(program, words[-1], "exit code 0 or 1, and a message", f"run it: {' '.join(command)}")
    return done.returncode == 1, done.stdout.strip()


def check_upstream(
    id: str, folder: PathLike, patches: PathLike = PATCHES, site: PathLike | None = None
) -> dict[str, Any]:
    """Is this entry still needed for what is installed? Returns dict of `id`, `found`, `in_range`, `needed`, `message`.

    `site` is where the package is looked for, as for `patching.patch`. The probe runs on an unpatched copy made in
    `folder`. Two reasons to look at the manifest again: the installed version is not one that the entry knows, or the
    fault no longer shows. `message` says which, and what to do.
    """
    entry = patching.find(id, patches)
    found = patching.installed(entry, site)
    if "package" not in entry:
        message = f"course material, no upstream; ends when {entry['drop_when']}"
        return {"id": id, "found": found, "in_range": True, "needed": True, "message": message}
    needed, said = probe(id, scratch(id, folder, site, patches), patches)
    known, last = patching.in_range(entry, found), said.splitlines()[-1]
    if not needed:
        message = f"needless with {entry['package']} {found}: drop the entry ({entry['drop_when']})"
    elif known:
        message = f"needed: {last}"
    else:
        message = f"{entry['package']} {found} is not {entry['versions']} and has the fault: renew the entry ({last})"
    return {"id": id, "found": found, "in_range": known, "needed": needed, "message": message}
