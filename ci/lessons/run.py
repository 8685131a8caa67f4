"""Runs notebooks through papermill, each in its own process under a wall clock, and reports on all of them.

A notebook ends as passed, failed, timed out or skipped. It passes only if each of its code cells ran, in order and
without an error, as its executed copy shows. It is skipped only if its metadata says why and until when:
`{"onramp": {"skip": {"reason": "...", "until": "YYYY-MM-DD"}}}`; after that day it fails. Writes `<out>/notebooks/` and
`<out>/report.json`. Exits with 1 if any failed or timed out, with 2 on bad usage.
"""

import argparse
import datetime
import hashlib
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from ci.lessons import cells, lesson, wrong
from ci.lessons.lesson import find_notebooks
from ci.lessons.process import Run, environment, timeout_error
from ci.lessons.progress import Progress, failure_text
from ci.lessons.sources import Sources, content
from helpers import cores, processes, signals, temporary
from helpers.cli import numbers
from helpers.files import ROOT, atomic, check_target
from helpers.shared import alone

STATUSES = ("passed", "failed", "timed out", "skipped")


def run_one(path, relative, arguments, previous, progress, found):
    """Run, skip or reuse one notebook; its entry in the report."""
    started, since, name = time.monotonic(), time.time(), str(relative)
    out, folder = arguments.out / "notebooks" / relative, ROOT / arguments.parameters["RECORDS"]
    entry = new_entry(name)
    try:
        notebook = lesson.read(path)
    except ValueError as error:
        out.unlink(missing_ok=True)
        return entry | {"reason": str(error)}
    entry["title"] = lesson.title_of(notebook, name)
    if skip := lesson.skip_status(notebook, datetime.date.today()):
        return entry | {"status": skip[0], "reason": skip[1]}
    defined = lesson.defined_parameters(notebook)
    parameters = {key: value for key, value in arguments.parameters.items() if key in defined}
    answers = wrong.file_of(relative, arguments.wrong_answers) if arguments.prove_checks else None
    key = lesson.key_of(path, notebook, parameters, answers, found)
    if arguments.reuse and is_proof(previous, key, out, folder):
        return previous | {"reused": True}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)

    def tick(cell, of):
        if arguments.stop.is_set():
            raise KeyboardInterrupt
        progress.tick(name, cell, of, time.monotonic() - started)

    with temporary.beside(out) as part, temporary.scratch() as scratch:
        variables = environment(arguments.threads, scratch)
        run = Run(path, part / out.name, parameters, answers, arguments.turns, variables)
        ended = run.wait(arguments.timeout, tick)
        if (part / out.name).exists():
            os.replace(part / out.name, out)
    entry |= {"seconds": round(time.monotonic() - started, 1), "key": key, "exercises": run.exercises}
    status, reason, error = run.verdict() if ended else ("timed out", "", timeout_error(arguments.timeout))
    if status == "passed" and (reason := shortfall(notebook, out)):
        status = "failed"
    if error and run.cell:
        lines = [line for line in notebook.cells[run.cell - 1].source.splitlines() if line.strip()]
        error |= {"cell": run.cell, "source": lines[:4]}
    reason = reason or (f"{error['name']} in cell {run.cell}" if error else "")
    left = {"sha256": content(out), "records": written(folder, name, since)}
    return sealed(entry | {"status": status, "reason": reason, "error": error, **left})


def new_entry(name):
    return {"notebook": name, "status": "failed", "seconds": 0.0, "reason": "", "reused": False, "exercises": []}


def shortfall(notebook, out):
    """What speaks against the executed copy, as text; empty if it shows that the whole lesson ran."""
    try:
        return cells.shortfall(notebook, lesson.read(out))
    except ValueError as error:
        return f"the executed copy: {error}"


def written(folder, name, since):
    """{file: digest} of the records in a folder that a lesson, which their command names, wrote since then."""
    recent = (path for path in sorted(folder.glob("*.json")) if path.stat().st_mtime > since - 1)  # of a coarse clock
    return {
        path.name: content(path)
        for path in recent
        if f"notebooks/{name}" in path.read_text(errors="replace", encoding="utf-8")
    }


def sealed(entry):
    """The entry with a digest of itself, by which a later run knows that it is whole."""
    entry = {name: value for name, value in entry.items() if name not in ("seal", "reused")}
    return entry | {"seal": hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest(), "reused": False}


