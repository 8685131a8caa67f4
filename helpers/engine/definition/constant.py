"""Arrays in a network definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.engine.definition.shapes import kept
from helpers.engine.definition.tensor import REAL, Tensor

if TYPE_CHECKING:
    from typing import Self


class Constant(Tensor):
    """An array in a network. Its layer is made where something takes it, in the type that it is taken in."""

    def __init__(self, network: Any, array: np.ndarray, name: str = "", kind: str | None = None) -> None:
        super().__init__(network, None)
        self.array, self.name = array, name
        self._kind = kind or ("FLOAT" if array.dtype.kind == "f" else "INT32")

    @property
    def raw(self) -> Any:
        if self._raw is None:
            weights = self.network.hold(self.array, self._kind)
            self._raw = self.network.add("constant", self.array.shape, weights, name=self.name or "constant").raw
        return self._raw

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def kind(self) -> str:
        return self._kind

    def to(self, kind: str) -> Tensor:
        kind = kind if self.network.strong or kind != "HALF" else "FLOAT"
        if kind == self._kind or kind not in REAL:
            return super().to(kind)
        if kind not in self._casts:
            self._casts[kind] = Constant(self.network, self.array, self.name, kind)
        return self._casts[kind]

    def reshape(self, *shape: int) -> Self:
        return self._of(self.array.reshape(shape))

    def permute(self, *axes: int) -> Self:
        return self._of(self.array.transpose(axes))

    def __getitem__(self, index: Any) -> Self:
        return super().__getitem__(index) if isinstance(index, Tensor) else self._of(self.array[index])

    def expand(self, *shape: int) -> Self:
        return self._of(np.broadcast_to(self.array, kept(shape, self.shape)))

    def _of(self, array: np.ndarray) -> Self:
        return type(self)(self.network, array, self.name, self._kind)
