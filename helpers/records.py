"""Result records: one JSON file for each run, with where its figures come from.

A record of kind `measured` was taken by the machine and the files at hand; one of kind `recorded` was taken elsewhere
or earlier and is shown, never passed off as a measurement.
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers import contradictions, cores, shared
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import ROOT, PathLike, as_path, read_json, sha256
from helpers.repository import git

KINDS = ("measured", "recorded")
PACKAGES = ("torch", "onnx", "onnxruntime", "nvidia-modelopt", "tensorrt", "tensorrt-rtx", "numpy", "nuscenes-devkit",
            "opencv-python-headless", "nvidia-nvimgcodec-cu12", "nvidia-nvimgcodec-cu13")  # fmt: skip
TYPES = {"name": str, "kind": str, "device": str, "versions": dict, "command": str, "commit": str, "date": str,
         "metrics": dict}  # fmt: skip
OPTIONAL = {"artifacts": dict}  # may be empty, and absent: records of an earlier day lack it
RUNNER = "ONRAMP_RUNNER"  # set by ci.lessons.run in the processes of its lessons: nobody runs their cells by hand
ARTIFACTS = "name the graph, the engine or the weights that the figures are of: artifacts=[PATH]"
FIX = "correct the file, or write it again with helpers.records.write"


@dataclasses.dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        name: what was run; letters, digits, `.`, `_`, `-`.
        kind: "measured" or "recorded".
        device: CPU or GPU, in words.
        versions: dict of package to version.
        command: the shell command that repeats the run; before it, where the cells were run by hand, their page.
        commit: commit of the code, with `-dirty` if files differed from it, or "unknown".
        date: ISO 8601 with an offset, such as 2026-01-31T12:00:00+00:00.
        metrics: flat dict of name to finite number or str, such as NDS, mAP, latency_ms_p50.
        artifacts: dict of name to SHA-256 of the files that were measured; all metrics are of these.
    """

    name: str
    kind: str
    device: str
    versions: dict[str, str]
    command: str
    commit: str
    date: str
    metrics: dict[str, float | int | str]
    artifacts: dict[str, str] = dataclasses.field(default_factory=dict)


@typed
def record(
    name: str,
    metrics: Mapping[str, Any],
    command: str,
    artifacts: Iterable[PathLike],
    kind: str = "measured",
    device: str | None = None,
    versions: dict[str, str] | None = None,
) -> Record:
    """A Record of now, on this machine: fills in device (this CPU unless given), versions, commit and date.

    In a notebook whose cells are run by hand, `command` did not produce the figures: the record then says so.

    `metrics` holds numbers, NumPy's included, and str. `artifacts`: the files that were measured, such as the graph,
    whose digests tell later which ones they were. BadInput if there is none, or two of one name.
    """
    paths = [Path(path) for path in artifacts]
    if not paths or len({path.name for path in paths}) < len(paths):
        found = f"artifacts = {[str(path) for path in paths]}"
        raise BadInput(f"record {name!r}", found, "files that were measured, each of its own name", ARTIFACTS)
    fields = {
        "name": name,
        "kind": kind,
        "device": device or cpu(),
        "versions": installed() | (versions or {}),
        "command": f"{by_hand()}; the command that does the same: {command}" if command and by_hand() else command,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "metrics": {key: value.item() if isinstance(value, np.generic) else value for key, value in metrics.items()},
        "artifacts": {path.name: sha256(path) for path in paths},
    }
    return _checked(fields, f"record {name!r}")


def by_hand() -> str:
    """ "cell by cell in PAGE" within a notebook that ci.lessons.run has not started, else ""."""
    kernel = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    if kernel is None or not kernel.initialized() or RUNNER in os.environ:
        return ""
    page = os.environ.get("JPY_SESSION_NAME", "a notebook")  # JupyterLab tells its kernels the path of their page
    return f"cell by cell in {page.removeprefix(f'{ROOT}/')}"


@typed
def cpu(cpuinfo: PathLike = "/proc/cpuinfo") -> str:
    """The CPU's model name and the number of cores, such as "AMD EPYC 7763, 2 cores", or "..., 4 cores, 1 used"."""
    model = platform.machine()
    if Path(cpuinfo).is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", Path(cpuinfo).read_text(encoding="utf-8"), re.MULTILINE)
        model = match[1].strip() if match else model
    used = cores.limit()
    return f"{model}, {cores.machine()} cores" + (f", {used} used" if used else "")


