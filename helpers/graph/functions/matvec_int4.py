"""Product of a matrix of four-bit weights with a few vectors in standard operators, as `helpers.ops.matvec_int4`."""

from collections.abc import Sequence
from math import prod

import onnx

from helpers.graph.functions import matvec
from helpers.graph.functions.body import Attribute, Body

OP_TYPE = "MatVecInt4TRT2"
INPUTS = ("x", "weight", "scale")
OUTPUTS = ("output",)
ATTRIBUTES = {"gated": Attribute(0, 1)}
VARIANT = matvec.VARIANT
variants = matvec.variants
IN_WORD = 8
ZERO = 8  # the nibble of the weight 0
NIBBLES = tuple(position % 2 * 4 + position // 2 for position in range(IN_WORD))  # where a word has each weight


def define(b: Body, layout: str) -> None:
    """Add the definition to a `Body`."""
    words = b.Mod(b.Cast("weight", to=onnx.TensorProto.INT64), b.ints(1 << 32))  # as unsigned numbers
    shifted = b.Div(b.Unsqueeze(words, b.ints(2)), b.ints(*(16**nibble for nibble in NIBBLES)))
    codes = b.Sub(b.Mod(shifted, b.ints(16)), b.ints(ZERO))
    rows = b.extent("weight", 0)
    grouped = b.Reshape(b.float(codes), b.Concat(rows, b.extent("scale", 1), b.ints(-1), axis=0))
    scaled = b.Mul(grouped, b.Unsqueeze(b.float("scale"), b.ints(2)))
    matvec.product(b, b.Reshape(scaled, b.Concat(rows, b.ints(-1), axis=0)))


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """A multiplication and an addition for every weight and vector."""
    return 2 * prod(input_shapes[0]) * input_shapes[1][0]
