"""The graph with the projection as one operator, beside the published one: the same interface, the same numbers."""

import pytest
import torch

from helpers import engine, export, graph, models, quantize
from helpers.graph import walk
from helpers.graph.session import open_session
from helpers.sequence import Step, rollout
from tests.builders.bevformer import drive

NODE = "/pts_bbox_head/transformer/encoder/projection/ProjectPillarsTRT2"


@pytest.fixture(scope="module")
def operator(small_mini, tmp_path_factory):
    """Path of `small_mini` with the operator in it."""
    model = models.create("bevformer", small_mini[0].config.with_projection("operator"))
    model.load_state_dict(small_mini[0].state_dict())
    return export.export(model, tmp_path_factory.mktemp("operator") / "mini.onnx")


def test_one_node_takes_the_place_of_the_projection(small_mini, operator):
    published, other = graph.load(small_mini[1]), graph.load(operator)
    inside = [node.name for node in other.graph.node if "/projection/" in node.name]
    assert inside == [NODE] and sum("/projection/" in node.name for node in published.graph.node) > 20
    assert other.graph.input == published.graph.input and other.graph.output == published.graph.output
    assert {function.name for function in other.functions} - {f.name for f in published.functions} == {
        "ProjectPillarsTRT2"
    }


def test_its_outputs_are_those_of_the_published_graph_frame_by_frame(small_mini, operator):
    config = small_mini[0].config
    outputs = []
    for path in (small_mini[1], operator):
        session = open_session(graph.load(path))
        names = [value.name for value in session.get_outputs()]

        def call(feeds, session=session, names=names):
            return dict(zip(names, session.run(None, feeds), strict=True))

        steps = [Step(feeds, index == 0, index) for index, feeds in enumerate(drive(config, 3))]
        outputs.append([found for _, _, found in rollout(call, steps, config.states, config.initial_states())])
    for found, expected in zip(*outputs, strict=True):
        assert all((found[name] == expected[name]).all() for name in expected)
    assert (outputs[0][0]["bev_embed"] != outputs[0][2]["bev_embed"]).any()


def test_modelopt_leaves_the_operator_and_its_operands_in_float32(operator, tmp_path):
    options = quantize.Options(exclude_nodes=models.config("bevformer", "mini").unquantized)
    made = graph.load(quantize.quantize(operator, tmp_path / "qdq.onnx", "int8", "max", None, options))
    (node,) = [node for node in made.graph.node if node.name == NODE]
    makers = {name: maker for maker in made.graph.node for name in maker.output}
    assert walk.is_quantized(made) and not [name for name in node.input if name in makers]
    users = [user.op_type for user in made.graph.node if set(node.output) & set(user.input)]
    assert users and "QuantizeLinear" not in users
    assert "ProjectPillarsTRT2" in {function.name for function in made.functions}


def test_tensorrt_rtx_builds_the_operator_by_its_definition(operator, tmp_path):
    made = engine.build(operator, "tensorrt_rtx", tmp_path, compute_capability="8.9", optimization_level=0)
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
