"""Waiting for what other threads and processes do, on a machine of any speed and under any load."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

HANG = 120  # seconds by the clock that only what hangs takes


def until(condition):
    """What the condition gives once it is met; after HANG seconds what it gave last, which is false."""
    end = time.monotonic() + HANG
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return met


def interrupt():
    """Interrupt the main thread, which waits for this one, and leave it time to go on without it."""
    time.sleep(0.05)  # so that it waits
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)


def telling(stopped):
    """A pool that sets an event when it is to end and waits for what is under way."""

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(False, cancel_futures=cancel_futures)
            stopped.set()
            super().shutdown(wait)

    return Pool
