"""The attention of TensorRT-Edge-LLM in standard ONNX operators, so that a CPU runs the graph that a vehicle gets.

`trt_edgellm::AttentionPlugin` rotates queries and keys, puts keys and values into the pages of a pool, and attends over
what the pages of each sequence hold. Tokens of all sequences lie one after the other. From the schema and the
docstring of the release 0.11.0 (tensorrt_edgellm/onnx/onnx_custom_schemas.py, models/ops.py); the kernel itself was
never run here.
"""

from typing import Any

import onnx
from onnx import TensorProto, helper

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.graph.functions.body import Body
from helpers.graph.walk import attributes, copy, opset
from helpers.llm.edge.commands import PAGE

DOMAIN, OP_TYPE = "trt_edgellm", "AttentionPlugin"
INPUTS = ("qkv", "past_key_value", "query_lengths", "rope_rotary_cos_sin", "past_lengths", "kv_page_table",
          "query_start_offsets", "attention_sequence_lengths", "execution_phase_marker",
          "context_sequence_count_carrier")  # fmt: skip
OUTPUTS = ("attn_output", "present_key_value")
SIZES = ("num_q_heads", "num_kv_heads", "head_size", "attention_scale")
PLAIN = {"sliding_window_size": -1, "skip_softmax_scale_factor": 0.0, "plugin_version": b"1"}  # else an enable_* of 0
IGNORED = ("rms_norm_eps", "qk_norm_post_rope", "qkv_scales", "_outputs")  # of what is switched off


