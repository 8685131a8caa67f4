"""What flows in a network definition, with the operators and methods of a PyTorch tensor. All shapes are static."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from helpers.engine.definition.shapes import Shaped

REAL = ("FLOAT", "HALF")


class Tensor(Shaped):
    """A tensor of a network: `raw` is TensorRT's own."""

    __array_ufunc__ = None  # NumPy arrays leave an expression with a tensor to the tensor

    def __init__(self, network: Any, raw: Any) -> None:
        super().__init__(network, raw)
        self._casts: dict[str, Tensor] = {}

    def to(self, kind: str) -> Tensor:
        """As "FLOAT", "HALF", "INT32" or "BOOL"."""
        if kind not in self._casts:
            self._casts[kind] = self.network.cast(self, kind)
        return self._casts[kind]

    def real(self) -> Tensor:
        """As a number of the network's present precision."""
        return self.to(self.network.current)

    def whole(self) -> Tensor:
        """As int32, numbers without their fraction."""
        return self.to("INT32")

    def operand(self) -> Tensor:
        """As a layer takes it: numbers in the network's present precision, whole ones and truths as they are."""
        return self.real() if self.kind in REAL else self

    # ------------------------------------------------------------------------------------------- arithmetic

    def _with(self, operation: str, other: Any, turned: bool = False) -> Tensor:
        a, b = self.operand(), self.network.given(other)
        if self.kind in REAL or b.kind in REAL:
            a, b = self.real(), b.real()
        rank = max(len(a.shape), len(b.shape))
        a, b = (each.of_rank(rank) for each in ((b, a) if turned else (a, b)))
        return self.network.add("elementwise", a.raw, b.raw, self.network.enum("ElementWiseOperation", operation))

    def __add__(self, other: Any) -> Tensor:
        return self._with("SUM", other)

    def __sub__(self, other: Any) -> Tensor:
        return self._with("SUB", other)

    def __mul__(self, other: Any) -> Tensor:
        return self._with("PROD", other)

    def __truediv__(self, other: Any) -> Tensor:
        return self._with("DIV", other)

    def __floordiv__(self, other: Any) -> Tensor:
        return self._with("FLOOR_DIV", other)

    def __radd__(self, other: Any) -> Tensor:
        return self._with("SUM", other, turned=True)

    def __rsub__(self, other: Any) -> Tensor:
        return self._with("SUB", other, turned=True)

    def __rmul__(self, other: Any) -> Tensor:
        return self._with("PROD", other, turned=True)

    def __gt__(self, other: Any) -> Tensor:
        return self._with("GREATER", other)

    def __lt__(self, other: Any) -> Tensor:
        return self._with("LESS", other)

    def __ge__(self, other: Any) -> Tensor:
        return (self > other) | self.equals(other)

    def __le__(self, other: Any) -> Tensor:
        return (self < other) | self.equals(other)

    def equals(self, other: Any) -> Tensor:
        return self._with("EQUAL", other)

    def __and__(self, other: Tensor) -> Tensor:
        return self._with("AND", other)

    def __or__(self, other: Tensor) -> Tensor:
        return self._with("OR", other)

    def __invert__(self) -> Tensor:
        return self._unary("NOT")

    def clamp(self, least: float | None = None, most: float | None = None) -> Tensor:
        x = self if least is None else self._with("MAX", least)
        return x if most is None else x._with("MIN", most)

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.times(other)

    def times(self, other: Any, transposed: bool = False, name: str = "") -> Tensor:
        """Matrix product over the last two axes; `transposed`: of the second one's transpose, which is an array.

        What is computed is transposed by a layer of its own, `a @ b.transpose(-2, -1)`, as in ONNX graphs.
        """
        a, b = self.real(), self.network.given(other).real()
        rank, none = max(len(a.shape), len(b.shape)), self.network.enum("MatrixOperation", "NONE")
        second = self.network.enum("MatrixOperation", "TRANSPOSE") if transposed else none
        raws = a.of_rank(rank).raw, none, b.of_rank(rank).raw, second
        return self.network.add("matrix_multiply", *raws, name=name)

    # ------------------------------------------------------------------------------------------- of each number

    def _unary(self, operation: str) -> Tensor:
        return self.network.add("unary", self.operand().raw, self.network.enum("UnaryOperation", operation))

    def _activation(self, kind: str) -> Tensor:
        return self.network.add("activation", self.real().raw, self.network.enum("ActivationType", kind))

    def relu(self) -> Tensor:
        return self._activation("RELU")

    def sigmoid(self) -> Tensor:
        return self._activation("SIGMOID")

    def tanh(self) -> Tensor:
        return self._activation("TANH")

    def gelu(self) -> Tensor:
        return self * 0.5 * (1 + (self * math.sqrt(0.5))._unary("ERF"))

    def exp(self) -> Tensor:
        return self._unary("EXP")

    def log(self) -> Tensor:
        return self._unary("LOG")

    def sin(self) -> Tensor:
        return self._unary("SIN")

    def cos(self) -> Tensor:
        return self._unary("COS")

    def abs(self) -> Tensor:
        return self._unary("ABS")

    def sign(self) -> Tensor:
        return self._unary("SIGN")

    def sqrt(self) -> Tensor:
        return self._unary("SQRT")

    def atan(self) -> Tensor:
        return self._unary("ATAN")

    # ------------------------------------------------------------------------------------------- over axes

    def _reduce(self, operation: str, axis: int, keepdim: bool) -> Tensor:
        kind = self.network.enum("ReduceOperation", operation)
        x = self.operand()
        return self.network.add("reduce", x.raw, kind, 1 << axis % len(self.shape), keepdim)

    def sum(self, axis: int, keepdim: bool = False) -> Tensor:
        return self._reduce("SUM", axis, keepdim)

    def mean(self, axis: int, keepdim: bool = False) -> Tensor:
        return self._reduce("AVG", axis, keepdim)

    def amax(self, axis: int, keepdim: bool = False) -> Tensor:
        return self._reduce("MAX", axis, keepdim)

    def any(self, axis: int, keepdim: bool = False) -> Tensor:
        return self.whole().amax(axis, keepdim) > 0

    def all(self, axis: int, keepdim: bool = False) -> Tensor:
        return self.whole()._reduce("MIN", axis, keepdim) > 0

    def cumsum(self, axis: int) -> Tensor:
        """By a sum over a triangle, exact in float32: TensorRT 8.6 has no layer for it, and TF32 may not touch it."""
        axis, rank = axis % len(self.shape), len(self.shape)
        count = self.shape[axis]
        shape = [1] * (rank + 1)
        shape[axis : axis + 2] = count, count
        triangle = np.tril(np.ones((count, count)))
        triangle = triangle if self.kind in REAL else triangle.astype(np.int32)
        return (self.unsqueeze(axis) * triangle.reshape(shape)).sum(axis + 1)

    def softmax(self, axis: int) -> Tensor:
        return self.network.add("softmax", self.real().raw, axes=1 << axis % len(self.shape))

    def log_softmax(self, axis: int) -> Tensor:
        x = self - self.amax(axis, keepdim=True)
        return x - x.exp().sum(axis, keepdim=True).log()

    def topk(self, count: int) -> tuple[Tensor, Tensor]:
        """The largest of the last axis, and where they stand, int32."""
        x = self.real().of_rank(max(len(self.shape), 2))
        most = self.network.enum("TopKOperation", "MAX")
        found = self.network.outputs("topk", x.raw, most, count, 1 << (len(x.shape) - 1))
        values, places = (each.reshape(*self.shape[:-1], count) for each in found)
        return values, places

    def argmax(self) -> Tensor:
        """Where the largest of the last axis stands, int32."""
        return self.topk(1)[1].squeeze(-1)
