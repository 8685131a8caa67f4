"""Processes end with what started them, whatever ends that, and take their descendants along."""

import itertools
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import processes
from helpers.files import ROOT
from tests.builders.waiting import HANG, until

# Starts a guarded shell with a child in a session of its own and another one without a parent.
STARTS = """
import sys
from helpers import processes
SHELL = "setsid sleep {n} & (sleep {n} &) ; echo up; sleep {n}"
sys.exit(processes.program(lambda: processes.run(["sh", "-c", SHELL])))
"""
NAPS = itertools.count(1000 * os.getpid())  # seconds that no other process sleeps
POOL = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from helpers import processes
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, processes.die_with, (os.getpid(),)) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(100)
"""
STUCK = """
import sys, time
from helpers import processes
processes.GRACE = 0.3
def main():
    while True:
        try:
            print("up", flush=True)
            time.sleep(100)
        except BaseException:
            pass
processes.program(main)
"""
CLEANS = """
import sys, time
from helpers import processes
processes.GRACE = 100
def main():
    try:
        print("up", flush=True)
        time.sleep(100)
    finally:
        print("cleaned", flush=True)
sys.exit(processes.program(main))
"""


def started(code, **options):
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options)
    return process, process.stdout.readline().strip()


def commands(text):
    """The processes whose command line is this text."""
    listed = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            listed += [path.parent.name] if path.read_text().replace("\0", " ").strip() == text else []
        except OSError:
            continue
    return listed


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("group", [False, True])
def test_nothing_outlives_the_process_that_started_it(number, group):
    nap = next(NAPS)
    process, _ = started(STARTS.format(n=nap), start_new_session=True)
    assert until(lambda: len(commands(f"sleep {nap}")) == 3)
    (os.killpg if group else os.kill)(process.pid, number)
    assert process.wait(HANG) == (-number if number == signal.SIGKILL else 128 + number)
    assert until(lambda: not commands(f"sleep {nap}"))


def test_what_a_command_leaves_behind_ends_with_it_and_its_code_is_told():
    nap = f"sleep {next(NAPS)}"
    assert processes.run(["sh", "-c", f"setsid {nap} & exit 3"]) == 3
    assert commands(nap) == []
    assert processes.run(["sh", "-c", "kill -KILL $$"]) == -signal.SIGKILL
    assert processes.run(["sh", "-c", "kill -TERM $$"]) == -signal.SIGTERM


def test_a_process_can_be_ended_at_once_and_twice():
    guarded = processes.Guarded(["sleep", "100"])
    guarded.end()
    guarded.end()
    assert guarded.process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_workers_of_a_pool_die_with_its_process(tmp_path, number):
    (tmp_path / "pool.py").write_text(POOL)
    process = subprocess.Popen([sys.executable, tmp_path / "pool.py"], stdout=subprocess.PIPE, text=True)
    worker = Path("/proc", process.stdout.readline().strip())
    assert worker.exists()
    process.send_signal(number)
    process.wait()
    assert until(lambda: not worker.exists())


def test_a_worker_whose_parent_is_gone_already_ends():
    code = "from helpers import processes; processes.die_with(1); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_program_that_is_told_to_end_cleans_up(number):
    process, _ = started(CLEANS)
    process.send_signal(number)
    assert process.communicate(timeout=HANG)[0] == "cleaned\n" and process.returncode == 128 + number


def test_a_program_that_does_not_hear_ends_all_the_same():
    process, _ = started(STUCK)
    process.send_signal(signal.SIGINT)
    assert process.wait(HANG) == 128 + signal.SIGINT


def test_nohup_is_respected():
    told = "import os, signal, sys; from helpers import processes; "
    told += "sys.exit(processes.program(lambda: os.kill(os.getpid(), signal.SIGHUP)))"
    for how, code in ((signal.SIG_IGN, 0), (signal.SIG_DFL, 128 + signal.SIGHUP)):
        process, _ = started(told, preexec_fn=lambda how=how: signal.signal(signal.SIGHUP, how))
        assert process.wait(HANG) == code


def test_a_program_that_ends_by_itself_leaves_signals_as_they_were():
    before = [signal.getsignal(number) for number in processes.ENDING]
    assert processes.program(lambda: 7) == 7
    assert [signal.getsignal(number) for number in processes.ENDING] == before


# ------------------------------------------------------------- forked calls


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A forked call of the tests has its time of the processor, however little of one a busy machine gives it."""
    monkeypatch.setattr(processes, "PATIENCE", HANG)


def test_a_call_apart_writes_into_what_is_shared_and_nowhere_else(capfd):
    shared, own = mmap.mmap(-1, 1), []
    assert processes.run_forked(lambda: (shared.write(b"x"), own.append(1), os.write(2, b"said"))) == ""
    assert shared[:] == b"x" and own == [] and capfd.readouterr() == ("", "")


def grow():
    held = []
    while True:
        held.append(bytes(1 << 24))


@pytest.mark.parametrize(
    ("call", "ended"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
        (os.abort, "SIGABRT"),
        (lambda: 1 / 0, "an exception"),
        (lambda: sys.exit(0), "an exception"),
        (grow, "MemoryError"),
    ],
)
def test_a_crash_ends_only_the_copy_of_the_process(call, ended):
    assert processes.run_forked(call, room=1 << 28) == ended


def test_a_call_apart_may_need_its_room_beside_what_is_there():
    held = bytes(1 << 28)
    assert processes.run_forked(lambda: bytes(1 << 27), room=1 << 28) == "" and held


def test_a_lower_limit_of_the_process_itself_stays():
    code = "import resource, sys; from helpers import processes; resource.setrlimit(resource.RLIMIT_AS, (1 << 29,) * 2)"
    code += "; sys.exit(processes.run_forked(lambda: bytes(1 << 29), room=1 << 40) != 'MemoryError')"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_call_apart_has_its_time(monkeypatch):
    def turn():
        while True:
            pass

    assert processes.run_forked(turn, seconds=1) == "SIGXCPU"
    monkeypatch.setattr(processes, "PATIENCE", 1)
    assert processes.run_forked(lambda: time.sleep(9), seconds=1) == "SIGALRM"


APART = """
import os, sys, time
from helpers import processes
def call():
    print(os.getpid(), file=SAID, flush=True)
    time.sleep(100)
SAID = os.fdopen(os.dup(1), "w")
sys.exit(processes.program(lambda: processes.run_forked(call) and 0))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_call_apart_ends_with_its_process(number):
    process, child = started(APART)
    process.send_signal(number)
    assert process.wait(HANG) == (-number if number == signal.SIGKILL else 128 + number)
    assert until(lambda: not Path(f"/proc/{child}").exists())


def test_a_call_apart_that_is_told_to_end_tells_its_process_nothing():
    process, child = started(APART)
    os.kill(int(child), signal.SIGTERM)
    assert process.wait(HANG) == 0


def test_a_reader_that_has_seen_enough_ends_a_program_without_a_traceback():
    code = "import sys; from helpers import processes; sys.exit(processes.program(lambda: print('x' * 10**6) or 0))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as made:
        made.stdout.read(1)
        made.stdout.close()
        assert made.stderr.read() == b"" and made.wait(HANG) == 128 + signal.SIGPIPE
