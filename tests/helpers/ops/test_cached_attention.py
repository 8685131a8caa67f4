"""Attention over a cache: the definition against a whole pass without one, the graph, the kernel."""

import pytest
import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

from helpers import engine, export, graph
from helpers.errors import BadInput
from helpers.layers.llama import rotary, rotate
from helpers.ops import common, library
from helpers.ops.cached_attention import Operands, Sizes, cached_attention, launch
from plugins.check.cached_attention import CASES, operands
from tests.builders.functions import run

HEADS, KV_HEADS, DIMS, SLOTS = 4, 2, 16, 12


class Attended(torch.nn.Module):
    def forward(self, qkv, lengths, rotation, past_key, past_value):
        return cached_attention(qkv, lengths, rotation, past_key, past_value)


@pytest.fixture(scope="module")
def bare():
    """The graph of one node, for two rows of three tokens."""
    given = operands(CASES["a few tokens"], torch.float32, "cpu")._asdict()
    made = torch.onnx.export(Attended().eval(), kwargs=given, dynamo=True, opset_version=export.OPSET, verbose=False)
    return made.model_proto


def whole(qkv):
    """Attention of all tokens without a cache, of PyTorch's own functions."""
    heads = qkv.unflatten(2, (-1, DIMS)).transpose(1, 2)
    q, k, v = heads.split([HEADS, KV_HEADS, KV_HEADS], 1)
    angles = [table.to(qkv.dtype) for table in rotary(qkv.shape[1], DIMS, 1e4)]
    found = F.scaled_dot_product_attention(rotate(q, *angles), rotate(k, *angles), v, is_causal=True, enable_gqa=True)
    return found.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("steps", [[10], [4, 1, 3, 1, 1], [1] * 10])
@pytest.mark.parametrize("compiled", [False, True])
def test_token_by_token_it_is_what_a_whole_pass_gives(steps, compiled, host_library):
    """Two rows, whose prompt is taken in at once, in pieces, or as single tokens."""
    qkv = torch.randn(2, 10, (HEADS + 2 * KV_HEADS) * DIMS, generator=torch.Generator().manual_seed(0))
    cos, sin = rotary(SLOTS, DIMS, 1e4)
    rotation = torch.cat([cos[:, : DIMS // 2], sin[:, : DIMS // 2]], 1)
    caches, begin, found = [torch.full((2, KV_HEADS, SLOTS, DIMS), 9.0) for _ in range(2)], 0, []
    with library.use(host_library if compiled else None):
        for count in steps:
            lengths = torch.full((2,), begin)
            attended, *caches = cached_attention(qkv[:, begin : begin + count], lengths, rotation, *caches)
            begin += count
            found.append(attended)
    torch.testing.assert_close(torch.cat(found, 1), whole(qkv), rtol=1e-5, atol=1e-5)
    assert all((cache[:, :, 10:] == 9).all() and (cache[:, :, :10] != 9).all() for cache in caches)


def test_rows_of_different_lengths_see_their_own_tokens():
    given = operands((2, 1, 4, 2, 16, 12, (7, 3)), torch.float64, "cpu")
    both, *_ = cached_attention(*given)
    for row in range(2):
        one = Operands(
            *(tensor if name == "rotation" else tensor[row : row + 1] for name, tensor in given._asdict().items())
        )
        torch.testing.assert_close(cached_attention(*one)[0], both[row : row + 1])
    unseen = given.past_value.clone()
    unseen[1, :, 4:] = 1e3  # behind the token of the second row
    assert torch.equal(cached_attention(*given._replace(past_value=unseen))[0], both)


def test_gradients_flow():
    given = operands((1, 2, 2, 1, 4, 5, (1,)), torch.float64, "cpu")
    leaves = [tensor.double().requires_grad_() for tensor in (given.qkv, *given[2:])]
    assert torch.autograd.gradcheck(lambda qkv, *rest: cached_attention(qkv, given.lengths, *rest), leaves)


@pytest.mark.parametrize(
    "change",
    [
        lambda given: given._replace(lengths=given.lengths.float()),
        lambda given: given._replace(lengths=given.lengths[:1]),
        lambda given: given._replace(rotation=given.rotation[1:]),
        lambda given: given._replace(past_key=given.past_key[:, :1]),
        lambda given: given._replace(past_value=given.past_value.half()),
        lambda given: given._replace(qkv=given.qkv[..., :64]),  # no queries are left
    ],
)
def test_operands_that_do_not_belong_together_are_refused(change):
    with pytest.raises(BadInput, match="cached_attention"):
        cached_attention(*change(operands(CASES["a few tokens"], torch.float32, "cpu")))


def test_the_graph_holds_one_node_with_a_definition_of_the_same_values(bare):
    (node,) = bare.graph.node
    assert (node.domain, node.op_type, len(node.output)) == ("trt.plugins", "CachedAttentionTRT2", 3)
    given = operands(CASES["a few tokens"], torch.float32, "cpu", seed=3)
    found = run(graph.with_functions(bare), **{name: tensor.numpy() for name, tensor in given._asdict().items()})
    for pair in zip(found, cached_attention(*given), strict=True):
        torch.testing.assert_close(*map(torch.as_tensor, pair), rtol=1e-5, atol=1e-5)


def test_tensorrt_rtx_builds_the_definition(bare, tmp_path):
    path = tmp_path / "attention.onnx"
    graph.save(graph.with_functions(bare), path)
    assert engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability="8.9").stat().st_size > 0


def test_the_kernel_is_used_and_traced_as_one_node(host_library):
    given = operands(CASES["a few tokens"], torch.float16, "cpu")
    with library.use(host_library):
        torch.library.opcheck(torch.ops.onramp.cached_attention_compiled, tuple(given))
        made = make_fx(Attended(), tracing_mode="fake")(*given)
    assert "onramp.cached_attention_compiled.default" in {str(node.target) for node in made.graph.nodes}
    outputs = torch.empty(2, 3, 128).half(), given.past_key, given.past_value
    loaded = library.load(host_library)
    launch(loaded, given, outputs)
    with pytest.raises(BadInput, match=r"cached_attention\.launch"):
        launch(loaded, given, (outputs[0][:1], *outputs[1:]))
    with pytest.raises(BadInput, match="splits 33"):
        launch(loaded, given, outputs, 33)


@pytest.mark.parametrize(
    ("batch", "heads", "kv_heads", "splits"), [(1, 32, 4, 32), (1, 32, 32, 8), (2, 32, 32, 4), (1, 128, 8, 16)]
)
def test_the_slots_are_split_so_that_the_blocks_fill_the_gpu_once(host_library, batch, heads, kv_heads, splits):
    """256 blocks, of at most 8 query heads of one key head, and at most 32 splits: told by the partial results."""
    given = operands((batch, 1, heads, kv_heads, 16, 256, (200,) * batch), torch.float32, "cpu")
    outputs = torch.empty(batch, 1, heads * 16), given.past_key, given.past_value
    scratch = torch.full((batch * heads * 32 * (16 + 2),), torch.nan)
    sizes = Sizes(batch, 1, heads, kv_heads, 16, 256, given.lengths.dtype == torch.int64, 0)
    common.launch(library.load(host_library), "onramp_cached_attention_fp32", sizes, (*given, scratch, *outputs))
    assert int(scratch.isfinite().nonzero().max()) == batch * heads * splits * (16 + 2) - 1
