"""Signals that come at a moment that must not be interrupted.

A builder of TensorRT calls Python to log, and prints what a handler raises. A second interrupt while threads are waited
for makes `Thread.join` take one that still runs for ended.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from helpers.processes import ENDING


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """What tells this process to end is heard when the block is over; `helpers.processes.program` waits as long as it
    waits for any foreign code. In another thread than the main one, where no handler runs, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[tuple] = []
    found = {number: signal.getsignal(number) for number in ENDING}
    heard: dict[int, Callable] = {number: handler for number, handler in found.items() if callable(handler)}
    for number in heard:
        signal.signal(number, lambda *signaled: told.append(signaled))
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        if told:
            heard[told[0][0]](*told[0])