def is_proof(previous, key, out, folder):
    """Whether an earlier entry proves that the lesson passed as it is now: its executed copy and records lie there."""
    passed = previous.get("status") == "passed" and previous.get("key") == key
    if not passed or sealed(previous)["seal"] != previous.get("seal"):
        return False
    kept = all(content(folder / name) == digest for name, digest in previous.get("records", {}).items())
    return kept and previous.get("sha256") == content(out)


def read_report(path):
    """The entries of an earlier report by notebook; those that can be read, so none from a damaged report."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["notebooks"]
        return {entry["notebook"]: entry for entry in entries if isinstance(entry, dict) and "notebook" in entry}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def run_all(notebooks, arguments):
    """Run the notebooks and write the report; its entries, in the order of the notebooks."""
    with alone(arguments.out / "notebooks", "a run of lessons", "pass another --out"):
        return run_held(notebooks, arguments)


def run_held(notebooks, arguments):
    """`run_all` in a folder that no other run writes to."""
    check_target(arguments.out / "report.json")
    previous = read_report(arguments.out / "report.json")
    arguments.threads, arguments.stop = max(1, cores.count() // arguments.jobs), threading.Event()
    progress, started, submitted = Progress(len(notebooks)), time.monotonic(), threading.Event()
    found = Sources(arguments.out, threads=arguments.threads)

    def one(item):
        submitted.wait()  # an interrupt can lose a thread that is being started: it must not begin a lesson
        if arguments.stop.is_set():
            raise KeyboardInterrupt
        try:
            entry = run_one(*item, arguments, previous.get(str(item[1]), {}), progress, found)
        except Exception as error:  # of this notebook alone: the others still run
            entry = new_entry(str(item[1])) | {"reason": f"the runner cannot run it: {type(error).__name__}: {error}"}
        progress.finish(entry)
        if entry["status"] in ("failed", "timed out"):
            progress.line(failure_text(entry))
        return entry

    with temporary.scratch() as scratch, ThreadPoolExecutor(arguments.jobs) as pool:
        arguments.turns = scratch if arguments.jobs > 1 else None
        try:
            last_first = reversed(notebooks) if arguments.jobs > 1 else notebooks  # the last lessons are the longest
            running = {item: pool.submit(one, item) for item in last_first}
            submitted.set()
            entries = [running[item].result() for item in notebooks]
        except BaseException:
            with signals.deferred():
                arguments.stop.set()
                submitted.set()
                pool.shutdown(cancel_futures=True)
            raise
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        "parameters": arguments.parameters,
        "cores": cores.count(),
        "jobs": arguments.jobs,
        "threads": arguments.threads,
        "notebooks": entries,
    }
    with atomic(arguments.out / "report.json") as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return entries


def parse(argv):
    parser = argparse.ArgumentParser(
        "python -m ci.lessons.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", default=[ROOT / "notebooks"], help="notebooks or folders (notebooks/)")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where the results go (build/)")
    parser.add_argument("--fast", action="store_true", help="sets FAST = True")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--timeout", type=numbers.real(1, 86_400), default=600, help="seconds for each notebook (600)")
    parser.add_argument("--jobs", type=numbers.whole(1, 1000), default=1, help="notebooks at once (1)")
    parser.add_argument("--cores", metavar="N", help="processor cores for all of them together (all)")
    parser.add_argument("--reuse", action="store_true", help="do not run again what passed and has not changed")
    parser.add_argument("--prove-checks", action="store_true", help="prove that each check fails without its solution")
    parser.add_argument("--wrong-answers", type=Path, default=wrong.FOLDER, help="their folder (tests/wrong_answers)")
    arguments = parser.parse_args(argv)
    arguments.out = arguments.out.resolve()
    if arguments.cores is not None:
        os.environ[cores.VARIABLE] = arguments.cores
    arguments.jobs = min(max(1, arguments.jobs), cores.limit() or arguments.jobs)
    arguments.parameters = {name: yaml.safe_load(value) for name, value in arguments.parameter}
    records = arguments.out / "records"
    records = records.relative_to(ROOT) if records.is_relative_to(ROOT) else records
    arguments.parameters.setdefault("RECORDS", str(records))
    if arguments.fast:
        arguments.parameters["FAST"] = True
    return arguments


def main(argv=None):
    arguments = parse(argv)
    notebooks = find_notebooks(arguments.paths)
    lesson.check_parameters([name for name, _ in arguments.parameter], notebooks)
    entries = run_all(notebooks, arguments)
    counts = {status: sum(e["status"] == status for e in entries) for status in STATUSES}
    print("notebooks: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return 1 if counts["failed"] + counts["timed out"] else 0


if __name__ == "__main__":
    sys.exit(processes.program(main))
