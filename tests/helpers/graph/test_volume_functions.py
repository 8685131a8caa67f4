"""The operators on volumes in standard operators: one exported graph, every runtime, and nodes of published files."""

import functools
import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorrt_rtx as trt
import torch
from onnx import TensorProto, helper

from helpers import graph, quantize
from helpers.errors import BadInput
from helpers.graph.functions import attach_functions
from helpers.ops import bev_pool_v2, grid_sample_3d
from tests.helpers.ops.operands import pooling_inputs, volume_inputs, wild_inputs

INDICES = ("ranks_depth", "ranks_feat", "ranks_bev", "interval_starts", "interval_lengths")
TYPES = {torch.float32: TensorProto.FLOAT, torch.float16: TensorProto.FLOAT16, torch.int32: TensorProto.INT32,
         torch.int64: TensorProto.INT64}  # fmt: skip
MODES = list(itertools.product((0, 1), (0, 1), (0, 1)))


class Lifted(torch.nn.Module):
    """A convolution, its features pooled into voxels, and these sampled."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(32, 32, 3, padding=1)
        self.grid_size = pooling_inputs()[-1]

    def forward(self, image, depth, ranks_depth, ranks_feat, ranks_bev, interval_starts, interval_lengths, grid):
        feat = self.conv(image).permute(0, 2, 3, 1).unsqueeze(0)
        indices = ranks_depth, ranks_feat, ranks_bev, interval_starts, interval_lengths
        volume = bev_pool_v2.bev_pool_v2(depth, feat, *indices, self.grid_size).permute(0, 4, 1, 2, 3)
        return grid_sample_3d.grid_sample_3d(volume, grid)


@functools.cache
def lifted():
    """(network, its inputs by name)."""
    torch.manual_seed(0)
    depth, _, *indices, _ = pooling_inputs()
    tensors = {"image": torch.randn(2, 32, 3, 4), "depth": depth, **dict(zip(INDICES, indices, strict=True))}
    return Lifted().eval(), tensors | {"grid": volume_inputs(n=1)[1]}


@functools.cache
def free():
    """The exported network with free numbers of points and intervals, its definitions attached."""
    network, tensors = lifted()
    points, intervals = (torch.export.Dim(name, min=2, max=10000) for name in ("points", "intervals"))
    shapes = {name: {0: points if name.startswith("ranks") else intervals} if name in INDICES else None
              for name in tensors}  # fmt: skip
    program = torch.onnx.export(
        network, kwargs=tensors, dynamo=True, opset_version=18, verbose=False, dynamic_shapes=shapes
    )
    return attach_functions(program.model_proto)


def run(model, feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {name: tensor.numpy() for name, tensor in feeds.items()})[0]


def node_model(node, tensors, free=()):
    """A model of one node in ONNX's own domain, as a published file has it, with its definition attached."""
    inputs = [helper.make_tensor_value_info(name, TYPES[tensor.dtype],
                                            [f"{name}_size"] if name in free else tensor.shape)
              for name, tensor in tensors.items()]  # fmt: skip
    node.domain = graph.DOMAIN
    output = helper.make_tensor_value_info("output", TYPES[next(iter(tensors.values())).dtype], None)
    made = helper.make_graph([node], "one", inputs, [output])
    return attach_functions(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


def pool_model(inputs, op_type="BEVPoolV2TRT2", **attributes):
    """(model, feeds) of one pooling node with `bev_pool_v2`'s inputs."""
    tensors = dict(zip(("depth", "feat", *INDICES), inputs, strict=False))
    given = attributes or dict(zip(("out_depth", "out_height", "out_width"), inputs[7], strict=True))
    return node_model(helper.make_node(op_type, list(tensors), ["output"], **given), tensors, INDICES), tensors


def test_the_exported_graph_runs_with_any_number_of_points():
    model, (network, tensors) = free(), lifted()
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in graph.custom_nodes(model)} == {"BEVPoolV2TRT2", "GridSampler3DTRT2"}
    _, _, *indices, _ = pooling_inputs(share=0.3, seed=5)
    for feeds in (tensors, tensors | dict(zip(INDICES, indices, strict=True))):
        with torch.no_grad():
            expected = network(**feeds)
        np.testing.assert_allclose(run(model, feeds), expected, atol=2e-6)


def test_tensorrt_rtx_builds_it_with_free_sizes():
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    assert trt.OnnxParser(network, logger).parse(free().SerializeToString())
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for name in INDICES:
        profile.set_shape(name, (2,), (80,), (200,))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    assert tuple(network.get_output(0).shape) == (1, 32, 3, 4, 7)
    assert builder.build_serialized_network(network, config) is not None


def test_modelopt_quantizes_around_them(tmp_path):
    network, tensors = lifted()
    program = torch.onnx.export(network, kwargs=tensors, dynamo=True, opset_version=19, verbose=False)
    graph.save(attach_functions(program.model_proto), tmp_path / "plain.onnx")
    np.savez(tmp_path / "set.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
    made = graph.load(quantize.quantize(tmp_path / "plain.onnx", tmp_path / "int8.onnx", "int8", "max",
                                        calibration=tmp_path / "set.npz"))  # fmt: skip
    assert {node.op_type for node in graph.custom_nodes(made)} == {"BEVPoolV2TRT2", "GridSampler3DTRT2"}
    assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) >= 1
    with torch.no_grad():
        expected = network(**tensors)
    np.testing.assert_allclose(run(made, tensors), expected, atol=0.03 * expected.abs().max())


