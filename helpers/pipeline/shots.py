"""A frame before and after it went through."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from helpers.engine import Engine
from helpers.engine.slots import Spans
from helpers.errors import BadInput


class Shot(NamedTuple):
    """What a vehicle knows of one frame.

    jpegs: bytes of the cameras' JPEG files, in the network's order. feeds: input -> array of all inputs but the
    pictures and the states. first: whether a sequence begins here. frame: what it was made of, or None.
    """

    jpegs: tuple[bytes, ...]
    feeds: Mapping[str, np.ndarray]
    first: bool
    frame: Any = None


class Done(NamedTuple):
    """A frame that is through.

    shot: as it was given. found: what the configuration decodes, such as `helpers.boxes.Boxes`. spans: stage -> (begin,
    end) in seconds of `time.perf_counter`: decode, copy, compute, copy back, boxes; a runtime may not tell them all.
    """

    shot: Shot
    found: Any
    spans: Spans


def check(shot: Any) -> None:
    """BadInput for what is no `Shot`."""
    if not isinstance(shot, Shot):
        raise BadInput("the frame", f"a {type(shot).__name__}", "a helpers.pipeline.Shot", "pass a list of them")
    if not isinstance(shot.jpegs, tuple | list):
        raise BadInput("pictures of the frame", f"a {type(shot.jpegs).__name__}", "a tuple of bytes, one a camera",
                       "pass the bytes of the cameras' JPEG files")  # fmt: skip
    if not isinstance(shot.first, bool | np.bool_):
        raise BadInput("first of the frame", repr(shot.first), "True or False", "say whether a sequence begins here")


def turn_of(engine: Engine) -> threading.Lock:
    """What a run holds: the engine's own, where that keeps the states, so that no other run on it mixes in."""
    return engine.turn if engine.states else threading.Lock()


@contextlib.contextmanager
def alone(turn: threading.Lock) -> Iterator[None]:
    """A run by itself: two at once would write to the same memory and go on from each other's states."""
    if not turn.acquire(blocking=False):
        raise BadInput("run", "another run that has not ended", "one run at a time",
                       "end that one or close its generator; what runs beside it needs another engine")  # fmt: skip
    try:
        yield
    finally:
        turn.release()
