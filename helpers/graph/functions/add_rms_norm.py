"""Sum and root-mean-square norm in standard operators; `helpers.ops.add_rms_norm` says what it computes."""

import math
from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions.body import Attribute, Body

OP_TYPE = "AddRmsNormTRT2"
INPUTS = ("x", "residual", "weight")
OUTPUTS = ("output", "total")
ATTRIBUTES = {"epsilon": Attribute(0.0, math.inf)}
VARIANT = "axis"


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """The axis of the mean: the last one."""
    return {-1}


def define(b: Body, axis: int) -> None:
    """Add the definition to a `Body`."""
    total = b.float(b.Add("x", "residual", output="total"))
    square = b.Mul(total, total)
    mean = b.ReduceMean(square, axes=[axis]) if b.opset < 18 else b.ReduceMean(square, b.ints(axis))
    size = b.Sqrt(b.Add(mean, b.attribute("epsilon", 0.0)))
    b.CastLike(b.Mul(b.Div(total, size), b.float("weight")), "x", output="output")


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """Per number: two additions, a square, two multiplications."""
    return 5 * prod(output_shape)
