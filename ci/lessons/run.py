"""Runs notebooks through papermill, each in its own process under a wall clock, and reports on all of them.

A notebook ends as passed, failed, timed out or skipped. It is skipped only if its metadata says why and until when:
`{"onramp": {"skip": {"reason": "...", "until": "YYYY-MM-DD"}}}`; after that day it fails. A notebook in which no cell
of its own ran fails. Writes `<out>/notebooks/` and `<out>/report.json`. Exits with 1 if any failed or timed out, with 2
on bad usage.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import yaml

from ci.lessons.progress import Progress
from helpers.errors import BadInput
from helpers.files import ROOT, atomic

WORKER = Path(__file__).with_name("execute.py")
STATUSES = ("passed", "failed", "timed out", "skipped")
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


def kill_tree(process):
    """Kill a process and all its descendants: a kernel lives in a session of its own, out of reach of a group kill."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    for child in family:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


class Run:
    """One notebook's process: what it has reported so far, and its end."""

    def __init__(self, path, out, parameters, prove_checks, threads):
        self.cell, self.of, self.exercises, self.done = 0, 0, [], None
        log = out.parent / f".{out.stem}.log"
        self.log = log.open("w+")
        command = [sys.executable, "-m", "ci.lessons.execute", path, out, "--parameters", json.dumps(parameters)]
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
        environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        self.process = subprocess.Popen(
            command + ["--prove-checks"] * prove_checks,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        log.unlink()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "cell":
                self.cell, self.of = event["cell"], event["of"]
            elif event["event"] == "exercise":
                self.exercises.append({"title": event["title"], "problem": event["problem"]})
            else:
                self.done = event

    def wait(self, timeout, tick):
        """True if the process ended by itself within `timeout` seconds; kills it otherwise. Calls `tick` meanwhile."""
        deadline = time.monotonic() + timeout
        try:
            while self.process.poll() is None:
                if time.monotonic() > deadline:
                    return False
                tick(self.cell, self.of)
                time.sleep(0.1)
            return True
        finally:
            kill_tree(self.process)
            self.reader.join(5)

    def log_tail(self):
        self.log.seek(0)
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.log.read())
        return [line for line in text.splitlines() if line.strip()][-8:]

    def verdict(self):
        """(status, what is wrong, error) once the process has ended by itself."""
        if self.done is None:
            message = f"exit code {self.process.returncode} before the notebook had ended"
            return "failed", "", {"name": "ProcessEnded", "message": message, "traceback": self.log_tail()}
        if self.done["error"]:
            return "failed", "", self.done["error"]
        if not self.done["executed"]:
            return "failed", "no code cell of its own ran", None
        wrong = [f"{e['title']}: {e['problem']}" for e in self.exercises if e["problem"]]
        return ("failed", "; ".join(wrong), None) if wrong else ("passed", "", None)


def run_one(path, relative, arguments, previous, progress, threads):
    """Run, skip or reuse one notebook; its entry in the report."""
    started, name = time.monotonic(), str(relative)
    out = arguments.out / "notebooks" / relative
    entry = {"notebook": name, "status": "failed", "seconds": 0.0, "reason": "", "reused": False, "exercises": []}
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        return entry | {"reason": f"not a readable notebook: {error}"}
    entry["title"] = next((c.source.lstrip("# ").splitlines()[0] for c in notebook.cells if c.source.strip()), name)
    if skip := skip_status(notebook, datetime.date.today()):
        return entry | {"status": skip[0], "reason": skip[1]}
    defined = defined_parameters(notebook)
    parameters = {key: value for key, value in arguments.parameters.items() if key in defined}
    key = key_of(path, parameters, arguments.prove_checks)
    if arguments.reuse and out.exists() and previous.get("key") == key and previous.get("status") == "passed":
        return previous | {"reused": True}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    run = Run(path, out, parameters, arguments.prove_checks, threads)
    ended = run.wait(arguments.timeout, lambda cell, of: progress.tick(name, cell, of, time.monotonic() - started))
    entry |= {"seconds": round(time.monotonic() - started, 1), "key": key, "exercises": run.exercises}
    status, reason, error = run.verdict() if ended else ("timed out", "", timeout_error(arguments.timeout))
    if error and run.cell:
        lines = [line for line in notebook.cells[run.cell - 1].source.splitlines() if line.strip()]
        error |= {"cell": run.cell, "source": lines[:4]}
    reason = reason or (f"{error['name']} in cell {run.cell}" if error else "")
    executed = run.done["executed"] if run.done else 0
    return entry | {"status": status, "reason": reason, "error": error, "executed": executed}


