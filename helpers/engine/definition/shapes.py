"""The shape of a tensor of a network definition, and all that only changes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # from Python 3.11 on; that of TensorRT 8.6 is 3.10
    from typing import Self


class Shaped:
    """A tensor of a network. Methods are those of PyTorch; a layer that only moves numbers leaves their type alone."""

    def __init__(self, network: Any, raw: Any) -> None:
        self.network, self._raw = network, raw

    @property
    def raw(self) -> Any:
        """TensorRT's ITensor."""
        return self._raw

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._raw.shape)

    @property
    def kind(self) -> str:
        """Name of TensorRT's DataType."""
        return self._raw.dtype.name

    def reshape(self, *shape: int) -> Self:
        return self._shuffled(reshape_dims=_complete(shape, self.shape))

    def permute(self, *axes: int) -> Self:
        return self._shuffled(first_transpose=axes)

    def transpose(self, first: int, second: int) -> Self:
        axes = list(range(len(self.shape)))
        axes[first], axes[second] = axes[second], axes[first]
        return self.permute(*axes)

    def _shuffled(self, **settings):
        return self.network.add("shuffle", self.raw, **settings)

    def of_rank(self, rank: int) -> Self:
        """With ones before its shape."""
        missing = rank - len(self.shape)
        return self.reshape(*[1] * missing, *self.shape) if missing else self

    def flatten(self, first: int = 0, last: int = -1) -> Self:
        last %= len(self.shape)
        sizes = self.shape[first : last + 1]
        return self.reshape(*self.shape[:first], math.prod(sizes), *self.shape[last + 1 :])

    def unflatten(self, axis: int, sizes: Sequence[int]) -> Self:
        axis %= len(self.shape)
        sizes = _complete(sizes, self.shape[axis : axis + 1])
        return self.reshape(*self.shape[:axis], *sizes, *self.shape[axis + 1 :])

    def unsqueeze(self, axis: int) -> Self:
        axis %= len(self.shape) + 1
        return self.reshape(*self.shape[:axis], 1, *self.shape[axis:])

    def squeeze(self, axis: int) -> Self:
        axis %= len(self.shape)
        return self.reshape(*self.shape[:axis], *self.shape[axis + 1 :])

    def expand(self, *shape: int) -> Self:
        """To a shape of the same rank, -1 where it stays."""
        shape = kept(shape, self.shape)
        steps = [int(size == own) for size, own in zip(shape, self.shape, strict=True)]
        return self._sliced([0] * len(shape), shape, steps)

    def _sliced(self, start, sizes, steps):
        return self.network.add("slice", self.raw, start, sizes, steps)

    def __getitem__(self, index: Any) -> Self:
        """Rows by a tensor of their numbers (int32), or whole numbers, slices, None and ... as in PyTorch."""
        if isinstance(index, Shaped):
            return self.take(index)
        entries = list(index) if isinstance(index, tuple) else [index]
        named = sum(entry is not None and entry is not ... for entry in entries)
        if ... not in entries:
            entries.append(...)
        place = entries.index(...)
        entries[place : place + 1] = [slice(None)] * (len(self.shape) - named)
        taken = [entry for entry in entries if entry is not None]
        ranges = [range(size)[entry] if isinstance(entry, slice) else range(entry % size, entry % size + 1)
                  for entry, size in zip(taken, self.shape, strict=True)]  # fmt: skip
        found = self
        if any(len(each) != size for each, size in zip(ranges, self.shape, strict=True)):
            found = self._sliced(*zip(*((each.start, len(each), each.step) for each in ranges), strict=True))
        if all(isinstance(entry, slice) for entry in entries):
            return found
        sizes = iter(map(len, ranges))
        shape = [1 if entry is None else (next(sizes), entry)[0] for entry in entries]
        return found.reshape(*(size for size, entry in zip(shape, entries, strict=True) if not isinstance(entry, int)))

    def take(self, places: Any, axis: int = 0) -> Self:
        """Entries of an axis by number (int32 tensor, or whole numbers)."""
        mode = self.network.enum("GatherMode", "DEFAULT")
        rows = self.network.given(places)
        return self.network.add("gather_v2", self.raw, rows.raw, mode, axis=axis % len(self.shape))

    def split(self, sizes: Sequence[int] | int, axis: int) -> list[Self]:
        """Parts of these sizes along an axis."""
        axis %= len(self.shape)
        if isinstance(sizes, int):
            sizes = [sizes] * (self.shape[axis] // sizes)
        ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
        before = (slice(None),) * axis
        return [self[(*before, slice(end - size, end))] for size, end in zip(sizes, ends, strict=True)]

    def chunk(self, count: int, axis: int) -> list[Self]:
        """`count` equal parts along an axis."""
        return self.split(self.shape[axis] // count, axis)


def kept(shape: Sequence[int], own: Sequence[int]) -> tuple[int, ...]:
    """`shape` with a tensor's own sizes where it has -1."""
    return tuple(old if size < 0 else size for size, old in zip(shape, own, strict=True))


def _complete(shape, own):
    """`shape` with the size that its -1 stands for."""
    known = math.prod(size for size in shape if size >= 0)
    return tuple(size if size >= 0 else math.prod(own) // known for size in shape)
