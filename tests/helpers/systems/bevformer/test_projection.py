"""The graph with the projection as one operator or left to the host, beside the published one: the same numbers."""

import numpy as np
import pytest
import torch

from helpers import engine, export, graph, models, quantize
from helpers.graph import walk
from helpers.graph.session import open_session
from helpers.layers.bev import Projection
from helpers.sequence import Step, rollout
from helpers.systems.bevformer.inputs import geometry
from helpers.systems.bevformer.projection import PROJECTED, project
from plugins.check.project_pillars import CASES, joined, operands, same_bits, wild
from tests.builders.bevformer import drive, ring_of_cameras

NODE = "/pts_bbox_head/transformer/encoder/projection/ProjectPillarsTRT2"


def exported(small_mini, way, folder):
    model = models.create("bevformer", small_mini[0].config.with_projection(way))
    model.load_state_dict(small_mini[0].state_dict())
    return export.export(model, folder / "mini.onnx")


@pytest.fixture(scope="module")
def operator(small_mini, tmp_path_factory):
    """Path of `small_mini` with the operator in it."""
    return exported(small_mini, "operator", tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def inputs(small_mini, tmp_path_factory):
    """Path of `small_mini` that is given what the host projects."""
    return exported(small_mini, "inputs", tmp_path_factory.mktemp("inputs"))


def test_one_node_takes_the_place_of_the_projection(small_mini, operator):
    published, other = graph.load(small_mini[1]), graph.load(operator)
    inside = [node.name for node in other.graph.node if "/projection/" in node.name]
    assert inside == [NODE] and sum("/projection/" in node.name for node in published.graph.node) > 20
    assert other.graph.input == published.graph.input and other.graph.output == published.graph.output
    assert {function.name for function in other.functions} - {f.name for f in published.functions} == {
        "ProjectPillarsTRT2"
    }


def test_the_host_takes_the_place_of_the_projection(small_mini, inputs):
    published, other = graph.load(small_mini[1]), graph.load(inputs)
    assert not [node.name for node in other.graph.node if "/projection/" in node.name]
    assert [value.name for value in other.graph.input] == [
        *(value.name for value in published.graph.input if value.name != "lidar2img"), *PROJECTED
    ]  # fmt: skip
    assert other.graph.output == published.graph.output


def test_their_outputs_are_those_of_the_published_graph_frame_by_frame(small_mini, operator, inputs):
    outputs = []
    for path, way in ((small_mini[1], "published"), (operator, "operator"), (inputs, "inputs")):
        config, session = small_mini[0].config.with_projection(way), open_session(graph.load(path))
        names = [value.name for value in session.get_outputs()]

        def call(feeds, session=session, names=names):
            return dict(zip(names, session.run(None, feeds), strict=True))

        steps = [Step(feeds, index == 0, index) for index, feeds in enumerate(drive(config, 3))]
        outputs.append([found for _, _, found in rollout(call, steps, config.states, config.initial_states())])
    for expected, *others in zip(*outputs, strict=True):
        assert all((found[name] == expected[name]).all() for found in others for name in expected)
    assert (outputs[0][0]["bev_embed"] != outputs[0][2]["bev_embed"]).any()


@pytest.mark.parametrize("name", ["mini", "published"])
def test_the_host_projects_to_the_last_bit(name):
    config = models.config("bevformer", name).with_projection("inputs")
    found = geometry(ring_of_cameras(config.image_size, 1266 * config.image_scale), config)
    for key, shape in config.input_shapes().items():
        assert key not in found or (found[key].shape == shape and found[key].dtype == np.float32)
    lidar2img = ring_of_cameras(config.image_size, 1266 * config.image_scale)
    expected = Projection(config.with_projection("published"))(torch.from_numpy(lidar2img))
    assert list(found) == list(PROJECTED) and set(np.unique(found["bev_mask"])) == {0, 0.5, 1}
    assert all((array == tensor.numpy()).all() for array, tensor in zip(found.values(), expected, strict=True))
    assert not config.fp32 and config.with_projection("operator").fp32


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_host_projects_as_defined_whatever_it_is_given(case):
    for lidar2img, points, size in (operands(case, torch.float32, "cpu"), wild(case, "cpu")):
        found = project(lidar2img.numpy(), points.numpy(), size)
        assert same_bits(joined(map(torch.from_numpy, found)), (lidar2img, points, size)) == 0


def quantized(path, folder, frames=None):
    options = quantize.Options(exclude_nodes=models.config("bevformer", "mini").unquantized)
    return graph.load(quantize.quantize(path, folder / "qdq.onnx", "int8", "max", frames, options))


def test_modelopt_calibrates_with_what_the_host_projects_and_leaves_it_in_float32(small_mini, inputs, tmp_path):
    config = small_mini[0].config.with_projection("inputs")
    frames = [feeds | config.initial_states() for feeds in drive(config, 2)]
    samples = {name: np.concatenate([feeds[name] for feeds in frames]) for name in frames[0]}
    np.savez(tmp_path / "samples.npz", **samples)
    made = quantized(inputs, tmp_path, tmp_path / "samples.npz")
    users = {node.op_type for node in made.graph.node if set(PROJECTED) & set(node.input)}
    assert walk.is_quantized(made) and users == {"MultiScaleDeformableAttnTRT2", "Mul"}


def test_modelopt_leaves_the_operator_and_its_operands_in_float32(operator, tmp_path):
    made = quantized(operator, tmp_path)
    (node,) = [node for node in made.graph.node if node.name == NODE]
    makers = {name: maker for maker in made.graph.node for name in maker.output}
    assert walk.is_quantized(made) and not [name for name in node.input if name in makers]
    users = [user.op_type for user in made.graph.node if set(node.output) & set(user.input)]
    assert users and "QuantizeLinear" not in users
    assert "ProjectPillarsTRT2" in {function.name for function in made.functions}


@pytest.mark.parametrize("form", ["operator", "inputs"])
def test_tensorrt_rtx_builds_both(form, request, tmp_path):
    made = engine.build(
        request.getfixturevalue(form), "tensorrt_rtx", tmp_path, compute_capability="8.9", optimization_level=0
    )
    assert made.stat().st_size > 1e6


def test_the_kernel_runs_in_the_network(small_mini, host_library):
    from helpers.ops import common, library

    model = models.create("bevformer", small_mini[0].config.with_projection("operator"))
    names, launch = [], common.launch
    feeds = {name: torch.from_numpy(array) for name, array in next(iter(drive(model.config, 1))).items()}
    with pytest.MonkeyPatch.context() as patch, library.use(host_library), torch.no_grad():
        patch.setattr(common, "launch", lambda loaded, name, *rest: (names.append(name), launch(loaded, name, *rest)))
        model(**feeds | {name: torch.from_numpy(a) for name, a in model.config.initial_states().items()})
    assert names.count("onramp_project_pillars_fp32") == 1


def test_the_host_does_not_see_what_is_on_the_border():
    ahead = np.float32([[50, 0, 40, 0], [0, 50, 20, 0], [0, 0, 1, 0], [0, 0, 0, 1]])[None, None]
    points = np.float32([[[x, y, 10]] for x, y in ((-8, 0), (8, 0), (0, -4), (0, 4), (0, 0))])
    assert project(ahead, points, (40, 80))[1].ravel().tolist() == [0, 0, 0, 0, 1]
