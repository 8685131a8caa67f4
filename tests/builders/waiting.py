"""Waiting for what other threads and processes do, on a machine of any speed and under any load."""

import time

HANG = 120  # seconds by the clock that only what hangs takes


def until(condition):
    """What the condition gives once it is met; after HANG seconds what it gave last, which is false."""
    end = time.monotonic() + HANG
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return met
