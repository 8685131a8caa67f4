"""Sends signals to what runs long, early, midway and late, and looks at what is left.

python -m ci.signals                          # everything, about half an hour on two cores
python -m ci.signals quantize lesson --moments 0.5 --signals KILL TERM

Each field of the matrix starts a program, sends it one signal, to its process alone or to its group, and holds it
against four rules: it ends, and no process of it is left after 5 s; what it wrote is whole or absent; it does not say
that it succeeded; the same command then succeeds, and nothing of the first run is left. Exits with 1 if a field fails.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from ci.interrupted import PROGRAMS
from helpers import processes
from helpers.cli import numbers
from helpers.files import ROOT
from helpers.temporary import NAME

SIGNALS = ("KILL", "TERM", "HUP", "INT")
MOMENTS = (0.15, 0.5, 0.85)  # share of the time that the program takes
MARK = "ONRAMP_SIGNALS"  # variable by which the processes of one run are found, wherever they hang
SECONDS = 5
LONGEST = 300
KEPT = (".ses",)  # ONNX Runtime's, of one name for good


def start(command, folder, mark):
    """Start a program with a temporary folder of its own, in a group of its own, its output in `folder`/log."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    environment = os.environ | {MARK: mark, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
    with open(folder / "log", "a") as log:
        return subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=hear_signals,
        )


def hear_signals():
    """Programs that a shell started in the background ignore INT, and those of nohup HUP."""
    for name in SIGNALS[1:]:
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_DFL)


def living(mark):
    """The processes that carry a mark in their environment, zombies left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
    return found


def wait_for_none(mark, seconds=SECONDS):
    """The processes of a run that are left after so many seconds; kills them."""
    until = time.monotonic() + seconds
    while (left := living(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def leftovers(folder):
    """Temporary folders beside what was written, and whatever lies in the folder for temporary files."""
    parts = [path for path in folder.rglob("*") if NAME.fullmatch(path.name)]
    found = {str(path.relative_to(folder)) for path in [*parts, *(folder / "tmp").iterdir()]}
    return sorted(found - {f"tmp/{name}" for name in KEPT})


def whole_run(program, inputs, folder):
    """Seconds that a run takes which nobody disturbs; what is wrong with it, or None."""
    mark, started = uuid.uuid4().hex, time.monotonic()
    process = start(program.command(inputs, folder), folder, mark)
    try:
        code = process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        code = f"none after {LONGEST} s"
    finally:
        seconds, left = time.monotonic() - started, wait_for_none(mark)
    problems = [f"exit code {code}: {(folder / 'log').read_text()[-300:]}"] if code else []
    problems += [f"{len(left)} processes left"] if left else []
    problems += [f"left behind: {', '.join(names)}"] if (names := leftovers(folder)) else []
    if not code and (damage := program.damage(inputs, folder, True)):
        problems.append(damage)
    return seconds, "; ".join(problems) or None


def field(program, inputs, folder, name, group, after):
    """What goes wrong when a signal comes `after` so many seconds; None if nothing does, "over" if it came too late."""
    mark, number = uuid.uuid4().hex, getattr(signal, f"SIG{name}")
    process = start(program.command(inputs, folder), folder, mark)
    time.sleep(after)
    over = process.poll() is not None
    if not over:
        (os.killpg if group else os.kill)(process.pid, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS)
    if left := wait_for_none(mark, 0 if process.returncode is None else SECONDS):
        process.wait()
        return f"{len(left)} processes left after {SECONDS} s"
    if not over and process.returncode == 0 and not program.damage(inputs, folder, True):
        over = True  # it had done its work
    if process.returncode == 0 and not over:
        return "it says that it succeeded"
    if damage := program.damage(inputs, folder, False):
        return f"half written: {damage}"
    if problem := whole_run(program, inputs, folder)[1]:
        return f"the rerun: {problem}"
    return "over" if over else None


def matrix(names, signals, moments, root):
    """Yield (program, signal, "process" or "group", moment, what is wrong) of every field."""
    for name in names:
        program, inputs = PROGRAMS[name], root / name / "inputs"
        inputs.mkdir(parents=True)
        program.prepare(inputs)
        seconds, problem = whole_run(program, inputs, root / name / "whole")
        if problem:
            yield name, "-", "-", 0, f"undisturbed: {problem}"
            continue
        print(f"{name}: {seconds:.1f} s undisturbed", flush=True)
        for sent in signals:
            for group in (False, True):
                for moment in moments:
                    folder = root / name / f"{sent}-{'group' if group else 'process'}-{moment}"
                    found = field(program, inputs, folder, sent, group, moment * seconds)
                    yield name, sent, "group" if group else "process", moment, found


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.signals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"of {', '.join(PROGRAMS)} (all)")
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=SIGNALS)
    parser.add_argument(
        "--moments", nargs="+", type=numbers.real(0, 1), default=MOMENTS, help="shares of its time (0.15 0.5 0.85)"
    )
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.programs) - set(PROGRAMS):
        parser.error(f"no such program: {', '.join(sorted(unknown))} (there are {', '.join(PROGRAMS)})")
    failed = total = 0
    with tempfile.TemporaryDirectory() as root:
        for name, sent, to, moment, found in matrix(
            arguments.programs or PROGRAMS, arguments.signals, arguments.moments, Path(root)
        ):
            total += 1
            failed += found not in (None, "over")
            verdict = {None: "ok", "over": "ok, it was over"}.get(found, f"FAILED  {found}")
            print(f"{name:<10} {sent:<5} {to:<8} {moment:>5.0%}  {verdict}", flush=True)
    print(f"{total} fields, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(processes.program(main))
