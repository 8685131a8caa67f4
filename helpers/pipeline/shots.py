"""A frame before and after it went through."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from helpers.engine.slots import Spans


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
