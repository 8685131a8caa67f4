"""Attention over a cache in standard operators; `helpers.ops.cached_attention` says what it computes."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto

from helpers.graph.functions.body import Attribute, Body

OP_TYPE = "CachedAttentionTRT2"
INPUTS = ("qkv", "lengths", "rotation", "past_key", "past_value")
OUTPUTS = ("output", "present_key", "present_value")
ATTRIBUTES: dict[str, Attribute] = {}
VARIANT = "layout"


def variants(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Layout of the cache: slots after each other, head by head."""
    return {"heads"}


def define(b: Body, layout: str) -> None:
    """Add the definition to a `Body`."""
    kv, slots, dims = (b.extent("past_key", axis) for axis in (1, 2, 3))
    positions = _positions(b)  # [B, S]
    whole = b.Reshape(b.float("qkv"), b.Concat(b.ints(0, 0, -1), dims, axis=0))
    heads = b.Sub(b.extent(whole, 2), b.Add(kv, kv))
    parts = b.Split(b.Transpose(whole, perm=[0, 2, 1, 3]), b.Concat(heads, kv, kv, axis=0), axis=1, outputs=3)
    half = b.Div(dims, b.ints(2))
    angles = b.Unsqueeze(b.Gather("rotation", positions), b.ints(1))
    cos, sin = b.Split(angles, b.Concat(half, half, axis=0), axis=-1, outputs=2)
    query, key = (_turned(b, part, half, cos, sin) for part in parts[:2])
    keys, values = (
        _written(b, f"past_{name}", tensor, positions, f"present_{name}")
        for name, tensor in (("key", key), ("value", parts[2]))
    )
    scale = b.Sqrt(b.float(dims))
    grouped = b.Reshape(b.Div(query, scale), b.Concat(b.ints(0), kv, b.ints(-1), dims, axis=0))
    scores = b.MatMul(grouped, b.Transpose(b.float(keys), perm=[0, 1, 3, 2]))
    scores = b.Reshape(scores, b.Concat(b.ints(0), heads, b.ints(-1), slots, axis=0))
    count = b.Range(b.Constant(value_int=0), b.Squeeze(slots, b.ints(0)), b.Constant(value_int=1))
    seen = b.LessOrEqual(count, b.Unsqueeze(b.Unsqueeze(positions, b.ints(1)), b.ints(3)))
    shares = b.Softmax(b.Where(seen, scores, b.real(-3e38)), axis=-1)
    shares = b.Reshape(shares, b.Concat(b.ints(0), kv, b.ints(-1), slots, axis=0))
    found = b.Reshape(b.MatMul(shares, b.float(values)), b.Concat(b.ints(0), heads, b.ints(-1), dims, axis=0))
    merged = b.Reshape(b.Transpose(found, perm=[0, 2, 1, 3]), b.ints(0, 0, -1))
    b.CastLike(merged, "qkv", output="output")


def _positions(b):
    """Of every new token, [B, S]."""
    tokens = b.Squeeze(b.extent("qkv", 1), b.ints(0))
    steps = b.Range(b.Constant(value_int=0), tokens, b.Constant(value_int=1))
    return b.Add(b.Unsqueeze(b.Cast("lengths", to=TensorProto.INT64), b.ints(1)), steps)


def _turned(b, x, half, cos, sin):
    left, right = b.Split(x, b.Concat(half, half, axis=0), axis=-1, outputs=2)
    return b.Concat(b.Sub(b.Mul(left, cos), b.Mul(right, sin)), b.Add(b.Mul(right, cos), b.Mul(left, sin)), axis=-1)


def _written(b, past, new, positions, present):
    """The cache with new rows [B, kv_heads, S, dims] at their positions; returns its name."""
    rows = b.Unsqueeze(b.Unsqueeze(positions, b.ints(1)), b.ints(3))
    return b.ScatterElements(past, b.Expand(rows, b.Shape(new)), b.CastLike(new, past), axis=2, output=present)


def flops(node: onnx.NodeProto, input_shapes: Sequence[list[int]], output_shape: list[int]) -> int:
    """The two products, of every query with every slot."""
    batch, tokens, width = output_shape
    return 4 * batch * tokens * width * input_shapes[3][2]
