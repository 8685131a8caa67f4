"""Inverse of 3 x 3 matrices: the definition against torch's, and its forms bit for bit alike."""

import math

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from helpers import engine, export, graph
from helpers.errors import BadInput
from helpers.ops import library
from helpers.ops.inverse import inverse, launch, reference
from plugins.check.inverse import CASES, operands
from tests.builders.functions import run


class Inverted(torch.nn.Module):
    def forward(self, matrix):
        return inverse(matrix)


@pytest.fixture(scope="module")
def bare():
    """The graph of one node, for a batch of matrices."""
    given = {"matrix": operands((5, 3, 3), torch.float32, "cpu")}
    program = torch.onnx.export(Inverted().eval(), kwargs=given, dynamo=True, opset_version=export.OPSET, verbose=False)
    return program.model_proto


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_inverse(name):
    matrix = operands(CASES[name], torch.float64, "cpu")
    torch.testing.assert_close(inverse(matrix), torch.linalg.inv(matrix), atol=1e-12, rtol=1e-12)


def test_a_rotation_is_turned_back_and_a_singular_matrix_has_none():
    cosine, sine = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    torch.testing.assert_close(inverse(turn), turn.T, atol=1e-7, rtol=0)
    assert not inverse(torch.ones(3, 3)).isfinite().any()


def test_half_precision_is_computed_in_float32_and_gradients_flow():
    matrix = operands((4, 3, 3), torch.float16, "cpu")
    assert inverse(matrix).dtype == torch.float32 and torch.equal(inverse(matrix), reference(matrix.float()))
    assert torch.autograd.gradcheck(inverse, operands((2, 3, 3), torch.float64, "cpu").requires_grad_())


@pytest.mark.parametrize("shape", [(3,), (4, 4), (3, 2), (2, 2, 3)])
def test_matrices_of_another_size_are_refused(shape):
    with pytest.raises(BadInput, match=r"\[\.\.\.,3,3\]"):
        inverse(torch.zeros(shape))


def test_the_graph_holds_one_node_under_the_published_name_with_a_definition_of_the_same_bits(bare):
    (node,) = bare.graph.node
    assert (node.domain, node.op_type, len(node.attribute)) == ("trt.plugins", "InverseTRT", 0)
    matrix = operands((5, 3, 3), torch.float32, "cpu", seed=3)
    (found,) = run(graph.with_functions(bare), matrix=matrix.numpy())
    assert torch.equal(torch.as_tensor(found), reference(matrix))


def test_tensorrt_rtx_builds_the_definition(bare, tmp_path):
    path = tmp_path / "inverse.onnx"
    graph.save(graph.with_functions(bare), path)
    assert engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability="8.9").stat().st_size > 0


def test_the_kernel_is_used_and_traced_as_one_node(host_library):
    matrix = operands((5, 3, 3), torch.float32, "cpu")
    with library.use(host_library):
        assert torch.equal(inverse(matrix.mT), reference(matrix.mT))
        torch.library.opcheck(torch.ops.onramp.inverse_compiled, (matrix,))
        graph = make_fx(inverse, tracing_mode="fake")(matrix)
    assert "onramp.inverse_compiled.default" in {str(node.target) for node in graph.graph.nodes}
    with pytest.raises(BadInput, match=r"inverse\.launch"):
        launch(library.load(host_library), matrix, torch.empty(4, 3, 3))
