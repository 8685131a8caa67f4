"""Result records: one JSON file for each run, with where its figures come from.

A record of kind `measured` was taken by the machine and the files at hand; one of kind `recorded` was taken elsewhere
or earlier and is shown, never passed off as a measurement.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import subprocess
from pathlib import Path

from helpers.errors import BadInput
from helpers.files import ROOT, atomic

KINDS = ("measured", "recorded")
PACKAGES = ("torch", "onnx", "onnxruntime", "nvidia-modelopt", "tensorrt", "tensorrt-rtx", "numpy", "nuscenes-devkit")
TYPES = {"name": str, "kind": str, "device": str, "versions": dict, "command": str, "commit": str, "date": str,
         "metrics": dict}  # fmt: skip
FIX = "correct the file, or write it again with helpers.records.write"


@dataclasses.dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        name: what was run; letters, digits, `.`, `_`, `-`.
        kind: "measured" or "recorded".
        device: CPU or GPU, in words.
        versions: dict of package to version.
        command: the shell command, or the lesson, that repeats the run.
        commit: commit of the code, with `-dirty` if files differed from it, or "unknown".
        date: ISO 8601 with an offset, such as 2026-01-31T12:00:00+00:00.
        metrics: flat dict of name to finite number or str, such as NDS, mAP, latency_ms_p50.
    """

    name: str
    kind: str
    device: str
    versions: dict[str, str]
    command: str
    commit: str
    date: str
    metrics: dict[str, float | int | str]


def record(name, metrics, command, kind="measured", device=None, versions=None):
    """A Record of now, on this machine: fills in device (this CPU unless given), versions, commit and date."""
    fields = {
        "name": name,
        "kind": kind,
        "device": device or cpu(),
        "versions": installed() | (versions or {}),
        "command": command,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "metrics": {key: value.item() if hasattr(value, "item") else value for key, value in metrics.items()},
    }
    return _checked(fields, f"record {name!r}")


def cpu(cpuinfo="/proc/cpuinfo"):
    """The CPU's model name and the number of cores, such as "AMD EPYC 7763, 2 cores"."""
    model = platform.machine()
    if Path(cpuinfo).is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", Path(cpuinfo).read_text(), re.MULTILINE)
        model = match[1].strip() if match else model
    return f"{model}, {os.cpu_count()} cores"


def installed():
    """dict of package to installed version, Python first; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def commit(folder=ROOT):
    """Commit of the code in `folder`, `-dirty` appended if tracked files differ from it; "unknown" outside git."""
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        return head + ("-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder, *arguments):
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write(record, folder="results"):
    """Write a Record as `<name>-<date>.json` into `folder`; returns its path."""
    _checked(dataclasses.asdict(record), f"record {record.name!r}")
    stamp = datetime.datetime.fromisoformat(record.date).astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    path = Path(folder) / f"{record.name}-{stamp}.json"
    with atomic(path) as part:
        part.write_text(json.dumps(dataclasses.asdict(record), indent=2, allow_nan=False) + "\n")
    return path


def read(path):
    """The Record in a JSON file; BadInput naming the file, the key and the value if it is not one."""
    try:
        fields = json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise BadInput(path, "no such file", "a record", "correct the path") from error
    except ValueError as error:
        raise BadInput(path, f"not JSON ({error})", "a record", FIX) from error
    return _checked(fields, path)


def read_all(folder="results"):
    """All records of a folder, oldest first; an absent folder has none."""
    records = [read(path) for path in Path(folder).glob("*.json")]
    return sorted(records, key=lambda record: (datetime.datetime.fromisoformat(record.date), record.name))


def _checked(fields, where):
    if not isinstance(fields, dict):
        raise BadInput(where, type(fields).__name__, f"an object with the keys {list(TYPES)}", FIX)
    for key in fields.keys() - TYPES.keys():
        raise BadInput(where, f"unknown key {key!r}", f"the keys {list(TYPES)}", FIX)
    for key, kind in TYPES.items():
        if key not in fields:
            raise BadInput(where, f"no key {key!r}", f"the keys {list(TYPES)}", FIX)
        if not isinstance(fields[key], kind) or not fields[key]:
            raise BadInput(where, f"{key} = {fields[key]!r}", f"{key}: a {kind.__name__} that is not empty", FIX)
    if not re.fullmatch(r"\w[\w.-]*", fields["name"], re.ASCII):
        raise BadInput(where, f"name = {fields['name']!r}", "letters, digits, '.', '_', '-'", FIX)
    if fields["kind"] not in KINDS:
        raise BadInput(where, f"kind = {fields['kind']!r}", f"one of {list(KINDS)}", FIX)
    try:
        with_offset = datetime.datetime.fromisoformat(fields["date"]).tzinfo is not None
    except ValueError:
        with_offset = False
    if not with_offset:
        raise BadInput(
            where, f"date = {fields['date']!r}", "ISO 8601 with an offset, as 2026-01-31T12:00:00+00:00", FIX
        )
    for key, value in fields["versions"].items():
        if not isinstance(value, str):
            raise BadInput(where, f"versions[{key!r}] = {value!r}", "a str", FIX)
    for key, value in fields["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise BadInput(where, f"metrics[{key!r}] = {value!r}", "a number or a str: the map is flat", FIX)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(where, f"metrics[{key!r}] = {value!r}", "a finite number", FIX)
    return Record(**fields)


def compare(a, b):
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
