"""A call in a process of its own: what it returns, raises and leaves."""

import os
import random
import signal
import time

import pytest

from benchmarks.spawned import run_spawned
from helpers.errors import BadInput
from helpers.serve.refused import Refused
from tests.builders.waiting import HANG


def changed():
    """What only this process sees."""
    random.seed(1)
    return os.getpid()


def ends():
    os.kill(os.getpid(), signal.SIGSEGV)


def refuses():
    raise BadInput("model.onnx", "truncated", "a whole file", "copy it again")


def opaque():
    class Local(Exception):
        pass

    raise Local("of a library")


def test_nothing_of_the_call_stays():
    state = random.getstate()
    assert run_spawned(changed) != os.getpid() and random.getstate() == state


def test_how_a_call_ends_is_told(capfd):
    with pytest.raises(BadInput, match="truncated") as found:
        run_spawned(refuses)
    assert (found.value.where, found.value.fix) == ("model.onnx", "copy it again")
    assert "in refuses" in capfd.readouterr().err  # where it was
    with pytest.raises(RuntimeError, match="Local: of a library"):
        run_spawned(opaque)
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        run_spawned(open, os.devnull)
    with pytest.raises(RuntimeError, match=f"exit code -{int(signal.SIGSEGV)}"):
        run_spawned(ends)


def test_a_call_ends_with_its_time():
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"not ready after 0.2 s"):
        run_spawned(time.sleep, 1000, limit=0.2)
    assert time.monotonic() - started < HANG


def test_an_error_of_a_kind_of_its_own_stays_that_kind():
    import pickle

    error = pickle.loads(pickle.dumps(Refused(409, "a", "b", "c", "d", retry=3)))
    assert type(error) is Refused and (error.status, error.retry, error.found) == (409, 3, "b")
    assert str(error) == str(Refused(409, "a", "b", "c", "d"))
