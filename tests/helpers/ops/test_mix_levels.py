"""A pyramid of volumes as one: the definition against loops over cells, its graph, and the choice of the kernel."""

import itertools
import math

import numpy as np
import onnx
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from helpers import engine, export, graph, quantize
from helpers.errors import BadInput
from helpers.graph.functions import mix_levels as function
from helpers.ops import library
from helpers.ops.mix_levels import mix_levels, packed_channels, reference
from plugins.check.mix_levels import CASES, operands
from tests.builders.functions import run

NAMES = function.INPUTS
CASE = CASES["no whole ratios"]


class Mixed(torch.nn.Module):
    """A convolution of the fine volume, then the mixture, then another convolution."""

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(0)
        self.before = torch.nn.Conv3d(channels, channels, 3, padding=1)
        self.behind = torch.nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, fine, shares, level_1, level_2, level_3):
        return self.behind(mix_levels(self.before(fine), shares, level_1, level_2, level_3).relu())


@pytest.fixture(scope="module")
def exported():
    """(network, its operands by name, the graph as PyTorch exports it)."""
    given = dict(zip(NAMES, operands(CASE, torch.float32, "cpu"), strict=True))
    network = Mixed(CASE[1]).eval()
    made = torch.onnx.export(network, kwargs=given, dynamo=True, opset_version=export.OPSET, verbose=False)
    return network, given, made.model_proto


def mixed_by_loops(fine, shares, *levels):
    """The definition, cell by cell, in float64."""
    fine, shares, *levels = (tensor.double().numpy() for tensor in (fine, shares, *levels))
    output = fine * shares[:, :1]
    for number, level in enumerate(levels, 1):
        for place in np.ndindex(fine.shape[2:]):
            taps = []
            for voxel, size, cells in zip(place, fine.shape[2:], level.shape[2:], strict=True):
                x = max((voxel + 0.5) * cells / size - 0.5, 0)
                taps.append([(min(math.floor(x) + k, cells - 1), 1 - abs(x - math.floor(x) - k)) for k in (0, 1)])
            for cell in itertools.product(*taps):
                (z, of_z), (y, of_y), (x, of_x) = cell
                weight = of_z * of_y * of_x * shares[(slice(None), slice(number, number + 1), *place)]
                output[(..., *place)] += weight * level[:, :, z, y, x]
    return output


@pytest.mark.parametrize("name", ["odd sizes", "larger levels", "one voxel"])
def test_the_mixture_is_its_definition(name):
    given = operands(CASES[name], torch.float64, "cpu")
    np.testing.assert_allclose(mix_levels(*given), mixed_by_loops(*given), atol=1e-12)


def test_half_precision_is_summed_in_float32():
    given = operands(CASE, torch.float16, "cpu")
    output = mix_levels(*given)
    assert output.dtype == torch.float16
    assert torch.equal(output, reference(*(tensor.float() for tensor in given)).half())


def test_gradients_reach_all_operands():
    given = operands((1, 2, (2, 3, 2), ((1, 2, 1), (2, 2, 2), (3, 1, 1))), torch.float64, "cpu")
    assert torch.autograd.gradcheck(mix_levels, [tensor.requires_grad_() for tensor in given])


@pytest.mark.parametrize(
    ("position", "shape"),
    [(0, (1, 8, 4, 4)), (1, (1, 3, 2, 4, 4)), (1, (1, 4, 2, 4, 3)), (2, (1, 7, 1, 2, 2)), (4, (2, 8, 1, 1, 1)),
     (3, (1, 8, 0, 1, 1))],
)  # fmt: skip
def test_volumes_that_do_not_belong_together_are_refused(position, shape):
    shapes = [(1, 8, 2, 4, 4), (1, 4, 2, 4, 4), (1, 8, 1, 2, 2), (1, 8, 1, 1, 1), (1, 8, 1, 1, 1)]
    mix_levels(*map(torch.zeros, shapes))
    shapes[position] = shape
    with pytest.raises(BadInput, match=r"shares \[B,4,D,H,W\]"):
        mix_levels(*map(torch.zeros, shapes))


def test_packed_channels_lie_as_tensorrt_says():
    volume = torch.arange(2 * 11 * 2 * 3 * 4.0).view(2, 11, 2, 3, 4)
    packed = packed_channels(volume)
    assert packed.shape == (2, 2, 3, 4, 16) and packed.is_contiguous() and not packed[..., 11:].any()
    assert packed[1, 0, 2, 3, 7] == volume[1, 7, 0, 2, 3]


def test_the_graph_holds_one_node_with_its_definition(exported):
    network, given, bare = exported
    assert [node.op_type for node in bare.graph.node].count("Resize") == 0
    (node,) = graph.custom_nodes(bare)
    assert (node.domain, node.op_type, len(node.attribute)) == ("trt.plugins", "MixLevelsTRT2", 0)
    model = graph.with_functions(bare)
    onnx.checker.check_model(model, full_check=True)
    (found,) = run(model, **{name: tensor.numpy() for name, tensor in given.items()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(**given), atol=1e-5)
    costs = sum(row["flops"] for row in graph.cost_by_block(bare))
    values, pair = given["fine"].numel(), CASE[1] ** 2
    assert costs == 55 * values + 2 * 2 * 27 * pair * (values // CASE[1])


def test_tensorrt_rtx_builds_the_definition(exported, tmp_path):
    path = tmp_path / "mixed.onnx"
    graph.save(graph.with_functions(exported[2]), path)
    assert engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability="8.9").stat().st_size > 0


def test_modelopt_quantizes_around_it(exported, tmp_path):
    network, given, bare = exported
    graph.save(graph.with_functions(bare), tmp_path / "plain.onnx")
    arrays = {name: tensor.numpy() for name, tensor in given.items()}
    np.savez(tmp_path / "set.npz", **arrays)
    made = graph.load(quantize.quantize(tmp_path / "plain.onnx", tmp_path / "int8.onnx", "int8", "max",
                                        calibration=tmp_path / "set.npz"))  # fmt: skip
    (node,) = graph.custom_nodes(made)
    makers = {name: each.op_type for each in made.graph.node for name in each.output}
    assert not {makers.get(name) for name in node.input} & {"DequantizeLinear", "QuantizeLinear"}
    assert sum(each.op_type == "DequantizeLinear" for each in made.graph.node) >= 4  # both convolutions
    (found,) = run(made, **arrays)
    with torch.no_grad():
        expected = network(**given)
    np.testing.assert_allclose(found, expected, atol=0.03 * expected.abs().max())


def test_the_kernel_is_used_and_traced_as_one_node(host_library):
    given = operands(CASE, torch.float32, "cpu")
    with library.use(host_library):
        torch.testing.assert_close(mix_levels(*given), reference(*given), atol=1e-6, rtol=1e-5)
        torch.library.opcheck(torch.ops.onramp.mix_levels_compiled, given)
        traced = make_fx(mix_levels, tracing_mode="fake")(*given)
    nodes = {str(node.target) for node in traced.graph.nodes}
    assert "onramp.mix_levels_compiled.default" in nodes and not any("aten" in node for node in nodes)
