"""Product of a matrix with vectors, with weights of 16 and of four bits: definitions, graphs and kernels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

from helpers import engine, export, graph
from helpers.errors import BadInput
from helpers.ops import library
from helpers.ops import matvec as plain
from helpers.ops import matvec_int4 as four
from plugins.check import matvec as check
from plugins.check import matvec_int4 as check_four
from tests.builders.functions import run


class Both(torch.nn.Module):
    """A gated product with weights of the graph's type, then one with weights of four bits."""

    def forward(self, x, weight, words, scale):
        return four.matvec_int4(plain.matvec(x, weight, gated=True), words, scale)


def given(dtype=torch.float32):
    x, weight = check.operands((3, 64, 80), dtype, "cpu")
    _, words, scale = check_four.operands((3, 40, 12, 8), dtype, "cpu", seed=1)
    return {"x": x, "weight": weight, "words": words, "scale": scale}


@pytest.fixture(scope="module")
def bare():
    """The graph of two nodes."""
    made = torch.onnx.export(Both().eval(), kwargs=given(), dynamo=True, opset_version=export.OPSET, verbose=False)
    return made.model_proto


def test_it_is_a_linear_layer_and_gated_a_swiglu():
    x, weight = check.operands((5, 24, 8), torch.float64, "cpu")
    assert torch.equal(plain.matvec(x, weight), F.linear(x, weight))
    gate, up = F.linear(x, weight[:4]), F.linear(x, weight[4:])
    torch.testing.assert_close(plain.matvec(x, weight, gated=True), gate / (1 + (-gate).exp()) * up)


def test_codes_are_packed_in_pairs_of_neighbors_and_come_back():
    codes = torch.tensor([[-8, -7, -6, -5, -4, -3, 6, 7]])
    (word,) = four.pack(codes).flatten().tolist()
    assert f"{word & 0xFFFFFFFF:08x}" == "f531e420"  # the odd ones above, each kind upwards
    random = torch.from_numpy(np.random.default_rng(0).integers(-8, 8, (33, 256)))
    assert torch.equal(four.unpack(four.pack(random)), random.int())


def test_four_bits_are_codes_times_the_scale_of_their_group():
    x, words, scale = check_four.operands((2, 48, 6, 16), torch.float64, "cpu")
    weight = four.unpack(words).double() * scale.repeat_interleave(16, 1)
    torch.testing.assert_close(four.matvec_int4(x, words, scale), F.linear(x, weight))


def test_half_precision_is_summed_in_float32_and_gradients_flow():
    x, weight = check.operands((2, 4096, 3), torch.float16, "cpu")
    assert torch.equal(plain.matvec(x, weight), F.linear(x.float(), weight.float()).half())
    small = [tensor.requires_grad_() for tensor in check.operands((2, 8, 4), torch.float64, "cpu")]
    assert torch.autograd.gradcheck(lambda *tensors: plain.matvec(*tensors, gated=True), small)
    x, words, scale = check_four.operands((2, 16, 4, 8), torch.float64, "cpu")
    small = x.requires_grad_(), scale.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, scale: four.matvec_int4(x, words, scale, gated=True), small)


@pytest.mark.parametrize(
    ("x", "weight", "gated"), [((2, 8), (4, 16), False), ((8,), (8,), False), ((2, 8), (3, 8), True)]
)
def test_operands_that_do_not_belong_together_are_refused(x, weight, gated):
    with pytest.raises(BadInput, match=r"x \[\.\.\.,inputs\]"):
        plain.matvec(torch.zeros(x), torch.zeros(weight), gated)


@pytest.mark.parametrize(
    ("words", "scale"),
    [
        (torch.zeros(4, 2), torch.ones(4, 1)),
        (torch.zeros(4, 3, dtype=torch.int32), torch.ones(4, 1)),
        (torch.zeros(4, 2, dtype=torch.int32), torch.ones(4, 3)),
        (torch.zeros(4, 2, dtype=torch.int32), torch.ones(3, 1)),
    ],
)
def test_words_and_scales_that_do_not_belong_together_are_refused(words, scale):
    with pytest.raises(BadInput, match="matvec_int4"):
        four.matvec_int4(torch.zeros(2, 16), words, scale)


@pytest.mark.parametrize("codes", [[[8] * 8], [[-9] * 8], [[0] * 7]])
def test_what_four_bits_do_not_hold_is_not_packed(codes):
    with pytest.raises(BadInput, match="from -8 to 7"):
        four.pack(torch.tensor(codes))


def test_the_graph_holds_one_node_for_each_with_a_definition_of_the_same_values(bare):
    assert [(node.domain, node.op_type) for node in bare.graph.node] == [
        ("trt.plugins", "MatVecTRT2"), ("trt.plugins", "MatVecInt4TRT2"),
    ]  # fmt: skip
    assert [node.attribute[0].i for node in bare.graph.node] == [1, 0]
    assert {value.dim_value for value in bare.graph.output[0].type.tensor_type.shape.dim} == {3, 12}
    (found,) = run(graph.with_functions(bare), **{name: tensor.numpy() for name, tensor in given().items()})
    torch.testing.assert_close(torch.from_numpy(found), Both()(**given()), rtol=1e-5, atol=1e-6)


def test_tensorrt_rtx_builds_the_definitions(bare, tmp_path):
    path = tmp_path / "products.onnx"
    graph.save(graph.with_functions(bare), path)
    assert engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability="8.9").stat().st_size > 0


def test_the_kernels_are_used_and_traced_as_one_node_each(host_library):
    tensors = given(torch.float16)
    with library.use(host_library):
        assert not torch.equal(plain.matvec(tensors["x"], tensors["weight"]), torch.zeros(3, 80).half())
        torch.library.opcheck(torch.ops.onramp.matvec_compiled, (tensors["x"], tensors["weight"], True))
        operands = check_four.operands((3, 40, 12, 8), torch.float16, "cpu")
        torch.library.opcheck(torch.ops.onramp.matvec_int4_compiled, (*operands, False))
        made = make_fx(Both(), tracing_mode="fake")(*tensors.values())
    targets = {str(node.target) for node in made.graph.nodes}
    assert {"onramp.matvec_compiled.default", "onramp.matvec_int4_compiled.default"} <= targets
    loaded = library.load(host_library)
    with pytest.raises(BadInput, match=r"matvec\.launch"):
        plain.launch(loaded, tensors["x"], tensors["weight"], torch.empty(3, 79).half())
    with pytest.raises(BadInput, match=r"matvec_int4\.launch"):
        four.launch(loaded, operands, torch.empty(3, 12))
    with pytest.raises(BadInput, match="words 2"):  # of groups that are one word
        four.launch(loaded, operands, torch.empty(3, 12).half(), words=2)
    with pytest.raises(BadInput, match="groups 2"):  # of 24 weights
        four.launch(loaded, check_four.operands((3, 48, 12, 24), torch.float16, "cpu"), torch.empty(3, 12).half())
    with pytest.raises(BadInput, match="per_warp 3"):
        plain.launch(loaded, tensors["x"], tensors["weight"], torch.empty(3, 80).half(), per_warp=3)


def test_large_inputs_of_four_bits_do_not_overflow_half(host_library):
    """The sum of four products is kept in half, at a sixteenth: inputs of 16,000 times -8 would be beyond it."""
    x, words = torch.full((1, 32), 16000.0).half(), four.pack(torch.full((2, 32), -8))
    scale = torch.full((2, 1), 2.0**-8).half()
    with library.use(host_library):
        assert four.matvec_int4(x, words, scale).flatten().tolist() == [-16000.0] * 2
