"""Product of a matrix with a few vectors in standard operators; `helpers.ops.matvec` says what it computes."""

from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import Attribute, Body

OP_TYPE = "MatVecTRT2"
INPUTS = ("x", "weight")
OUTPUTS = ("output",)
ATTRIBUTES = {"gated": Attribute(0, 1)}
VARIANT = "layout"


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Layout of the weights: rows after each other."""
    return {"rows"}


def define(b: Body, layout: str) -> None:
    """Add the definition to a `Body`."""
    product(b, b.float("weight"))


def product(b: Body, weight: str) -> None:
    """The output, of `x` and a weight in float32; of what is not gated each half is the whole."""
    sums = b.MatMul(b.float("x"), b.Transpose(weight, perm=[1, 0]))
    gated = b.attribute("gated", 0)
    rows = b.extent("weight", 0)
    half = b.Div(rows, b.Add(b.Reshape(gated, b.ints(1)), b.ints(1)))
    axis, end = b.ints(-1), b.ints(2**62)
    gate, let_through = b.Slice(sums, b.ints(0), half, axis), b.Slice(sums, b.Sub(rows, half), end, axis)
    both = b.Mul(b.Mul(gate, b.Sigmoid(gate)), let_through)
    chosen = b.Where(b.Cast(gated, to=onnx.TensorProto.BOOL), both, gate)
    b.CastLike(chosen, "x", output="output")


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """A multiplication and an addition for every weight and vector."""
    return 2 * prod(input_shapes[0]) * input_shapes[1][0]
