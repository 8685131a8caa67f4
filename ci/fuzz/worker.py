"""One process that tries inputs, within 20 s and 2 GiB for each; what ends it ends this process alone."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from ci.fuzz.door import Door, outcome

SECONDS, BYTES = 20, 2 << 30
LIBRARIES = 16 << 20  # of address space, that libraries map when they are first used


def serve(name: str, door: Door, numbers: Iterator[int], seed: int) -> None:
    """Try the inputs of these numbers and print a line of JSON before and after each of them."""
    report = os.fdopen(os.dup(1), "w")
    for stream in (1, 2):  # C libraries print too
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    common = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    try:
        door.prepare(common)
        used = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10
        resource.setrlimit(resource.RLIMIT_AS, (used + BYTES + LIBRARIES,) * 2)
        for number in numbers:
            print(json.dumps({"begun": number}), file=report, flush=True)
            verdict, said = attempt(name, door, number, seed, common)
            print(json.dumps({"number": number, "verdict": verdict, "said": said[:2000]}), file=report, flush=True)
    finally:
        shutil.rmtree(common, ignore_errors=True)


def attempt(name: str, door: Door, number: int, seed: int, common: Path) -> tuple[str, str]:
    """(verdict, what was said) of one input; SIGALRM ends the process if that takes too long."""
    with tempfile.TemporaryDirectory(prefix="input-", dir=common) as folder:
        written(name, door, number, seed, common, Path(folder))
        signal.alarm(SECONDS)
        try:
            with contextlib.chdir(folder):
                return outcome(door, Path(folder))
        finally:
            signal.alarm(0)


def written(name: str, door: Door, number: int, seed: int, common: Path, folder: Path) -> Path:
    """`folder`, with the input of that number in it: the same whenever it is asked for."""
    door.make(Random(f"{seed} {name} {number}"), common, folder)
    return folder
