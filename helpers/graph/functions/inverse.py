"""Inverse of 3 x 3 matrices in standard operators; `helpers.ops.inverse` says what it computes."""

import itertools
from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import Attribute, Body

OP_TYPE = "InverseTRT2"
INPUTS = ("matrix",)
OUTPUTS = ("output",)
ATTRIBUTES: dict[str, Attribute] = {}
VARIANT = "size"
SIZE = 3
# Of the adjugate, row by row: entry = first * second - third * fourth, numbers of the matrix's own entries.
MINORS = tuple(
    (3 * i1 + j1, 3 * i2 + j2, 3 * i1 + j2, 3 * i2 + j1)
    for j, i in itertools.product(range(SIZE), repeat=2)
    for i1, i2, j1, j2 in [((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3)]
)


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """Rows of the matrices: 3."""
    return {SIZE}


def define(b: Body, size: int) -> None:
    """Add the definition to a `Body`."""
    rows = b.Split(b.float("matrix"), b.ints(1, 1, 1), axis=-2, outputs=size)
    m = [entry for row in rows for entry in b.Split(row, b.ints(1, 1, 1), axis=-1, outputs=size)]  # [..., 1, 1]
    adjugate = [b.Sub(b.Mul(m[p], m[q]), b.Mul(m[r], m[s])) for p, q, r, s in MINORS]
    terms = [b.Mul(m[column], adjugate[size * column]) for column in range(size)]
    determinant = b.Add(b.Add(terms[0], terms[1]), terms[2])
    lines = [b.Concat(*adjugate[row : row + size], axis=-1) for row in range(0, size * size, size)]
    b.CastLike(b.Div(b.Concat(*lines, axis=-2), determinant), "matrix", output="output")


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """Per matrix: 27 of the adjugate, 5 of the determinant, 9 divisions."""
    return 41 * prod(output_shape[:-2])
