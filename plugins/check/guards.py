"""Guards around the memory of a kernel, so that what it reads or writes outside of a tensor shows.

Each tensor of a launch is copied between two stretches of what counts wherever it is used: NaN, or for whole numbers 1,
an index, a length and a word of weights that no bound refuses. What a kernel only writes is full of the same before.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from helpers.ops import library
from plugins.check.common import SMALL, Row, launching

STEP, LARGEST = 64, 1 << 14  # a guard is as long as its tensor, in whole steps: elements
ALIGNED = 64  # bytes: what PyTorch gives is on a multiple of so many
BYTES = 255  # of scratch memory: NaN in every type


def between(rows: Iterator[Row], largest: int = LARGEST) -> Iterator[Row]:
    """The rows of kernels alone; infinitely wrong where a launch wrote outside of a tensor or into an input.

    Args:
        largest: elements of a guard; with 0 each tensor is an allocation of its own, whose ends a sanitizer sees.
    """
    while True:
        with _guarded(largest) as broken:
            row = next(rows, None)
        if row is None:
            return
        yield dataclasses.replace(row, error=math.inf) if broken else row


@contextmanager
def _guarded(largest):
    """The functions whose launch broke something; every launch within the block is guarded."""
    broken = []

    def guarded(launch, loaded, function, sizes, tensors):
        parts = [(tensor, _key(tensor), out) for tensor, out in zip(tensors, _written(function), strict=True)]
        read, written = ({key for _, key, out in parts if out == wanted} for wanted in (False, True))
        held = {key: _Held(tensor, largest, key in read) for tensor, key, _ in parts}
        launch(loaded, function, sizes, [held[key].inner for _, key, _ in parts])
        for tensor, key, _ in parts:
            if key in written:
                tensor.copy_(held[key].inner)
        if not all(memory.intact(key in written) for key, memory in held.items()):
            broken.append(function)

    with launching(guarded):
        yield broken


class _Held:
    """A tensor between guards, with its content or empty, as far from an aligned address as it is.

    A small one is made and compared on the host.
    """

    def __init__(self, tensor, largest, filled):
        count = tensor.numel()
        guard = min(STEP * (count // STEP + 1), largest)
        mark = torch.nan if tensor.is_floating_point() else BYTES if tensor.dtype == torch.uint8 else 1
        start = guard + tensor.data_ptr() % ALIGNED // tensor.itemsize
        where = "cpu" if count < SMALL else tensor.device
        self.before = torch.full((start + count + guard,), mark, dtype=tensor.dtype, device=where)
        self.span = slice(start, start + count)
        if filled:
            self.before[self.span] = tensor.flatten()
        self.whole = self.before.to(tensor.device, copy=True)
        self.inner = self.whole[self.span].view(tensor.shape)

    def intact(self, written):
        parts = [slice(self.span.start), slice(self.span.stop, None)] if written else [slice(None)]
        pairs = ((self.whole[part].to(self.before.device), self.before[part]) for part in parts)
        return all(torch.equal(after.view(torch.uint8), before.view(torch.uint8)) for after, before in pairs)


def _key(tensor):
    """The same for tensors in the same memory: attention's past and present may be."""
    return tensor.data_ptr() or id(tensor)  # an empty tensor has no memory


@functools.cache
def _written(function):
    """Whether the function writes each of its tensors, as its header says."""
    texts = (path.read_text() for path in (library.FOLDER / "kernels").glob("*.h"))
    (declared,) = (found[1] for text in texts if (found := re.search(rf"int {function}\((.*?)\);", text, re.DOTALL)))
    return ["const" not in parameter for parameter in declared.split(",")[1:-1]]
