"""Runs notebooks through papermill, each in its own process under a wall clock, and reports on all of them.

A notebook ends as passed, failed, timed out or skipped. It is skipped only if its metadata says why and until when:
`{"onramp": {"skip": {"reason": "...", "until": "YYYY-MM-DD"}}}`; after that day it fails. A notebook in which no cell
of its own ran fails. Writes `<out>/notebooks/` and `<out>/report.json`. Exits with 1 if any failed or timed out, with 2
on bad usage.
"""

import argparse
import datetime
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import yaml

from ci.lessons import wrong
from ci.lessons.lesson import defined_parameters, find_notebooks, key_of, skip_status
from ci.lessons.process import Run, timeout_error
from ci.lessons.progress import Progress, failure_text
from helpers import cores
from helpers.errors import BadInput
from helpers.files import ROOT, atomic

STATUSES = ("passed", "failed", "timed out", "skipped")


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
    run = Run(path, out, parameters, arguments.prove_checks, threads, wrong.file_of(relative, arguments.wrong_answers))
    ended = run.wait(arguments.timeout, lambda cell, of: progress.tick(name, cell, of, time.monotonic() - started))
    entry |= {"seconds": round(time.monotonic() - started, 1), "key": key, "exercises": run.exercises}
    status, reason, error = run.verdict() if ended else ("timed out", "", timeout_error(arguments.timeout))
    if error and run.cell:
        lines = [line for line in notebook.cells[run.cell - 1].source.splitlines() if line.strip()]
        error |= {"cell": run.cell, "source": lines[:4]}
    reason = reason or (f"{error['name']} in cell {run.cell}" if error else "")
    executed = run.done["executed"] if run.done else 0
    return entry | {"status": status, "reason": reason, "error": error, "executed": executed}


def read_report(path):
    """The entries of an earlier report by notebook; empty if there is none that can be read."""
    try:
        return {entry["notebook"]: entry for entry in json.loads(path.read_text())["notebooks"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def run_all(notebooks, arguments):
    """Run the notebooks and write the report; its entries, in the order of the notebooks."""
    previous = read_report(arguments.out / "report.json")
    threads = max(1, cores.count() // arguments.jobs)
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
        "cores": cores.count(),
        "notebooks": entries,
    }
    with atomic(arguments.out / "report.json") as part:
        part.write_text(json.dumps(report, indent=1) + "\n")
    return entries


def parse(argv):
    parser = argparse.ArgumentParser(
        "python -m ci.lessons.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", default=[ROOT / "notebooks"], help="notebooks or folders (notebooks/)")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where the results go (build/)")
    parser.add_argument("--fast", action="store_true", help="sets FAST = True")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--timeout", type=float, default=600, help="seconds for each notebook (600)")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at once (1)")
    parser.add_argument("--reuse", action="store_true", help="do not run again what passed and has not changed")
    parser.add_argument("--prove-checks", action="store_true", help="prove that each check fails without its solution")
    parser.add_argument("--wrong-answers", type=Path, default=wrong.FOLDER, help="their folder (tests/wrong_answers)")
    arguments = parser.parse_args(argv)
    arguments.out = arguments.out.resolve()
    arguments.jobs = min(max(1, arguments.jobs), cores.limit() or arguments.jobs)
    arguments.parameters = {name: yaml.safe_load(value) for name, value in arguments.parameter}
    records = arguments.out / "records"
    records = records.relative_to(ROOT) if records.is_relative_to(ROOT) else records
    arguments.parameters.setdefault("RECORDS", str(records))
    if arguments.fast:
        arguments.parameters["FAST"] = True
    return arguments


def main(argv=None):
    try:
        arguments = parse(argv)
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
