"""What must not be interrupted is not; what was asked for meanwhile is done behind it."""

import os
import signal

import pytest

from helpers.signals import deferred


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_when_the_builder_is_through(number):
    def stop(heard, _):
        raise SystemExit(heard)

    before, done = signal.signal(number, stop), []
    try:
        with pytest.raises(SystemExit, match=str(int(number))), deferred():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append("built")
        assert done == ["built"] and signal.getsignal(number) is stop
        with pytest.raises(ValueError, match="the builder's own"), deferred():
            raise ValueError("the builder's own")
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
