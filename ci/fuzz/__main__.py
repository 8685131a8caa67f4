"""Gives damaged inputs to the doors of the helpers and counts what comes of them.

    python -m ci.fuzz                           # 10,000 inputs for each door
    python -m ci.fuzz onnx feeds --inputs 500
    python -m ci.fuzz onnx --first 123 --inputs 1   # one of them again
    python -m ci.fuzz --guided 300                  # for 300 s each, guided by coverage (ci.fuzz.guided; needs atheris)

clear: refused, with what is wrong and what to do; accepted: it is what it says it is; unnamed: refused without saying
so; silent: accepted although it is not; traceback: any other error; memory: over 2 GiB; hang: over 20 s; crash: the
process ended. Inputs of the last six are kept in build/fuzz/DOOR/, and the exit code is then 1.
"""

import argparse
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ci.fuzz import doors, worker
from ci.fuzz.door import BAD, GOOD
from helpers import processes
from helpers.cli import numbers
from helpers.files import ROOT

OUT = ROOT / "build/fuzz"
CHUNK = 1000  # inputs of one process: what leaks is given back
RESIDENT = 5000  # MiB of a guided process: its libraries, and the 2 GiB that an input may take
VERDICTS = (*GOOD, *BAD)


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    names = arguments.doors or list(doors.DOORS)
    last = arguments.first + arguments.inputs
    if arguments.serve:
        worker.serve(names[0], doors.DOORS[names[0]], range(arguments.first, last), arguments.seed)
        return 0
    if arguments.guided:
        return int(any([_guided(name, arguments.guided, arguments.seed) for name in names]))
    print(f"{'door':<14}" + "".join(f"{name:>11}" for name in ("inputs", *VERDICTS, "seconds")), flush=True)
    found = [_tried(name, arguments.first, last, arguments.seed) for name in names]
    return int(any(counts[verdict] for counts in found for verdict in BAD))


def _arguments(argv):
    kept = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m ci.fuzz", description=__doc__, formatter_class=kept)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help=f"of {', '.join(doors.DOORS)}; default: all")
    parser.add_argument("--inputs", type=numbers.whole(1, 10**9), default=10_000, help="for each door (10000)")
    parser.add_argument("--first", type=numbers.whole(0, 10**9), default=0, help="number of the first input (0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--guided", type=numbers.whole(1, 10**6), metavar="SECONDS", help="let libFuzzer choose the inputs of each door"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.doors) - doors.DOORS.keys():
        parser.error(f"no door {', '.join(sorted(unknown))}; there are {', '.join(doors.DOORS)}")
    return arguments


def _guided(name, seconds, seed):
    """Exit code of libFuzzer over one door; prints how many inputs it gave, and what ended it if one did."""
    (kept := OUT / name).mkdir(parents=True, exist_ok=True)
    limits = (
        f"-max_total_time={seconds}",
        f"-timeout={worker.SECONDS}",
        f"-rss_limit_mb={RESIDENT}",
        f"-seed={seed + 1}",
    )
    shape = "-len_control=0", "-max_len=512", "-print_final_stats=1", f"-artifact_prefix={kept}/"
    with TemporaryDirectory() as common:
        argv = [sys.executable, "-m", "ci.fuzz.guided", name, common, *limits, *shape]
        done = subprocess.run(argv, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")  # fmt: skip
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    verdict = f"exit code {done.returncode}: {done.stderr[-3000:]}" if done.returncode else "no bad verdict"
    print(f"{name:<14}{runs[1] if runs else '?':>11} inputs in {seconds} s: {verdict}", flush=True)
    return done.returncode


def _tried(name, first, last, seed):
    """Counter of the verdicts of one door's inputs; prints its row, and keeps what went wrong."""
    counts, started, number = collections.Counter(), time.monotonic(), first
    shutil.rmtree(OUT / name, ignore_errors=True)
    while number < last:
        for row in _served(name, number, min(number + CHUNK, last), seed):
            number = row["number"] + 1
            counts[row["verdict"]] += 1
            if row["verdict"] in BAD:
                _keep(name, row, seed)
    columns = [counts.total(), *(counts[verdict] for verdict in VERDICTS), round(time.monotonic() - started)]
    print(f"{name:<14}" + "".join(f"{count:>11}" for count in columns), flush=True)
    return counts


def _served(name, first, last, seed):
    """Rows of number, verdict and said, the last of them for the input that ended the process, if one did."""
    argv = [name, "--serve", f"--first={first}", f"--inputs={last - first}", f"--seed={seed}"]
    settings = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    begun = None
    with subprocess.Popen(
        [sys.executable, "-m", "ci.fuzz", *argv],
        cwd=ROOT,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            row = json.loads(line)
            begun = row.get("begun")
            if begun is None:
                yield row
    if begun is not None:
        ended = "hang" if process.returncode == -signal.SIGALRM else "crash"
        yield {"number": begun, "verdict": ended, "said": f"exit code {process.returncode}"}
    elif process.returncode:
        raise SystemExit(f"{name}: the process that tries inputs {first} to {last} ended with {process.returncode}")


def _keep(name, row, seed):
    """Write the input, and beside it what was said."""
    folder = OUT / name / f"{row['verdict']}-{row['number']:05}"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as common:
        doors.DOORS[name].prepare(Path(common))
        worker.written(name, doors.DOORS[name], row["number"], seed, Path(common), folder)
    (folder / "said.txt").write_text(row["said"] + "\n")


if __name__ == "__main__":
    sys.exit(processes.program(main))
