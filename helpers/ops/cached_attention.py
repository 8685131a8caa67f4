"""Causal attention over a cache of fixed length: definition, PyTorch operator, ONNX node, call of the compiled kernel.

One operator turns queries and keys by their positions (RoPE), puts new keys and values into the cache, and lets every
new token attend to all up to itself; several query heads may share a key head. In PyTorch it runs as
`torch.ops.onramp.cached_attention`; the ONNX exporter leaves one node in the domain `trt.plugins`.
"""

import ctypes
from typing import NamedTuple

import torch

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.cached_attention import OP_TYPE
from helpers.ops import common
from helpers.ops import library as chosen

Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Operands(NamedTuple):
    """What `cached_attention` takes, in its order."""

    qkv: torch.Tensor
    lengths: torch.Tensor
    rotation: torch.Tensor
    past_key: torch.Tensor
    past_value: torch.Tensor


def cached_attention(
    qkv: torch.Tensor,
    lengths: torch.Tensor,
    rotation: torch.Tensor,
    past_key: torch.Tensor,
    past_value: torch.Tensor,
) -> Triple:
    """Attention of new tokens over what is in the cache and over themselves.

    Args:
        qkv: [B, S, (heads + 2 * kv_heads) * dims] floating point, the projections of S new tokens, head by head.
        lengths: [B] int32 or int64, tokens that a row of the cache holds; new ones go behind them, and have to fit.
        rotation: [slots, dims] float32, of every position the cosines of dims / 2 angles, then their sines; element i
            of a head makes a pair with i + dims / 2.
        past_key, past_value: [B, kv_heads, slots, dims] in the type of `qkv`.

    Returns:
        attended [B, S, heads * dims], present_key and present_value like the past ones, with the new rows; those of
        keys are turned. In the type of `qkv`; all but the cache itself in float32 at least.

    Raises:
        BadInput: sizes or types that do not belong together.
    """
    given = Operands(qkv, lengths, rotation, past_key, past_value)
    common.check_tensors("cached_attention", qkv=qkv, rotation=rotation, past_key=past_key, past_value=past_value)
    common.check_whole("cached_attention", lengths=lengths)
    if not _fit(given):
        found = ", ".join(f"{n} {common.shape_text(t)} {t.dtype}" for n, t in zip(given._fields, given, strict=True))
        expected = "qkv [B,S,(heads+2*kv_heads)*dims], lengths [B] whole, rotation [slots,dims], and caches "
        raise BadInput("cached_attention", found, f"{expected}[B,kv_heads,slots,dims] in the type of qkv, dims even",
                       "pass the projections of new tokens and a cache made for them")  # fmt: skip
    if torch.onnx.is_in_onnx_export():
        shapes = (_attended_shape(given), past_key.shape, past_value.shape)
        name, kinds = f"{DOMAIN}::{OP_TYPE}", (qkv.dtype,) * 3
        return torch.onnx.ops.symbolic_multi_out(name, tuple(given), {}, dtypes=kinds, shapes=shapes, version=1)
    return torch.ops.onramp.cached_attention(*given)


def _fit(given):
    qkv, lengths, rotation, key, value = given
    if qkv.dim() != 3 or key.dim() != 4 or key.shape != value.shape or lengths.shape != qkv.shape[:1]:
        return False
    heads = qkv.shape[2] // max(key.shape[3], 1) - 2 * key.shape[1]
    whole = lengths.dtype in common.WHOLES and qkv.dtype == key.dtype == value.dtype and rotation.shape == key.shape[2:]
    shared = qkv.shape[1] > 0 and key.shape[3] % 2 == 0 and key.shape[1] > 0 and heads > 0 and heads % key.shape[1] == 0
    return whole and shared and key.shape[0] == qkv.shape[0] and qkv.shape[2] % key.shape[3] == 0


def _attended_shape(given):
    kv_heads, dims = given.past_key.shape[1], given.past_key.shape[3]
    return (*given.qkv.shape[:2], given.qkv.shape[2] - 2 * kv_heads * dims)


