"""How many processor cores this process may use, and how every library in it is told: the one place that decides.

A person gives a number (`make lab CORES=2`, or the environment variable ONRAMP_CORES), or the machine does: a container
with a CPU quota, a scheduler that binds the process to some cores. Without either, each library keeps its own default.
"""

import contextlib
import functools
import math
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from helpers.errors import BadInput

VARIABLE = "ONRAMP_CORES"
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")  # read when loaded
WAITING = {"OMP_WAIT_POLICY": "passive"}  # read when loaded: a thread that spins holds the core that another one needs
CGROUPS = Path("/sys/fs/cgroup")


def limit() -> int | None:
    """The number of cores to keep to; None if all of the machine's may be used.

    Raises:
        BadInput: ONRAMP_CORES is not a whole number from 1.
    """
    given = os.environ.get(VARIABLE, "")
    if given and not (given.isascii() and given.isdigit() and int(given)):
        fix = "give a number, such as CORES=2, or leave it out"
        raise BadInput(f"CORES ({VARIABLE})", repr(given), "a whole number from 1", fix)
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine()
    least = min(bound, quota() or bound, int(given or bound))
    return least if least < machine() else None


def threads() -> int:
    """For a library that reads no variable: `limit()`, or fewer by OMP_NUM_THREADS; 0 leaves it to the library.

    Never more than the machine has cores.
    """
    given = os.environ.get(POOLS[0], "")
    asked = min(int(given), machine()) if given.isascii() and given.isdigit() else 0
    return min(filter(None, (limit(), asked)), default=0)


def count() -> int:
    """How many cores this process may use: what a pool of threads or processes starts at most."""
    return limit() or machine()


def machine() -> int:
    """The cores of the machine, whoever may use them."""
    return os.cpu_count() or 1


def quota(folder: Path = CGROUPS) -> int | None:
    """Cores that the container's CPU quota amounts to, rounded up; None without a quota. `folder` holds the cgroups."""
    with contextlib.suppress(OSError, ValueError):
        share, period = (
            (folder / "cpu.max").read_text(encoding="utf-8").split()
        )  # cgroups of version 2; "max" is no quota
        return math.ceil(int(share) / int(period))
    with contextlib.suppress(OSError, ValueError):
        share, period = (
            (folder / f"cpu/cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")
        )
        return math.ceil(int(share) / int(period)) if int(share) > 0 else None
    return None


@contextlib.contextmanager
def kept_to(number: int) -> Iterator[None]:
    """A block in which this thread, and those that start in it, keep to `number` cores, or to fewer by `limit`.

    So do engines and pools that are made in it, and OpenCV where it is loaded. For measurements; changes nothing where
    this process has no more cores.
    """
    if number >= count():
        yield
        return
    before, opencv = os.environ.get(VARIABLE), sys.modules.get("cv2")
    bound = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    of_opencv = opencv.getNumThreads() if opencv else 0
    os.environ[VARIABLE] = str(number)
    try:
        if bound:
            os.sched_setaffinity(0, sorted(bound)[: count()])
        if opencv:
            opencv.setNumThreads(count())
        yield
    finally:
        if bound:
            os.sched_setaffinity(0, bound)
        if opencv:
            opencv.setNumThreads(of_opencv)
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def environment(number: int) -> dict[str, str]:
    """The variables that keep a new process, and what it starts, to `number` cores."""
    return dict.fromkeys((VARIABLE, *POOLS), str(number))


def apply(variables: MutableMapping[str, str] = os.environ) -> int | None:
    """Keep this process, and those it starts, to `limit()`; returns it. Where there is no limit, sets `WAITING` alone.

    Tells NumPy's and torch's pools, OpenCV, and ONNX Runtime, which has no variable for it: a session opened with the
    default number of threads gets the limit, whoever opens it. A number that is asked for explicitly stays.
    """
    number = limit()
    for name, value in WAITING.items():
        variables.setdefault(name, value)
    if "cv2" in sys.modules and threads():
        sys.modules["cv2"].setNumThreads(threads())
    if number is None:
        return None
    variables.update(environment(number))
    with contextlib.suppress(ImportError):
        import threadpoolctl

        threadpoolctl.threadpool_limits(number)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)
    with contextlib.suppress(ImportError, AttributeError):  # an installation may be broken, and is mended elsewhere
        _bound_sessions()
    return number


def _bound_sessions():
    """Give ONNX Runtime's sessions the limit where their options name no number of threads."""
    import onnxruntime

    start = onnxruntime.InferenceSession.__init__
    if hasattr(start, "__wrapped__"):
        return

    @functools.wraps(start)
    def bounded(self, path_or_bytes, sess_options=None, *arguments, **options):
        sess_options = sess_options or onnxruntime.SessionOptions()
        if not sess_options.intra_op_num_threads:
            sess_options.intra_op_num_threads = limit() or 0
        start(self, path_or_bytes, sess_options, *arguments, **options)

    onnxruntime.InferenceSession.__init__ = bounded