def timeout_error(seconds):
    return {"name": "Timeout", "message": f"killed after {seconds:g} s of wall clock", "traceback": []}


def first_line(text):
    return next((line for line in text.splitlines() if line.strip()), "")


def failure_text(entry):
    """The lines that tell a person what went wrong in a notebook."""
    error = entry.get("error") or {"source": [], "traceback": []}
    place = f", cell {error['cell']}" if "cell" in error else ""
    what = f"{error['name']}: {first_line(error['message'])}" if "name" in error else entry["reason"]
    lines = [f"{entry['status'].upper()}  {entry['notebook']}{place}"]
    lines += [f"    | {line}" for line in error.get("source", [])] + [f"    {what}"]
    return "\n".join(lines + [f"      {line}" for line in error["traceback"]])


def read_report(path):
    """The entries of an earlier report by notebook; empty if there is none that can be read."""
    try:
        return {entry["notebook"]: entry for entry in json.loads(path.read_text())["notebooks"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def run_all(notebooks, arguments):
    """Run the notebooks and write the report; its entries, in the order of the notebooks."""
    previous = read_report(arguments.out / "report.json")
    threads = max(1, len(os.sched_getaffinity(0)) // arguments.jobs)
    progress, started = Progress(len(notebooks)), time.monotonic()

    def one(item):
        entry = run_one(*item, arguments, previous.get(str(item[1]), {}), progress, threads)
        progress.finish(entry)
        if entry["status"] in ("failed", "timed out"):
            progress.line(failure_text(entry))
        return entry

    with ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            entries = list(pool.map(one, notebooks))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        "parameters": arguments.parameters,
        "cores": len(os.sched_getaffinity(0)),
        "notebooks": entries,
    }
    with atomic(arguments.out / "report.json") as part:
        part.write_text(json.dumps(report, indent=1) + "\n")
    return entries


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=[ROOT / "notebooks"], help="notebooks or folders (notebooks/)")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where the results go (build/)")
    parser.add_argument("--fast", action="store_true", help="sets FAST = True")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--timeout", type=float, default=600, help="seconds for each notebook (600)")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at once (1)")
    parser.add_argument("--reuse", action="store_true", help="do not run again what passed and has not changed")
    parser.add_argument("--prove-checks", action="store_true", help="prove that each check fails without its solution")
    arguments = parser.parse_args(argv)
    arguments.out = arguments.out.resolve()
    arguments.jobs = max(1, arguments.jobs)
    arguments.parameters = {name: yaml.safe_load(value) for name, value in arguments.parameter}
    records = arguments.out / "records"
    records = records.relative_to(ROOT) if records.is_relative_to(ROOT) else records
    arguments.parameters.setdefault("RECORDS", str(records))
    if arguments.fast:
        arguments.parameters["FAST"] = True
    return arguments


def main(argv=None):
    arguments = parse(argv)
    try:
        notebooks = find_notebooks(arguments.paths)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    try:
        entries = run_all(notebooks, arguments)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    counts = {status: sum(e["status"] == status for e in entries) for status in STATUSES}
    print("notebooks: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return 1 if counts["failed"] + counts["timed out"] else 0


if __name__ == "__main__":
    sys.exit(main())
