"""A lesson before it runs: where it is, its parameters, whether it asks to be skipped, what its result depends on."""

import ast
import contextlib
import datetime
import hashlib
import json
import re
from pathlib import Path

import nbformat

from ci.lessons import sources
from helpers.errors import BadInput
from helpers.files import ROOT

PARAMETER = re.compile(r"^(\w+)\s*(?::[^=]+)?=\s*(.*)$", re.MULTILINE)
COMMON = ("TIER", "FAST", "DATAROOT", "VERSION", "RECORDS")  # what a run may give to lessons that have no use for it


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


def read(path):
    """The notebook in a file. Raises ValueError, in one line, for a file that is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # a file can be damaged in many ways
        first = next(iter(str(error).splitlines()), "")
        raise ValueError(f"not a readable notebook: {first or type(error).__name__}") from error
    return notebook


def title_of(notebook, otherwise):
    lines = (line.lstrip("# ") for cell in notebook.cells for line in cell.source.splitlines()[:1])
    return next((line for line in lines if line), otherwise)


def defined_parameters(notebook):
    """The names assigned in the cell tagged `parameters`, and the text of their values."""
    cells = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    return {name: value for cell in cells for name, value in PARAMETER.findall(cell.source)}


def check_parameters(names, notebooks):
    """BadInput for a parameter that none of these notebooks has, but for those that every run may give."""
    defined = set(COMMON)
    for path, _ in notebooks:
        with contextlib.suppress(ValueError):  # one that cannot be read has a row of its own in the report
            defined |= defined_parameters(read(path)).keys()
    if unknown := sorted(set(names) - defined):
        raise BadInput(f"parameter {unknown[0]}", "in none of the notebooks", ", ".join(sorted(defined)), "correct it")


def data_root(notebook, parameters):
    """The data set that the lesson runs on: the parameter, or what its own cell says; None if it has none."""
    if "DATAROOT" in parameters:
        return str(parameters["DATAROOT"])
    try:
        return str(ast.literal_eval(defined_parameters(notebook)["DATAROOT"]))
    except (KeyError, ValueError, SyntaxError):
        return None


def skip_status(notebook, today):
    """(status, reason) if the metadata asks for a skip, else None; an expired or unreadable skip has status failed."""
    onramp = notebook.metadata.get("onramp", {})
    if not isinstance(onramp, dict):
        return "failed", "the metadata `onramp` is not an object: " + json.dumps(onramp)
    skip = onramp.get("skip")
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


def key_of(path, notebook, parameters, proof, found):
    """Digest of all that a lesson's result depends on: itself, its parameters, its data, what all lessons share.

    Args:
        proof: the file of wrong answers that its checks are proven with; None if they are not proven.
        found: the `sources.Sources` of the run.
    """
    root = data_root(notebook, parameters)
    parts = [parameters, sources.content(path), proof and sources.content(proof), root and found.data(root)]
    return hashlib.sha256(json.dumps([*parts, found.shared], sort_keys=True, default=str).encode()).hexdigest()