def reference(
    qkv: torch.Tensor,
    lengths: torch.Tensor,
    rotation: torch.Tensor,
    past_key: torch.Tensor,
    past_value: torch.Tensor,
) -> Triple:
    """`cached_attention` in plain PyTorch, differentiable."""
    tokens, (_, kv_heads, slots, dims) = qkv.shape[1], past_key.shape
    positions = lengths.long()[:, None] + torch.arange(tokens, device=qkv.device)
    heads = common.full_precision(qkv).unflatten(2, (-1, dims)).transpose(1, 2)
    q, k, v = heads.split([heads.shape[1] - 2 * kv_heads, kv_heads, kv_heads], 1)
    cos, sin = rotation.to(heads.dtype)[positions][:, None].chunk(2, -1)
    q, k = _turned(q, cos, sin), _turned(k, cos, sin)
    rows = positions[:, None, :, None].expand(k.shape)
    keys, values = (past.scatter(2, rows, new.to(past.dtype)) for past, new in ((past_key, k), (past_value, v)))
    grouped = (q * dims**-0.5).unflatten(1, (kv_heads, -1)).flatten(2, 3)  # [B, kv_heads, group * S, dims]
    scores = grouped @ common.full_precision(keys).transpose(2, 3)
    seen = torch.arange(slots, device=qkv.device) <= positions[..., None]
    shares = scores.unflatten(2, (-1, tokens)).masked_fill(~seen[:, None, None], -torch.inf).softmax(-1)
    found = shares.flatten(2, 3) @ common.full_precision(values)
    attended = found.unflatten(2, (-1, tokens)).flatten(1, 2).transpose(1, 2).flatten(2)
    return attended.to(qkv.dtype), keys, values


def _turned(x, cos, sin):
    left, right = x.chunk(2, -1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


# ------------------------------------------------------------------------------------------------- compiled kernel

FORMS = {torch.float32: "fp32", torch.float16: "fp16"}  # type of the projections -> suffix of the compiled function
UNIT, MOST_DIMS, MOST_SPLITS = 16, 128, 32  # dims of a head, blocks that share the slots of a token


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampCachedAttention of plugins/kernels/cached_attention.h
    _fields_ = [
        (name, ctypes.c_int)
        for name in ("batch", "tokens", "heads", "kv_heads", "dims", "slots", "wide_lengths", "splits")
    ]


def launch(library: ctypes.CDLL, given: Operands, outputs: Triple, splits: int = 0) -> None:
    """Queue the compiled kernels on the current stream: contiguous operands on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        given: as `cached_attention` takes them; `rotation` in float32.
        outputs: attended, present_key and present_value, which are written. The present ones may be the past ones:
            then only the new rows are written, else the cache is copied before.
        splits: blocks that share the slots of a token, up to 32; 0 for as many as fill the GPU once.

    Raises:
        BadInput: a tensor that is not contiguous, a mixture of types, sizes that do not agree.
    """
    kinds = {given.qkv.dtype, given.past_key.dtype, given.past_value.dtype, *(output.dtype for output in outputs)}
    shapes = _attended_shape(given), given.past_key.shape, given.past_key.shape
    typed = kinds in [{kind} for kind in FORMS] and given.rotation.dtype == torch.float32
    if not typed or not _fit(given) or tuple(output.shape for output in outputs) != tuple(map(torch.Size, shapes)):
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in (*given, *outputs))
        raise BadInput("cached_attention.launch", found, "one type, rotation in float32, shapes that agree",
                       "see helpers.ops.cached_attention")  # fmt: skip
    (batch, tokens, width), (_, kv_heads, slots, dims) = given.qkv.shape, given.past_key.shape
    heads, wide = width // dims - 2 * kv_heads, given.lengths.dtype == torch.int64
    workspace = chosen.function(library, "onramp_cached_attention_workspace")
    workspace.restype = ctypes.c_size_t
    scratch = given.qkv.new_empty(workspace(batch, tokens, width), dtype=torch.uint8)
    sizes = Sizes(batch, tokens, heads, kv_heads, dims, slots, wide, splits)
    common.launch(library, f"onramp_cached_attention_{FORMS[given.qkv.dtype]}", sizes, (*given, scratch, *outputs))


def _takes(qkv, lengths, rotation, past_key, past_value):
    dims = past_key.shape[3]
    return qkv.dtype in FORMS and rotation.dtype == torch.float32 and dims % UNIT == 0 and dims <= MOST_DIMS


def _kernel(library, *given):
    outputs = _fake(*given)
    launch(library, Operands(*map(common.packed, given)), outputs)
    return outputs


# ---------------------------------------------------------------------------------------------------- registration


def _fake(*given):
    attended, *caches = _attended_shape(Operands(*given)), given[3].shape, given[4].shape
    return given[0].new_empty(attended), *(given[0].new_empty(shape) for shape in caches)


common.register(
    "cached_attention(Tensor qkv, Tensor lengths, Tensor rotation, Tensor past_key, Tensor past_value)"
    " -> (Tensor, Tensor, Tensor)",
    reference, _takes, _kernel, _fake,
)  # fmt: skip
