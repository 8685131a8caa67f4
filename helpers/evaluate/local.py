"""Several processes of this machine that share an evaluation, as torchrun starts them, with one progress bar."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tqdm.auto import tqdm

from helpers import cores
from helpers.errors import BadInput
from helpers.evaluate.share import RANK, WORLD_SIZE
from helpers.files import ROOT
from helpers.processes import Guarded

POLL = 0.2  # seconds


def run_workers(arguments: list[str], count: int, done: Callable[[], int], total: int, progress: bool = True) -> None:
    """Run `python -m helpers ARGUMENTS` in `count` processes with ranks, each with its part of the cores.

    None of them outlives this process or the first that fails. `done` gives how many of `total` frames have a result.

    Raises:
        BadInput: one of them was killed, or ended with an error, which it has printed itself.
    """
    command = [sys.executable, "-m", "helpers", *arguments]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    shared = {**os.environ, **cores.environment(max(1, cores.count() // count)), "PYTHONPATH": paths}
    with tqdm(desc=f"evaluate by {count}", total=total, initial=done(), unit="frame", disable=not progress) as bar:
        started = []
        try:
            for rank in range(count):
                ranked = {**shared, RANK: str(rank), WORLD_SIZE: str(count)}
                started.append(Guarded(command, env=ranked, stdout=subprocess.DEVNULL))
            while any(worker.process.poll() is None for worker in started):
                _check(started)
                if more := done() - bar.n:
                    bar.update(more)
                time.sleep(POLL)
            _check(started)
            bar.update(done() - bar.n)
        finally:
            for worker in started:
                worker.end()


def _check(started):
    for rank, worker in enumerate(started):
        code = worker.process.poll()
        if code:
            found = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            fix = "mend what it says, or pass fewer --workers, and run the same again: what is done is kept"
            raise BadInput(f"worker {rank} of {len(started)}", found, "the end of its share", fix)
