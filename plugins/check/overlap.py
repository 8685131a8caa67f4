"""The proof that the kernels of a decode step wait for what they read.

Each may begin before the one before it ends (`kernels/overlap.h`); only their order as a step shows whether it waits.
"""

import ctypes
from collections.abc import Iterator

import torch

from plugins.check.common import Row, exactly, launching
from plugins.check.step import Shape, Step

SMALL = Shape(3, 256, 4, 2, 64, 512, 96, slots=40, length=33)
OPERATORS = {"add_rms_norm", "matvec", "matvec_int4", "cached_attention"}  # which a step is made of


def rows(loaded: ctypes.CDLL, device: str) -> Iterator[Row]:
    """A small step of weights of both kinds, against the same kernels of which each ends before the next begins."""

    def alone(launch, *given):
        launch(*given)
        if device == "cuda":
            torch.cuda.synchronize()

    for form in ("fp16", "int4"):
        step = Step(SMALL, form == "int4", loaded, device)
        with launching(alone):
            expected = step.run().clone()
        for tensor in (*step.outputs.values(), step.normal, step.total, step.attended):
            tensor.fill_(torch.nan)
        if device == "cuda":
            torch.cuda._sleep(100_000_000)  # cycles: all of the step is queued before its first kernel begins
        yield Row("decode step: kernels wait for what they read", form, exactly(step.run(), expected), 0.0)
