"""A call in a process of its own, which has nothing of this one: no memory on a GPU, no state of a library.

Started anew and not forked, since CUDA does not outlive a fork.
"""

import multiprocessing
import os
import pickle
import signal
import traceback

from helpers import processes
from helpers.errors import reason


class Ended(RuntimeError):
    """The process ended without an answer; says how."""


def run_spawned(function, *arguments, limit=None, **named):
    """What `function` returns, or raises, in a new process; all of it has to be picklable.

    Args:
        limit: seconds after which the process is killed; None waits for it.

    Raises:
        TimeoutError: it was not ready in time.
        Ended: the process ended without an answer.
        RuntimeError: it raised what cannot be pickled.
    """
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(told, os.getpid(), function, arguments, named))
    process.start()
    told.close()
    try:
        if not heard.poll(limit):
            raise TimeoutError(f"not ready after {limit:g} s")
        right, answer = heard.recv()
    except EOFError:
        process.join()
        raise Ended(_ended(process.exitcode)) from None
    finally:
        process.kill()
        process.join()
        heard.close()
    if not right:
        raise answer
    return answer


def _ended(code):
    """How a process ended, by its exit code: below 0 a signal."""
    by = f"it ended its process by {signal.Signals(-code).name}, " if code < 0 else "its process ended with "
    return f"{by}exit code {code}"


def _answer(told, parent, function, arguments, named):
    processes.die_with(parent)
    try:
        answer = True, function(*arguments, **named)
    except Exception as error:
        traceback.print_exc()
        answer = False, error
    try:
        pickle.loads(pickle.dumps(answer))
    except Exception:
        answer = False, RuntimeError("an answer that cannot be pickled" if answer[0] else reason(answer[1]))
    told.send(answer)