@typed
def define(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an exported graph whose attention carries its definition.

    Raises:
        BadInput: no such node, or one with a feature that is not defined here: a tree of tokens, an FP8 cache, a
            window, norms of queries and keys, and their kin.
    """
    nodes = [node for node in model.graph.node if (node.domain, node.op_type) == (DOMAIN, OP_TYPE)]
    if not nodes:
        fix = "export it with tensorrt-edgellm-export"
        raise BadInput("the model", "no such node", f"nodes {DOMAIN}::{OP_TYPE}", fix)
    variants = {_variant(node) for node in nodes}
    if len(variants) > 1:
        raise BadInput("the model", f"heads {sorted(variants)}", "the same in every layer", "split the graph")
    body = Body(opset(model))
    _define(body, *variants.pop())
    names = sorted({name for node in nodes for name in attributes(node)})
    imports = [helper.make_opsetid("", body.opset)]
    made = copy(model)
    made.functions.append(helper.make_function(DOMAIN, OP_TYPE, INPUTS, OUTPUTS, body.nodes, imports, names))
    return made


def _variant(node):
    found = attributes(node)
    rest = {name: value for name, value in found.items() if name not in (*SIZES, *IGNORED)}
    odd = {name: value for name, value in rest.items() if value != PLAIN.get(name, 0)}
    if odd or list(map(bool, node.input)) != [True] * len(INPUTS):
        raise BadInput(
            f"node {node.name!r}",
            odd or f"{len(node.input)} inputs",
            "plain causal attention over an FP16 cache",
            "export without it",
        )
    return tuple(attributes(node)[name] for name in SIZES)


def _define(b: Body, heads: int, kv_heads: int, size: int, scale: float) -> None:
    qkv, pool, _, rope, past, table, starts, *_ = INPUTS
    tokens = b.extent(qkv, 0)
    place, row = _places(b, tokens, past, starts)
    pages = b.Gather(b.Cast(table, to=TensorProto.INT64), row)  # [T, 2, pages]: of keys, then of values
    query, key, value = b.Split(qkv, b.ints(heads * size, kv_heads * size, kv_heads * size), axis=-1, outputs=3)
    key = b.CastLike(_rotated(b, key, rope, kv_heads, size), qkv)
    value = b.Reshape(value, b.ints(-1, kv_heads, size))
    slots = b.Reshape(pool, b.ints(-1, kv_heads, size))  # pages of keys, then of values: an id counts both
    for which, new in enumerate((key, value)):
        slots = b.ScatterND(slots, b.Unsqueeze(_slot(b, pages, which, place), b.ints(-1)), new)
    b.Reshape(slots, b.Shape(pool), output=OUTPUTS[1])
    held = [b.float(b.Gather(slots, _all_slots(b, pages, which))) for which in range(2)]  # [T, slots, kv_heads, D]
    grouped = b.ints(-1, kv_heads, heads // kv_heads, size)
    query = b.Reshape(b.float(b.CastLike(_rotated(b, query, rope, heads, size), qkv)), grouped)
    scores = b.Mul(b.MatMul(query, b.Transpose(held[0], perm=[0, 2, 3, 1])), b.real(scale))
    later = b.Greater(_count(b, b.extent(scores, 3)), b.Unsqueeze(place, b.ints(1, 2, 3)))
    weights = b.Softmax(b.Where(later, b.real(float("-inf")), scores), axis=-1)
    mixed = b.MatMul(weights, b.Transpose(held[1], perm=[0, 2, 1, 3]))
    b.CastLike(b.Reshape(mixed, b.ints(-1, heads, size)), qkv, output=OUTPUTS[0])


def _places(b, tokens, past, starts) -> tuple[str, str]:
    """Of each token: its position in its sequence, and the number of that sequence, both [T] int64."""
    starts, counted = b.Cast(starts, to=TensorProto.INT64), _count(b, tokens)
    ends = b.Slice(starts, b.ints(1), b.ints(1 << 31))
    passed = b.LessOrEqual(b.Unsqueeze(ends, b.ints(0)), b.Unsqueeze(counted, b.ints(1)))
    row = b.ReduceSum(b.Cast(passed, to=TensorProto.INT64), b.ints(1), keepdims=0)
    begun = b.Sub(counted, b.Gather(starts, row))
    return b.Add(begun, b.Gather(b.Cast(past, to=TensorProto.INT64), row)), row


def _count(b, extent) -> str:
    """0, 1, ... [extent] int64."""
    zero, one = b.Constant(value_int=0), b.Constant(value_int=1)
    return b.Range(zero, b.Squeeze(extent), one)


def _of(b, pages, which) -> str:
    """The pages [T, pages] of keys (0) or values (1)."""
    return b.Gather(pages, b.Constant(value_int=which), axis=1)


def _slot(b, pages, which, place) -> str:
    """Where each token's own key or value goes, [T]."""
    page = b.GatherElements(_of(b, pages, which), b.Unsqueeze(b.Div(place, b.ints(PAGE)), b.ints(1)), axis=1)
    return b.Add(b.Mul(b.Squeeze(page, b.ints(1)), b.ints(PAGE)), b.Mod(place, b.ints(PAGE)))


def _all_slots(b, pages, which) -> str:
    """All slots of each token's sequence, [T, slots]; a page that is not there (-1) counts as the first, unseen."""
    page = b.Max(_of(b, pages, which), b.ints(0))
    slots = b.Add(b.Mul(b.Unsqueeze(page, b.ints(2)), b.ints(PAGE)), b.Constant(value_ints=list(range(PAGE))))
    return b.Reshape(slots, b.ints(0, -1))


def _rotated(b, x, rope, heads, size) -> Any:
    """[T, heads, size] float32: the first half turned against the second, by the cosines and sines of each token."""
    halves = b.Split(b.float(b.Reshape(x, b.ints(-1, heads, size))), axis=-1, num_outputs=2, outputs=2)
    cos, sin = b.Split(b.Unsqueeze(rope, b.ints(1)), axis=-1, num_outputs=2, outputs=2)
    first = b.Sub(b.Mul(halves[0], cos), b.Mul(halves[1], sin))
    return b.Concat(first, b.Add(b.Mul(halves[1], cos), b.Mul(halves[0], sin)), axis=-1)
