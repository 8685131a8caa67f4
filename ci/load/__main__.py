"""Loads an action server of its own, on loopback, and looks for what hangs, leaks, or is not answered once.

    python -m ci.load                                  # 10,000 requests from 16 clients
    python -m ci.load --requests 500 --clients 4 --seed 1

The server is `python -m helpers serve reach`; its worker is killed meanwhile. Printed: the answers by kind and status,
p50 and p99 of those that hold an action, memory and descriptors of the server before and after. The exit code is 1 if
a request was not answered as it should be, or if the server has grown.
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np

from ci.load import clients
from helpers import processes
from helpers.cli import numbers
from helpers.files import ROOT
from helpers.processes import Guarded
from helpers.serve.limits import Limits

LIMITS = Limits(body=1 << 20, queue=8, upload=0.6, deadline=5)
WARM = 500  # requests before memory and descriptors are counted
GROWTH = 16 << 20  # bytes of the server's memory that are not taken for a leak
ALLOWED = {"queue", "body", "upload", "deadline"}


def descendants(pid):
    """The ids of a process and of all that it has started, it first."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def worker(pid):
    """The id of a server's worker; None while there is none."""
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")
            if b"-S" not in words and any(b"worker.serve(" in word for word in words):
                return one
    return None


def size(pid):
    """(bytes of memory, descriptors) of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))


def settled(pid, wanted=0):
    """`size` when the connections are closed: no more descriptors than `wanted`, or after 6 s, when uvicorn has."""
    until = time.monotonic() + 6
    while time.monotonic() < until and size(pid)[1] > wanted:
        time.sleep(0.5)
    return size(pid)


def proven(pid, url, arguments):
    """What is wrong, in words; prints what was seen."""

    def run(count, seed, **kill):
        return asyncio.run(clients.load(url, count, arguments.clients, seed, LIMITS, **kill))

    def kill():
        if found := worker(pid):
            os.kill(found, signal.SIGKILL)

    warm = run(WARM, f"warm {arguments.seed}")
    before, started = settled(pid), time.monotonic()
    report = run(arguments.requests, arguments.seed, kill=kill, kills=arguments.kills)
    seconds = time.monotonic() - started
    after = settled(pid, before[1])
    told(report, seconds, before, after)
    return [*warm.faults, *report.faults, *grown(before, after), *counted(url, warm, report)]


def told(report, seconds, before, after):
    """Print what came of the requests, and what the server has grown by."""
    for (kind, status), count in sorted(report.counts.items(), key=str):
        print(f"{kind:<24}{status!s:>8}{count:>8}")
    p50, p99 = np.percentile(report.times, (50, 99))
    print(f"{report.counts.total()} requests in {seconds:.1f} s, worker killed {report.kills} times")
    print(f"answers with an action: {len(report.times)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    memory = [one[0] / 2**20 for one in (before, after)]
    print("server: memory {:.1f} to {:.1f} MiB".format(*memory) + f", descriptors {before[1]} to {after[1]}")


def grown(before, after):
    """What has grown too much, in words."""
    found = [f"descriptors grew from {before[1]} to {after[1]}"] if after[1] > before[1] else []
    more = after[0] - before[0]
    return found + ([f"memory grew by {more / 2**20:.1f} MiB"] if more > GROWTH else [])


def counted(url, *reports):
    """Whether the server has counted as many answers with an action as its clients have, in words if not."""
    text = urllib.request.urlopen(f"{url}/metrics").read().decode()
    served = int(float(re.search(r'^act_requests_total\{status="200"\} (\S+)', text, re.MULTILINE)[1]))
    seen = sum(report.status(200) for report in reports)
    gone = sum(count for report in reports for (kind, _), count in report.counts.items() if kind.startswith("gone"))
    return [] if seen <= served <= seen + gone else [f"{served} actions by its counters, {seen} seen"]


def main(argv=None):
    kept = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m ci.load", description=__doc__, formatter_class=kept)
    parser.add_argument("--requests", type=numbers.whole(1, 10**9), default=10_000)
    parser.add_argument("--clients", type=numbers.whole(1, 10_000), default=16)
    parser.add_argument("--kills", type=numbers.whole(0, 10**6), default=3, help="how often the worker is killed (3)")
    parser.add_argument("--seed", default="0")
    arguments = parser.parse_args(argv)
    options = [f"--{name}={getattr(LIMITS, name)}" for name in sorted(ALLOWED)]
    command = [sys.executable, "-m", "helpers", "serve", "reach", "--port=0", *options]
    guarded = Guarded(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        url = guarded.process.stdout.readline().strip()
        server = descendants(guarded.process.pid)[1]
        faults = proven(server, url, arguments)
        os.kill(server, signal.SIGTERM)
        if code := guarded.process.wait(30):
            faults.append(f"told to stop, the server ended with {code}")
    finally:
        guarded.end()
    print(*faults[:20], f"{len(faults)} faults", sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(processes.program(main))
