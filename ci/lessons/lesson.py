"""A lesson before it runs: where it is, its parameters, whether it asks to be skipped, what its result depends on."""

import datetime
import hashlib
import json
import re
from pathlib import Path

from helpers.errors import BadInput
from helpers.files import ROOT

WORKER = Path(__file__).with_name("execute.py")
DEPENDENCIES = ("helpers/**/*.py", "data_scripts/**/*.py", "checkpoints/*", "results/*.json", "requirements/cpu.txt")


def find_notebooks(paths):
    """The notebooks named, or found in the folders named, as (path, path relative to its folder of lessons)."""
    found = {}
    for path in map(Path, paths):
        if path.is_dir():
            for notebook in sorted(path.rglob("*.ipynb")):
                if ".ipynb_checkpoints" not in notebook.parts:
                    found.setdefault(notebook.resolve(), notebook.relative_to(path))
        elif path.suffix == ".ipynb" and path.is_file():
            lessons = ROOT / "notebooks"
            inside = path.resolve().is_relative_to(lessons)
            found.setdefault(path.resolve(), path.resolve().relative_to(lessons) if inside else Path(path.name))
        else:
            raise BadInput(path, "no such notebook or folder", "an .ipynb file or a folder of them", "check the path")
    if not found:
        raise BadInput(" ".join(map(str, paths)), "no notebooks", "at least one .ipynb file", "check the path")
    return list(found.items())


def defined_parameters(notebook):
    """Names assigned in the cell tagged `parameters`."""
    cells = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    return {name for cell in cells for name in re.findall(r"^(\w+)\s*(?::[^=]+)?=", cell.source, re.MULTILINE)}


def skip_status(notebook, today):
    """(status, reason) if the metadata asks for a skip, else None; an expired or unreadable skip has status failed."""
    skip = notebook.metadata.get("onramp", {}).get("skip")
    if skip is None:
        return None
    try:
        reason, until = skip["reason"].strip(), datetime.date.fromisoformat(skip["until"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return "failed", 'the skip needs {"reason": "...", "until": "YYYY-MM-DD"}, found ' + json.dumps(skip)
    if not reason:
        return "failed", "the skip gives no reason"
    if today > until:
        return "failed", f"the skip ended on {until}: {reason}"
    return "skipped", f"{reason} (until {until})"


def key_of(path, parameters, prove_checks):
    """Digest of all that a notebook's result depends on: itself, the code and weights it calls, its parameters."""
    digest = hashlib.sha256(json.dumps([parameters, prove_checks], sort_keys=True).encode())
    for file in [path, WORKER, *(f for pattern in DEPENDENCIES for f in sorted(ROOT.glob(pattern)) if f.is_file())]:
        digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