@pytest.mark.parametrize("seed", range(4))
def test_pooling_takes_indices_that_point_anywhere(seed):
    """But for rows that several intervals name, of which ONNX leaves open which one counts."""
    inputs = wild_inputs(seed)
    inputs[4] = torch.where(torch.rand(inputs[4].shape) < 0.8, torch.randperm(len(inputs[4])), -7).int()
    model, tensors = pool_model(inputs)
    np.testing.assert_allclose(run(model, tensors), bev_pool_v2.reference(*inputs), atol=2e-6)


def test_pooling_of_nothing_and_of_one_point():
    for count in (0, 1):
        depth, feat, *indices, grid = pooling_inputs()
        inputs = [
            depth,
            feat,
            *(tensor[:count] for tensor in indices[:3]),
            indices[3][:count],
            indices[4][:count],
            grid,
        ]
        model, tensors = pool_model(inputs)
        np.testing.assert_allclose(run(model, tensors), bev_pool_v2.reference(*inputs), atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_pooling_keeps_small_sums_beside_a_large_total(shift):
    """Intervals of 1 to 5000 points, so that all levels of the running sums are used, over features of one sign."""
    lengths = torch.tensor([1, 31, 33, 1, 1023, 1025, 2, 5000, 64, 1, 2048, 7], dtype=torch.int64)
    count = int(lengths.sum())
    depth, feat = torch.rand(1, 1, 4, 10, 10), torch.rand(1, 1, 10, 10, 3) + shift
    ranks = [torch.randint(limit, (count,)) for limit in (400, 100)]
    rows = torch.repeat_interleave(torch.arange(12), lengths)
    inputs = [depth, feat, *ranks, rows, lengths.cumsum(0) - lengths, lengths, (1, 3, 4)]
    model, tensors = pool_model(inputs)
    exact = bev_pool_v2.reference(depth.double(), feat.double(), *inputs[2:])
    scale = torch.bincount(rows, depth.flatten()[ranks[0]].double()).view(1, 1, 3, 4, 1) * (shift + 1)
    assert (np.abs(run(model, tensors) - exact.numpy()) / scale.numpy()).max() < 1e-5


def test_published_nodes_of_volumes_have_eight_levels_and_others_one():
    depth, feat, *indices, _ = pooling_inputs(grid=(8, 2, 3))
    inputs = [depth, feat, *indices, (8, 2, 3)]
    model, tensors = pool_model(inputs, "BEVPoolV2TRT", out_height=2, out_width=3)
    np.testing.assert_allclose(run(model, tensors), bev_pool_v2.reference(*inputs), atol=1e-6)
    flat = [depth[0], feat[0], *pooling_inputs(grid=(1, 2, 3))[2:]]
    model, tensors = pool_model(flat, "BEVPoolV2TRT", out_height=2, out_width=3)
    expected = bev_pool_v2.reference(depth, feat, *flat[2:])[0]
    np.testing.assert_allclose(run(model, tensors), expected, atol=1e-6)


def test_a_published_node_whose_depth_has_an_unknown_rank_is_refused():
    model, _ = pool_model(pooling_inputs())
    del model.functions[:], model.graph.node[0].attribute[0]
    model.graph.node[0].input[0] = "somewhere"
    with pytest.raises(BadInput, match="size of the grid"):
        attach_functions(model)


@pytest.mark.parametrize("modes", MODES)
def test_sampling_takes_the_published_grid(modes):
    volume, grid = volume_inputs()
    attributes = dict(zip(("interpolation_mode", "padding_mode", "align_corners"), modes, strict=True))
    node = helper.make_node("GridSampler3DTRT", ["input", "grid"], ["output"], **attributes)
    feeds = {"input": volume, "grid": grid.permute(0, 4, 1, 2, 3).contiguous() * 10}
    mode, padding = ("trilinear", "nearest")[modes[0]], ("zeros", "border")[modes[1]]
    expected = grid_sample_3d.reference(volume, grid, mode, padding, bool(modes[2]))
    np.testing.assert_allclose(run(node_model(node, feeds), feeds), expected, atol=1e-5)


def test_a_way_of_sampling_that_nothing_implements_is_refused():
    volume, grid = volume_inputs()
    node = helper.make_node("GridSampler3DTRT", ["input", "grid"], ["output"], padding_mode=2)
    with pytest.raises(BadInput, match="padding_mode"):
        node_model(node, {"input": volume, "grid": grid})


def test_what_they_cost():
    costs = {row["block"]: row["flops"] for row in graph.cost_by_block(pool_model(pooling_inputs())[0])}
    assert costs == {"(top)": None}, "the number of points is free"
    inputs = pooling_inputs()
    model, _ = pool_model(inputs)
    for value in model.graph.input:
        if value.name in INDICES:
            value.type.tensor_type.shape.dim[0].dim_value = 84
    assert graph.cost_by_block(model)[0]["flops"] == 2 * 84 * 6
    volume, grid = volume_inputs()
    node = helper.make_node("GridSampler3DTRT2", ["input", "grid"], ["output"])
    sampled = node_model(node, {"input": volume, "grid": grid.permute(0, 4, 1, 2, 3)})
    assert graph.cost_by_block(sampled)[0]["flops"] == 16 * 2 * 3 * 3 * 4 * 7
