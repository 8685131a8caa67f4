"""Runs what must hold: lint, the rules of lessons, unit tests, every lesson in FAST mode, and its book in a browser.

Names of stages select. Every stage runs even when an earlier one has failed. The last line counts them all:
`total: N passed, N failed`.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ci import browser
from helpers import cores, disk, processes
from helpers.files import ROOT
from helpers.shared import alone

OUT = ROOT / "build/fast"
JUNIT, BROWSER = OUT / "pytest.xml", OUT / "browser.xml"
PYTHON = sys.executable
WORKERS = min(4, cores.count())  # processes that share the unit tests, each with one thread
AT_ONCE = ["--jobs", str(min(2, cores.count()))]  # lessons; each needs some GB of memory
SHARED = ["-n", str(WORKERS), "--dist=worksteal"]
# Freed memory is kept for what comes next: handing pages back and asking for them again takes an eighth of the time.
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 31), "MALLOC_TOP_PAD_": str(1 << 26)}
VARIABLES = {"unit": KEPT | {"OMP_NUM_THREADS": "1"}, "notebooks": KEPT}
MIB = 2**20
# MiB that a stage writes below build/, and that its temporary files take at most, as fresh runs on two cores left them.
ROOM = {"lint": (25, 0), "unit": (0, 1000), "notebooks": (1650, 50), "browser": (0, 150)}
WRITTEN = ("cache", "engines", "fast", "lessons", "mypy")  # below build/: the next run writes it again
TOGETHER = {"lint"}  # stages whose commands share the cores, the longest first
STAGES = {
    "lint": [
        [PYTHON, "-m", "mypy", "helpers"],
        [PYTHON, "-m", "ci.lessons.check"],
        [PYTHON, "-m", "ruff", "check", "."],
        [PYTHON, "-m", "ruff", "format", "--check", "."],
        [PYTHON, "-m", "ci.results", "--check"],
    ],
    "unit": [[PYTHON, "-m", "pytest", *SHARED, f"--junitxml={JUNIT}", "--durations=5", "--ignore=tests/browser"]],
    "notebooks": [
        [PYTHON, "-m", "ci.lessons.run", "--fast", "--prove-checks", *AT_ONCE, "--out", str(OUT), "-p", "TIER", "cpu"],
        [PYTHON, "-m", "ci.book", "--strict", "--out", str(OUT)],
    ],
    "browser": [[PYTHON, "-m", "pytest", "tests/browser", *SHARED, f"--junitxml={BROWSER}", "--durations=5"]],
}


def junit_counts(report):
    """(passed, failed, skipped) of tests that wrote this report."""
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests"))
        failed += int(suite.get("failures")) + int(suite.get("errors"))
        skipped += int(suite.get("skipped"))
    return total - failed - skipped, failed, skipped


def notebook_counts():
    """(passed, failed, skipped) of the lessons; one that timed out has failed."""
    statuses = [entry["status"] for entry in json.loads((OUT / "report.json").read_text(encoding="utf-8"))["notebooks"]]
    passed, skipped = statuses.count("passed"), statuses.count("skipped")
    return passed, len(statuses) - passed - skipped, skipped


def title(command):
    return "\n== " + " ".join(command).replace(PYTHON, "python").replace(f"{ROOT}/", "")


def run_command(command, environment):
    """The exit code of a command, whose output is seen as it comes."""
    print(title(command), flush=True)
    return processes.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)


def run_beside(command, environment):
    """The exit code of a command that runs beside others; what it says is printed as a whole when it has ended."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        told = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": subprocess.STDOUT}
        code = processes.run(command, cwd=ROOT, env=environment, **told)
        said.seek(0)
        print(f"{title(command)}\n{said.read()}", end="", flush=True)
    return code


def run_stage(name):
    """(passed, failed, skipped) of one stage.

    A command that fails without any failed item counts as a failure, and so does a report that is missing or damaged.
    """
    if name == "browser" and browser.find() is None:
        print(f"\n== browser: skipped, {browser.ABSENT}", flush=True)
        return 0, 0, 1
    started, environment = time.monotonic(), os.environ | VARIABLES.get(name, {})
    if name in TOGETHER:
        with ThreadPoolExecutor(WORKERS) as pool:
            codes = list(pool.map(lambda command: run_beside(command, environment), STAGES[name]))
    else:
        codes = [run_command(command, environment) for command in STAGES[name]]
    print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    counters = {
        "unit": lambda: junit_counts(JUNIT),
        "notebooks": notebook_counts,
        "browser": lambda: junit_counts(BROWSER),
    }
    try:
        passed, failed, skipped = counters[name]() if name in counters else (codes.count(0), 0, 0)
    except (OSError, ValueError, KeyError, TypeError, ElementTree.ParseError) as error:
        print(f"== {name}: no report that can be read ({error})", flush=True)
        passed, failed, skipped = 0, 1, 0
    return passed, failed or sum(code != 0 for code in codes), skipped


def main(argv):
    unknown = set(argv) - set(STAGES)
    if unknown:
        print(f"no such stage: {', '.join(sorted(unknown))} (there are {', '.join(STAGES)})", file=sys.stderr)
        return 2
    check_room(argv or STAGES)
    with alone(OUT, "a test of this tree", "test in a copy of the tree"):
        return run_stages(argv or STAGES)


def check_room(names):
    """BadInput where the disk has no room for what these stages write beside what is there of an earlier run."""
    build, temporary = ROOT / "build", Path(tempfile.gettempdir())
    stays, passes = zip(*(ROOM.get(name, (0, 0)) for name in names), strict=True)
    kept, there = list(itertools.accumulate(stays)), sum(disk.size(build / name) for name in WRITTEN)
    fix = "free space (df -h . shows the disk, make clean removes what was built)"
    if disk.same(temporary, ROOT):
        kept = [sum(both) for both in zip(kept, passes, strict=True)]
    else:
        disk.require(temporary, max(passes) * MIB, "temporary files", f"{fix}, or name another folder: TMPDIR=FOLDER")
    disk.require(build, max(kept) * MIB - min(there, sum(stays) * MIB), "what the tests write", fix)


def run_stages(names):
    """The exit code of these stages."""
    reports = {"unit": JUNIT, "notebooks": OUT / "report.json", "browser": BROWSER}
    for name in names:
        if name in reports:
            reports[name].unlink(missing_ok=True)
    started = time.monotonic()
    passed, failed, skipped = (sum(counts) for counts in zip(*map(run_stage, names), strict=True))
    print(f"\nafter {time.monotonic() - started:.0f} s")
    print(f"total: {passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(processes.program(lambda: main(sys.argv[1:])))
