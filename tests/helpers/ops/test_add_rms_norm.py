"""Sum and root-mean-square norm: the definition against the layer's own, the graph, the kernel."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from helpers import engine, export, graph
from helpers.errors import BadInput
from helpers.layers.llama import RMSNorm
from helpers.ops import library
from helpers.ops.add_rms_norm import add_rms_norm, launch, reference
from plugins.check.add_rms_norm import EPSILON, operands
from tests.builders.functions import run


class Normalized(torch.nn.Module):
    def forward(self, x, residual, weight):
        return add_rms_norm(x, residual, weight, 1e-3)


def given(dtype=torch.float32):
    return dict(zip(("x", "residual", "weight"), operands((2, 3, 40), dtype, "cpu"), strict=False))


@pytest.fixture(scope="module")
def bare():
    """The graph of one node."""
    made = torch.onnx.export(
        Normalized().eval(), kwargs=given(), dynamo=True, opset_version=export.OPSET, verbose=False
    )
    return made.model_proto


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_norm_of_a_layer_and_hands_the_sum_on(dtype):
    x, residual, weight, _ = operands((2, 3, 40), dtype, "cpu")
    layer = RMSNorm(40, 0.5).to(dtype)
    layer.load_state_dict({"weight": weight})
    normal, total = add_rms_norm(x, residual, weight, 0.5)
    assert torch.equal(total, x + residual)
    torch.testing.assert_close(normal, layer(total).to(dtype), rtol=1e-6, atol=1e-6)


def test_half_precision_is_normalized_in_float32_and_gradients_flow():
    *tensors, epsilon = operands((2, 256), torch.float16, "cpu")
    normal, total = add_rms_norm(*tensors, epsilon)
    exact, _ = reference(total.double(), torch.zeros(2, 256).double(), tensors[2].double(), epsilon)
    assert normal.dtype == total.dtype == torch.float16
    torch.testing.assert_close(normal.double(), exact, rtol=2**-11, atol=1e-7)
    small = [tensor.requires_grad_() for tensor in operands((2, 8), torch.float64, "cpu")[:3]]
    assert torch.autograd.gradcheck(lambda *tensors: add_rms_norm(*tensors, EPSILON), small)


@pytest.mark.parametrize(
    ("residual", "weight", "epsilon"), [((2, 7), (8,), 1e-5), ((2, 8), (2, 8), 1e-5), ((2, 8), (8,), -1.0)]
)
def test_operands_that_do_not_belong_together_are_refused(residual, weight, epsilon):
    with pytest.raises(BadInput, match="add_rms_norm"):
        add_rms_norm(torch.zeros(2, 8), torch.zeros(residual), torch.zeros(weight), epsilon)


def test_the_graph_holds_one_node_with_a_definition_of_the_same_values(bare):
    (node,) = bare.graph.node
    assert (node.domain, node.op_type) == ("trt.plugins", "AddRmsNormTRT2")
    assert node.attribute[0].f == pytest.approx(1e-3)
    found = run(graph.with_functions(bare), **{name: tensor.numpy() for name, tensor in given().items()})
    for pair in zip(found, Normalized()(**given()), strict=True):
        torch.testing.assert_close(*map(torch.as_tensor, pair), rtol=1e-5, atol=1e-6)


def test_tensorrt_rtx_builds_the_definition(bare, tmp_path):
    path = tmp_path / "norm.onnx"
    graph.save(graph.with_functions(bare), path)
    assert engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability="8.9").stat().st_size > 0


def test_the_kernel_is_used_and_traced_as_one_node(host_library):
    *tensors, epsilon = operands((2, 3, 40), torch.float16, "cpu")
    with library.use(host_library):
        torch.library.opcheck(torch.ops.onramp.add_rms_norm_compiled, (*tensors, epsilon))
        made = make_fx(Normalized(), tracing_mode="fake")(*tensors)
    assert "onramp.add_rms_norm_compiled.default" in {str(node.target) for node in made.graph.nodes}
    outputs = torch.empty(2, 3, 40), torch.empty(2, 3, 40).half()
    with pytest.raises(BadInput, match=r"add_rms_norm\.launch"):
        launch(library.load(host_library), *tensors, outputs, epsilon)
