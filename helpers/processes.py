"""Processes that leave nothing behind, however they end. Standard library only; the guardian runs this very file.

Four ends are meant: `program` for a command that is told to stop, `run` and `Guarded` for what it has started,
`die_with` for the workers of a pool, and `run_forked` for a call of foreign code that may crash or never end. Linux.
"""

import contextlib
import ctypes
import errno
import faulthandler
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
GRACE = 2  # seconds in which a program that was told to stop may clean up
PATIENCE = 6  # seconds by the clock for each of the processor that a forked call may take, on a machine that is busy
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h
LIBC = ctypes.CDLL(None)


def program(main: Callable[[], int]) -> int:
    """The exit code of `main`, or 128 + the signal that ended it: TERM and HUP do so by an exception, as INT does.

    It is 2 for bad input and for what the system refuses, such as a file on a full disk, which is told. What is being
    written is removed on the way. A program that is deep in foreign code, and so does not see the
    exception, ends all the same after `GRACE` seconds; the next one removes what it leaves.
    """
    with _stopping():
        try:
            return main()
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 128 + signal.SIGINT
        except BrokenPipeError:  # who reads, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 128 + signal.SIGPIPE
        except Exception as error:
            from helpers import disk  # the guardian, which runs this file, starts without the rest

            return disk.tell(error)


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    def stop(number, frame):
        raise SystemExit(128 + number)

    heard, told = os.pipe()
    os.set_blocking(told, False)
    default = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]  # nohup ignores HUP
    for number in default:
        signal.signal(number, stop)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    over = threading.Event()
    threading.Thread(target=_end_late, args=(heard, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(-1)
        for number in default:
            signal.signal(number, signal.SIG_DFL)
        os.close(told)


def _end_late(heard, over):
    """End this process, which was told to end by a signal, if it is not over after `GRACE` seconds."""
    with open(heard, "rb", buffering=0) as stream:
        while numbers := stream.read(64):
            if told := [number for number in numbers if number in ENDING]:
                if not over.wait(GRACE):
                    os._exit(128 + told[0])
                return


def die_with(parent: int) -> None:
    """Let this process, a worker of a pool, be killed when `parent`, which has started it, is gone.

    INT, which a terminal sends to both, is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before
        os._exit(1)


def run_forked(call: Callable[[], object], seconds: int = 5, room: int | None = None) -> str:
    """Run a call in a copy of this process, so that a crash, an endless loop or a want of memory ends only that.

    Of what the call writes, this process sees only shared memory (`torch.Tensor.share_memory_`) and files, such as one
    of `os.memfd_create`; what it prints is dropped.

    Args:
        seconds: of processor time; `PATIENCE` times as many by the clock.
        room: bytes that the call may need beyond what this process has; None sets no limit.

    Returns:
        "" or what ended it: "SIGSEGV" for a wrong address, "SIGXCPU" or, by the clock, "SIGALRM" after `seconds`,
        "MemoryError", "SIGABRT" from C++ that is out of memory, "an exception".
    """
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _alone(parent, call, seconds, room)
    try:
        status = os.waitpid(child, 0)[1]
    except BaseException:  # this process is told to stop
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        raise
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return "MemoryError" if code == errno.ENOMEM else "an exception" if code else ""


def _alone(parent, call, seconds, room):
    """Make the call within its limits, and end this process."""
    code = 1
    try:
        for number in (*ENDING, signal.SIGALRM):  # what ends this process is not told to its parent
            signal.signal(number, signal.SIG_DFL)
        die_with(parent)
        gc.disable()  # what else the parent holds is not this process's to close
        faulthandler.disable()  # a notebook would show where its own process is
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, seconds)
        signal.alarm(PATIENCE * seconds)
        if room is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + room)
        call()
        code = 0
    except MemoryError:
        code = errno.ENOMEM
    finally:
        os._exit(code)


def _limit(what, most):
    """Lower a limit of this process to `most`; one that is lower stays."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


class Guarded:
    """A process that ends with this one, however this one ends, and takes with it all that it has started.

    Between the two stands a guardian in a session of its own, to which the orphans of its descendants fall. It kills
    them all when the process ends, or when this one is gone or closes the pipe between them.

    Args:
        command: program and arguments.
        options: of subprocess.Popen.
    """

    def __init__(self, command: list[Any], **options: Any):
        watched, held = os.pipe()
        self._held: int | None = held
        guardian = [str(word) for word in (sys.executable, "-S", __file__, watched, *command)]
        try:
            self.process = subprocess.Popen(guardian, pass_fds=[watched], start_new_session=True, **options)
        finally:
            os.close(watched)

    def end(self) -> None:
        """Kill what still runs, and wait for it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
        self.process.wait()


def run(command: list[Any], **options: Any) -> int:
    """The exit code of a command, as of subprocess.run; nothing that it started outlives it or this process."""
    guarded = Guarded(command, **options)
    try:
        return guarded.process.wait()
    finally:
        guarded.end()


def _guard(watched: int, command: list[str]) -> int:
    """Run the command until it ends, `watched` is closed at its other end or a signal comes; kill all that is left."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    heard, told = os.pipe()
    os.set_blocking(told, False)
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(told)
    child = subprocess.Popen(command, preexec_fn=lambda: _prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    code = _wait(child.pid, watched, heard)
    _kill_children()
    return code


def _wait(child, watched, heard):
    """The exit code of the child, or 128 + TERM if it has to be killed."""
    import select

    while True:
        ready, _, _ = select.select([watched, heard], [], [])
        if watched in ready or set(os.read(heard, 64)) & set(ENDING):
            return 128 + signal.SIGTERM
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == child:
                    return os.waitstatus_to_exitcode(found[1])


def _kill_children():
    """Kill the children of this process until there are none; those of a child fall to it when the child is gone."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state = path.read_text(errors="replace").rpartition(")")[2].split()  # the name before may hold anything
            found += [int(path.parent.name)] * (int(state[1]) == parent)
    return found


def _prctl(option, value):
    LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


if __name__ == "__main__":
    result = _guard(int(sys.argv[1]), sys.argv[2:])
    if result < 0:  # a signal, which the caller is to see as such
        if -result in (*ENDING, signal.SIGCHLD):
            signal.signal(-result, signal.SIG_DFL)
        os.kill(os.getpid(), -result)
    sys.exit(result)
