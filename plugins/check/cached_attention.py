"""The proof of the attention over a cache: its cases, operands and errors."""

import itertools

import torch
import torch.nn.functional as F

from helpers.ops import cached_attention as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, exactly, relative

# batch, new tokens, heads, heads of the cache, dims, slots, tokens in the cache; a factor of the queries, so large that
# one slot outweighs all others and scores have no exponential
CASES = {
    "one token": (1, 1, 8, 2, 64, 100, (70,)),
    "an empty cache": (1, 1, 4, 4, 64, 64, (0,), 3000.0),
    "a cache that gets full": (2, 1, 4, 1, 128, 40, (39, 3)),
    "a full block of heads": (1, 1, 16, 2, 64, 100, (70,), 3000.0),
    "two full blocks of heads": (1, 1, 16, 1, 128, 40, (30,)),
    "more heads than a block": (1, 1, 34, 2, 16, 64, (50,)),
    "a few tokens": (2, 3, 4, 2, 32, 33, (0, 30)),
    "a prompt": (1, 20, 6, 2, 96, 64, (5,)),
    "more slots than a tile": (1, 1, 1, 1, 64, 800, (790,)),
    "more slots than a tile of two heads": (1, 1, 2, 1, 128, 400, (390,)),
    "nobody": (0, 1, 4, 2, 32, 16, ()),
}
PUBLISHED = {
    "1.1b token": (1, 1, 32, 4, 64, 640, (639,)),
    "7b token": (1, 1, 32, 32, 128, 640, (639,)),
}
PROMPT = {"1.1b prompt": (1, 577, 32, 4, 64, 640, (0,))}  # which kernels as one first writes them take seconds for
FORMS = {"fp32": SINGLE, "fp16": HALF}
SPLITS = (0, 1, 3, 32)
LENGTHS = (-5, -1, 31, 32, 33, 1 << 20, (1 << 32) + 5, 5 - (1 << 32))  # of a cache of 32 slots


def operands(case, dtype, device, seed=0, index=torch.int64):
    """As `cached_attention` takes them; angles as a model has them."""
    batch, tokens, heads, kv_heads, dims, slots, lengths, *steep = case
    g = torch.Generator().manual_seed(seed)
    qkv = torch.randn(batch, tokens, (heads + 2 * kv_heads) * dims, generator=g)
    caches = [torch.randn(batch, kv_heads, slots, dims, generator=g).to(device, dtype) for _ in range(2)]
    angles = torch.outer(torch.arange(slots).float(), 1e4 ** -(torch.arange(0, dims, 2) / dims))
    rotation = torch.cat([angles.cos(), angles.sin()], 1)
    for factor in steep:
        qkv[..., : heads * dims] *= factor
    given = qkv.to(device, dtype), torch.tensor(lengths, dtype=index), rotation, *caches
    return ops.Operands(given[0], given[1].to(device), rotation.to(device), *caches)


def joined(outputs):
    """All outputs as one vector: the attended tokens, the keys, the values."""
    return torch.cat([output.flatten() for output in outputs])


def exact(arguments):
    """The outputs of the definition in float64."""
    return ops.reference(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in arguments))


def error_of(output, expected):
    """Error of the `joined` outputs, each relative to its largest value."""
    parts = output.split([part.numel() for part in expected])
    return max(relative(part, whole.flatten()) for part, whole in zip(parts, expected, strict=True))