def installed() -> dict[str, str]:
    """dict of package to installed version, Python first; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def commit(folder: PathLike = ROOT) -> str:
    """Commit of the code in `folder`, `-dirty` appended if tracked files differ from it.

    "unknown" where `folder` is not the top of its own repository: the commit of another one says nothing about it.
    """
    try:
        head = git(folder, "rev-parse", "--short=12", "HEAD").strip()
        return head + ("-dirty" if git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except BadInput:
        return "unknown"


@typed
def write(record: Record, folder: PathLike = "results") -> Path:
    """Write a Record as `<name>-<date>.json` into `folder`; returns its path. Another record of that name and second
    stays: the file is then called `<name>-<date>-2.json`.
    """
    _checked(dataclasses.asdict(record), f"record {record.name!r}")
    if not os.fspath(folder):
        raise BadInput("folder of records", "no name", "a folder", "name one, such as build/records")
    if other := [key for key in record.metrics if not isinstance(key, str)]:
        raise BadInput(f"record {record.name!r}", f"a metric of the name {other[0]!r}", "names as texts", "rename it")
    stamp = datetime.datetime.fromisoformat(record.date).astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    text = json.dumps(dataclasses.asdict(record), indent=2, allow_nan=False) + "\n"
    return shared.write_new(Path(folder) / f"{record.name}-{stamp}.json", text)


@typed
def read(path: PathLike) -> Record:
    """The Record in a JSON file; BadInput naming the file, the key and the value if it is not one."""
    return _checked(read_json(path, "a record", FIX), path)


@typed
def read_all(folder: PathLike = "results") -> list[Record]:
    """All records of a folder, oldest first; an absent folder has none."""
    paths = sorted(as_path(folder).glob("*.json"), key=lambda path: (len(path.stem), path.stem))  # -2 before -10
    return sorted(map(read, paths), key=lambda record: (datetime.datetime.fromisoformat(record.date), record.name))


@typed
def family(prefix: str, metric: str, folder: PathLike = "results", device: str = "NVIDIA") -> dict[str, Record]:
    """The records whose names begin with `prefix`, the latest of each name, all of one device.

    The device is that of the newest of them among the devices whose names begin with `device`. Only records with
    `metric` are kept. Returns {the rest of the name: Record}, oldest first; {} where there is none.
    """
    found = [one for one in read_all(folder) if one.name.startswith(prefix) and one.device.startswith(device)]
    if not found:
        return {}
    latest = {one.name: one for one in found if one.device == found[-1].device}
    return {name.removeprefix(prefix): one for name, one in latest.items() if metric in one.metrics}


def _checked(fields: Any, where: object) -> Record:
    """The Record of a dict; BadInput naming `where`, the key and the value that is wrong."""
    keys = f"the keys {list(TYPES)}"
    if not isinstance(fields, dict):
        raise BadInput(where, type(fields).__name__, f"an object with {keys}", FIX)
    fields = {key: kind() for key, kind in OPTIONAL.items()} | fields
    for key in fields.keys() - TYPES.keys() - OPTIONAL.keys():
        raise BadInput(where, f"unknown key {key!r}", keys, FIX)
    for key, kind in (TYPES | OPTIONAL).items():
        if key not in fields:
            raise BadInput(where, f"no key {key!r}", keys, FIX)
        if not isinstance(fields[key], kind) or not (fields[key] or key in OPTIONAL):
            raise BadInput(where, f"{key} = {fields[key]!r}", f"{key}: a {kind.__name__} that is not empty", FIX)
    for found, expected in _wrong_values(fields):
        raise BadInput(where, found, expected, FIX)
    return Record(**fields)


def _wrong_values(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what is there, what is expected) for every value of the right type that is not allowed."""
    if not re.fullmatch(r"\w[\w.-]*", fields["name"], re.ASCII):
        yield f"name = {fields['name']!r}", "letters, digits, '.', '_', '-'"
    if fields["kind"] not in KINDS:
        yield f"kind = {fields['kind']!r}", f"one of {list(KINDS)}"
    if not _is_date(fields["date"]):
        yield f"date = {fields['date']!r}", "ISO 8601 with an offset, as 2026-01-31T12:00:00+00:00"
    for key, value in fields["versions"].items():
        if not isinstance(value, str):
            yield f"versions[{key!r}] = {value!r}", "a str"
    for key, value in fields["artifacts"].items():
        if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
            yield f"artifacts[{key!r}] = {value!r}", "a SHA-256, 64 hexadecimal digits"
    for key, value in fields["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            yield f"metrics[{key!r}] = {value!r}", "a number or a str: the map is flat"
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"metrics[{key!r}] = {value!r}", "a finite number"
    yield from contradictions.found(fields["metrics"])


def _is_date(text: str) -> bool:
    try:
        date = datetime.datetime.fromisoformat(text)
        date.astimezone(datetime.UTC)  # the first and the last day may be out of range in UTC
    except (ValueError, OverflowError):
        return False
    return date.tzinfo is not None


@typed
def compare(a: Record, b: Record) -> list[dict[str, Any]]:
    """The numeric metrics that records `a` and `b` share.

    Returns:
        list[dict] with metric, a, b, difference (b - a), ratio (b / a, None where a is 0), and note: what keeps the two
        from being compared (another device), or "".
    """
    note = "" if a.device == b.device else f"different devices: {a.device} | {b.device}"
    result = []
    for key, left in a.metrics.items():
        right = b.metrics.get(key)
        if isinstance(left, str) or right is None or isinstance(right, str):
            continue
        ratio = right / left if left else None
        result.append({"metric": key, "a": left, "b": right, "difference": right - left, "ratio": ratio, "note": note})
    return result
