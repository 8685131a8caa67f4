"""One stage of the measurement: a work folder in which every finished piece is a JSON file, and a limit of time.

A piece that is there is not repeated, so a stage can be cut off and started again. Runs on Python 3.10 to 3.12.
"""

import csv
import datetime
import fnmatch
import functools
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

from helpers import records
from helpers.errors import BadInput, full, printable
from helpers.files import NOTHING, atomic, found_at, read_json, sha256

STATE = ("name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "temperature.gpu", "power.draw")
REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # the later name, the earlier one


def of_file(path):
    """What a piece depends on if it measures a file: its name and digest, which `report` puts into the record."""
    return {"file": Path(path).name, "sha256": sha256(path)}


def claim(work, name, prepares):
    """BadInput if a work folder was prepared for another system than `name`; keeps the name where it is prepared."""
    path = Path(work) / "system.json"
    found = read_json(path, "the name of a system", "remove it") if path.is_file() else None
    if found not in (None, name):
        raise BadInput(work, f"the work folder of {printable(found)}", f"one of {name}", "name another: --work=FOLDER")
    if prepares and found is None:
        with atomic(path) as part:
            part.write_text(json.dumps(name) + "\n")


def check_whole(session, shapes):
    """BadInput if the frames of these shapes were prepared for a trial, with --tiny."""
    for shape in shapes:
        if (session.depends(f"prepare/{shape}/frames") or {}).get("tiny"):
            raise BadInput(session.work, "the few frames that prepare writes with --tiny", "those of a whole run",
                           "prepare again without --tiny, or measure with it")  # fmt: skip


class Session:
    """Runs pieces and keeps their results.

    Args:
        work: the work folder.
        only: patterns; a piece runs if one of them occurs in its name, behind which stands a $. None runs all.
        budget: seconds after the start in which pieces may run; a piece that is expected to take longer than what is
            left of them is left for the next call.
        retry: repeat the pieces that failed.
        command: what the user typed, for the records.
        commit: commit of the code, for the records; asked of git unless given.

    Attributes:
        left: names of the pieces for which there was no time.
        failed: names of the pieces that ended in an error, now or before.
        met: whether the patterns fit any piece.
    """

    def __init__(self, work, only=None, budget=None, retry=False, command="", commit=None):
        self.work, self.only, self.retry = Path(work), only or [], retry
        self.until = time.monotonic() + budget if budget else float("inf")
        self.command, self.commit = command, commit or records.commit()
        self.left, self.failed, self.met = [], [], False

    def piece(self, name, make, seconds=5, depends=None):
        """The result of `make()` (a JSON-able dict), kept under `name`; None if it failed or was left out.

        Args:
            seconds: how long it may take, against the budget.
            depends: JSON-able; a piece whose `depends` was another is made anew.
        """
        path, depends = self.path(name), json.loads(json.dumps(depends))
        found = _read(path)
        wanted = self.wants(name)
        if found and found["depends"] == depends and not (self.retry and _failed(found)):
            if wanted and "error" in found:
                self.failed.append(name)
                print(f"{name}: failed before, --retry repeats it ({found['error'][:200]})")
            return found.get("result")
        if not wanted:
            return None
        if time.monotonic() + seconds > self.until:
            self.left.append(name)
            return None
        print(f"{name} ...", end=" ", flush=True)
        start, before = time.monotonic(), gpu_state()
        entry = {"depends": depends, "command": self.command, "commit": self.commit, "date": _now()} | provenance(
            before
        )
        try:
            entry["result"] = self._guarded(path.with_suffix(".started"), make)
        except Exception as error:
            if full(error):  # which is no fault of the piece: the next call makes it
                raise
            entry["error"] = f"{type(error).__name__}: {error}"
            entry["traceback"] = traceback.format_exc()
            self.failed.append(name)
        entry |= {"seconds": round(time.monotonic() - start, 1), "gpu_before": before, "gpu_after": gpu_state()}
        with atomic(path) as part:
            part.write_text(json.dumps(entry, indent=1) + "\n")
        print(f"{entry['seconds']} s", entry.get("error", ""), flush=True)
        return entry.get("result")

    def wants(self, name):
        """Whether the patterns let a piece of this name run."""
        wanted = not self.only or any(fnmatch.fnmatchcase(f"{name}$", f"*{pattern}*") for pattern in self.only)
        self.met |= wanted
        return wanted

    def _guarded(self, marker, make):
        """`make()`, unless it ended the whole process (a crash, a kill) when it ran the last time."""
        if marker.exists() and not self.retry:
            marker.unlink()
            raise RuntimeError("the process ended in this piece the last time; --retry tries it again")
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        try:
            result = make()
        except (Exception, KeyboardInterrupt):
            marker.unlink(missing_ok=True)  # another process may work in this folder
            raise
        marker.unlink(missing_ok=True)
        return result

    def path(self, name):
        """Where the JSON file of a piece lies."""
        return self.work / "pieces" / f"{name}.json"

    def result(self, name):
        """The result of a piece that was made before, else None."""
        return (_read(self.path(name)) or {}).get("result")

    def depends(self, name):
        """What a piece depended on that was made before, else None."""
        return (_read(self.path(name)) or {}).get("depends")

    def pieces(self):
        """dict of name to entry (result or error, and provenance), all that the work folder holds."""
        root = self.work / "pieces"
        return {str(path.relative_to(root))[:-5]: _read(path) for path in sorted(root.rglob("*.json"))}


def _read(path):
    """The entry of a piece, None where it was not made; BadInput for another file."""
    if found_at(path) == NOTHING:
        return None
    expected, fix = "a piece, as a stage writes it", "remove it; the stage makes it again"
    entry = read_json(path, expected, fix)
    if not isinstance(entry, dict) or "depends" not in entry or not {"result", "error"} & entry.keys():
        raise BadInput(path, "neither a result nor an error", expected, fix)
    if not isinstance(entry.get("result", {}), dict):
        raise BadInput(path, f"a result that is a {type(entry['result']).__name__}", expected, fix)
    return entry


def _failed(entry):
    """Whether a piece raised, or told that a process of its own ended."""
    return "error" in entry or "ended" in entry["result"]


def _now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")  # noqa: UP017  (Python 3.10)


_installed = functools.cache(records.installed)  # once for all pieces of a process: it reads the packages' metadata


def provenance(state):
    """device (GPU and driver, None without one), cpu and versions, of this process."""
    versions = dict(_installed())
    torch = sys.modules.get("torch")
    if torch is not None and torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    device = f"{state['name']}, driver {state['driver_version']}" if state else None
    return {"device": device, "cpu": records.cpu(), "versions": versions}


def gpu_state():
    """What nvidia-smi says of the first GPU that CUDA is shown, a dict of query name to text; None without it."""
    if not shutil.which("nvidia-smi"):
        return None
    answers = (_ask((*STATE, *reason)) for reason in (REASONS[:1], REASONS[1:], ()))
    return next((answer for answer in answers if answer), None)


def _ask(names):
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    query = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits", f"--id={shown}"]
    answer = subprocess.run(query, capture_output=True, text=True)
    values = next(csv.reader(answer.stdout.splitlines(), skipinitialspace=True), [])
    return dict(zip(names, values)) if not answer.returncode and len(values) == len(names) else None  # noqa: B905