class CachedAttention(Check):
    name = "cached_attention"
    operator = staticmethod(lambda *arguments: joined(ops.cached_attention(*arguments)))
    reference = staticmethod(lambda *arguments: joined(ops.reference(*arguments)))

    def kernel_rows(self, library, device, published):
        for name, case in (CASES | PUBLISHED | PROMPT if published else CASES).items():
            for form, dtype in FORMS.items():
                for index in (torch.int32, torch.int64):
                    given, what = operands(case, dtype, device, index=index), f"{self.name}, {name}"
                    expected = exact(given)
                    for splits in SPLITS:
                        places = f"{form}, {index}, {splits} blocks".replace("torch.", "")
                        output = joined(self._in_place(library, given, splits))
                        yield Row(what, places, error_of(output, expected), LIMITS[dtype])
                        same = exactly(self.launched(library, given, splits=splits), output)
                        yield Row(f"{what}: in the same memory and in other", places, same, 0.0)
        yield from self._outside(library, device)

    def _in_place(self, library, given, splits):
        """Outputs whose past and present are the same memory."""
        qkv, key, value = given.qkv, given.past_key.clone(), given.past_value.clone()
        output = qkv.new_empty((*qkv.shape[:2], qkv.shape[2] - 2 * key.shape[1] * key.shape[3]))
        ops.launch(library, given._replace(past_key=key, past_value=value), (output, key, value), splits)
        return output, key, value

    def _outside(self, library, device):
        """Lengths that no cache has: what is attended to says nothing, and the slots keep what they had."""
        for dims, tokens, splits, length in itertools.product((32, 64), (1, 3), (0, 3), LENGTHS):
            given = operands((1, tokens, 4, 2, dims, 32, (length,)), SINGLE, device)
            _, *caches = self._in_place(library, given, splits)
            kept = [slot for slot in range(32) if not length <= slot < length + tokens]
            pairs = zip(caches, given[3:], strict=True)
            error = max(exactly(cache[:, :, kept], past[:, :, kept]) for cache, past in pairs)
            what = f"{self.name}, {tokens} tokens of {dims} dims behind {length}"
            yield Row(what, f"fp32, {splits} blocks", error, 0.0)

    def calls(self, device):
        for form, dtype in FORMS.items():
            for name in ("one token", "a few tokens"):
                yield Call(name, form, operands(CASES[name], dtype, device), LIMITS[dtype])
        given = operands(CASES["one token"], SINGLE, device, index=torch.int32)
        strided = given._replace(past_key=given.past_key.transpose(1, 2).contiguous().transpose(1, 2))
        yield Call("strided", "fp32", strided, LIMITS[SINGLE])
        yield Call(
            "heads of 8", "fp32", operands((1, 2, 2, 1, 8, 16, (3,)), SINGLE, device), LIMITS[SINGLE], compiled=False
        )
        for form, dtype in (("fp64", torch.float64), ("bf16", torch.bfloat16)):
            given = operands(CASES["a few tokens"], dtype, device)
            yield Call("a few tokens", form, given, LIMITS[dtype], compiled=False)

    def published(self, device):
        for name, case in PUBLISHED.items():
            batch, tokens, heads, kv_heads, dims, _, lengths = case
            given = operands(case, HALF, device)
            filled = 2 * 2 * batch * kv_heads * dims * (tokens + max(lengths))
            moved = filled + 2 * batch * tokens * (2 * heads + 2 * kv_heads) * dims
            yield Call(name, "fp16", given, LIMITS[HALF], traffic=moved)

    def composition(self, qkv, lengths, rotation, past_key, past_value):
        """Rotation, cache and PyTorch's own attention over the whole cache."""
        (_, tokens, _), (_, kv_heads, slots, dims) = qkv.shape, past_key.shape
        positions = lengths[:, None] + torch.arange(tokens, device=qkv.device)
        heads = qkv.unflatten(2, (-1, dims)).transpose(1, 2)
        q, k, v = heads.split([heads.shape[1] - 2 * kv_heads, kv_heads, kv_heads], 1)
        cos, sin = rotation[positions][:, None].repeat(1, 1, 1, 1).to(qkv.dtype).chunk(2, -1)
        q, k = (
            torch.cat([left * cos - right * sin, right * cos + left * sin], -1)
            for left, right in (tensor.chunk(2, -1) for tensor in (q, k))
        )
        rows = positions[:, None, :, None].expand(k.shape)
        keys, values = past_key.scatter(2, rows, k), past_value.scatter(2, rows, v)
        seen = torch.arange(slots, device=qkv.device) <= positions[:, None, :, None]
        attended = F.scaled_dot_product_attention(q, keys, values, seen, enable_gqa=True)
        return joined((attended.transpose(1, 2).flatten(2), keys, values))

    def launched(self, library, arguments, packed=False, splits=0):
        given = ops.Operands(*(tensor.contiguous() for tensor in arguments))
        kv_heads, dims = given.past_key.shape[1], given.past_key.shape[3]
        attended = given.qkv.new_empty((*given.qkv.shape[:2], given.qkv.shape[2] - 2 * kv_heads * dims))
        outputs = attended, torch.empty_like(given.past_key), torch.empty_like(given.past_value)
        ops.launch(library, given, outputs, splits)
        return joined(outputs)

    def error(self, output, arguments):
        return error_of(output, exact(arguments))
