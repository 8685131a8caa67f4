"""The custom operators' definitions in standard operators, against PyTorch, in ONNX Runtime and in TensorRT-RTX."""

import functools
import math
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorrt_rtx as trt
import torch
from onnx import helper

from helpers import export, graph
from helpers.errors import BadInput
from helpers.graph.functions import FUNCTIONS, attach_functions, check_known
from helpers.graph.functions.body import Attribute, Body
from helpers.graph.session import open_session
from helpers.graph.walk import attributes
from helpers.ops.ms_deform_attn import ms_deform_attn
from helpers.ops.rotate import rotate
from tests.builders import graphs as builders
from tests.builders.functions import with_plugins
from tests.helpers.ops.operands import attention_inputs


class Both(torch.nn.Module):
    """Both operators in one graph."""

    def __init__(self, shapes=((5, 7),), interpolation="nearest"):
        super().__init__()
        self.shapes, self.interpolation = shapes, interpolation

    def forward(self, value, references, offsets, weights, image, angle, center):
        attended = ms_deform_attn(value, self.shapes, references, offsets, weights)
        return attended, rotate(image, angle, center, self.interpolation)


@functools.cache
def plain_bytes():
    return exported()[0].SerializeToString()


def plain_model():
    """The bare ONNX model of one level and nearest interpolation, fresh for a test to change."""
    return onnx.load_from_string(plain_bytes())


def exported(shapes=((5, 7),), interpolation="nearest", opset=export.OPSET, **case):
    """The bare ONNX model, its inputs and what PyTorch gives for them."""
    value, _, *rest = attention_inputs(shapes=shapes, **case)
    image = torch.randn(3, 20, 30, generator=torch.Generator().manual_seed(1))
    names = ["value", "references", "offsets", "weights", "image", "angle", "center"]
    tensors = dict(zip(names, [value, *rest, image, torch.tensor([13.0]), torch.tensor([31.0, 9.0])], strict=True))
    module = Both(shapes, interpolation).eval()
    program = torch.onnx.export(module, kwargs=tensors, dynamo=True, opset_version=opset, verbose=False)
    return program.model_proto, tensors, module(**tensors)


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"shapes": ((5, 7), (3, 4)), "groups": 4, "points": 8, "interpolation": "bilinear"},
        {"shapes": ((4, 4), (2, 3), (1, 2)), "interpolation": "bilinear", "opset": 20},
    ],
)
def test_onnx_functions_equal_pytorch(case):
    model, tensors, expected = exported(**case)
    custom = {node.op_type: node for node in model.graph.node if node.domain == "trt.plugins"}
    assert set(custom) == {"MultiScaleDeformableAttnTRT2", "RotateTRT2"}
    attributes = {attribute.name: attribute.i for attribute in custom["RotateTRT2"].attribute}
    assert attributes["interpolation"] == int(case.get("interpolation", "nearest") == "nearest")
    assert not model.functions
    attach_functions(model)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
    for found, wanted in zip(outputs, expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_attaching_twice_changes_nothing():
    model = plain_model()
    once = attach_functions(model).SerializeToString(deterministic=True)
    assert attach_functions(model).SerializeToString(deterministic=True) == once


def test_attach_refuses_what_has_no_definition():
    model = plain_model()
    model.graph.node[-1].domain, model.graph.node[-1].op_type = "trt.plugins", "DeterminantTRT"
    with pytest.raises(BadInput, match="DeterminantTRT"):
        attach_functions(model)


def test_attach_refuses_nodes_that_disagree():
    model = plain_model()
    node = next(node for node in model.graph.node if node.op_type == "RotateTRT2")
    model.graph.node.append(node)
    model.graph.node[-1].attribute[0].i = 0
    with pytest.raises(BadInput, match="interpolation"):
        attach_functions(model)


def test_attach_refuses_an_opset_without_grid_sample():
    model = plain_model()
    model.opset_import[0].version = 13
    with pytest.raises(BadInput, match="opset 13"):
        attach_functions(model)


def test_tensorrt_rtx_builds_the_functions():
    model, _, _ = exported(shapes=((5, 7), (3, 4)), groups=4, points=8)
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse(attach_functions(model).SerializeToString())
    assert [tuple(network.get_output(i).shape) for i in range(2)] == [(2, 11, 2, 3), (3, 20, 30)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    assert builder.build_serialized_network(network, config) is not None


def test_known_plugins_are_those_with_a_definition_under_both_published_names():
    assert set(graph.PLUGINS) == set(FUNCTIONS) and len(FUNCTIONS) == 2 * len(set(FUNCTIONS.values())) >= 8
    model = with_plugins(graph.DOMAIN)
    for suffix in ("TRT2", "TRT"):
        for node in graph.custom_nodes(model):
            node.op_type = node.op_type.removesuffix("2").removesuffix("TRT") + suffix
        assert {function.name for function in graph.with_functions(model).functions} == {
            f"Rotate{suffix}", f"MultiScaleDeformableAttn{suffix}",
        }  # fmt: skip


def test_an_operator_more_is_a_module_in_the_table(monkeypatch, tmp_path):
    """Known, defined for a run, costed and moved into its domain, without a change elsewhere."""

    def define(body, power):
        result = "x"
        for _ in range(power - 1):
            result = body.Mul(result, "x")
        body.Identity(result, output="output")

    power = SimpleNamespace(
        OP_TYPE="PowerTRT",
        INPUTS=("x",),
        OUTPUTS=("output",),
        ATTRIBUTES={"power": Attribute(1, 9)},
        VARIANT="power",
        variants=lambda model, nodes: {attributes(node)["power"] for node in nodes},
        define=define,
        flops=lambda node, inputs, output: 1000 * math.prod(output),
    )
    monkeypatch.setitem(FUNCTIONS, power.OP_TYPE, power)
    nodes = [helper.make_node("PowerTRT", ["x"], ["y"], "/net/Power", power=3)]
    onnx.save(builders.model(nodes, {"x": [2]}, {"y": [2]}), tmp_path / "power.onnx")
    model = graph.load(graph.postprocess(tmp_path / "power.onnx"))
    (found,) = open_session(model).run(None, {"x": np.float32([2, -3])})
    assert found.tolist() == [8, -27] and model.graph.node[0].domain == graph.DOMAIN
    assert graph.cost_by_block(model) == [{"block": "net", "nodes": 1, "parameters": 0, "flops": 2000}]
    model.graph.node.append(helper.make_node("PowerTRT", ["y"], ["z"], domain=graph.DOMAIN, power=2))
    with pytest.raises(BadInput, match=r"power \[2, 3\]"):
        attach_functions(graph.drop_functions(model))


def test_definitions_reach_into_branches():
    """A plugin node that only a branch has is defined, and one that nothing defines is found there."""
    model = builders.captures()
    branch = model.graph.node[2].attribute[0].g
    branch.node[0].CopyFrom(
        helper.make_node("RotateTRT2", ["x", "x", "x"], ["kept"], domain=graph.DOMAIN, interpolation=0)
    )
    assert [function.name for function in graph.with_functions(model).functions] == ["RotateTRT2"]
    branch.node[0].op_type = "RotateTRT9"
    with pytest.raises(BadInput, match=r"model.onnx: node kept\n.*RotateTRT9"):
        check_known(model, "model.onnx")


def test_a_body_names_what_its_nodes_make():
    body = Body(opset=18)
    parts = body.Split("x", body.ints(1, 2), axis=0, outputs=2)
    assert body.Add(*parts, output="y") == "y" and len(set(parts)) == 2
    assert [(node.op_type, list(node.output)) for node in body.nodes[1:]] == [("Split", parts), ("Add", ["y"])]
    with pytest.raises(AttributeError):
        body.nothing  # noqa: B018 (a name that is no operator)


@pytest.mark.parametrize("opset, linear", [(18, b"bilinear"), (20, b"linear")])
def test_sampling_is_named_as_the_opset_has_it(opset, linear):
    body = Body(opset)
    body.grid_sample("image", "grid")
    body.grid_sample("image", "grid", nearest=True)
    assert [attributes(node)["mode"] for node in body.nodes] == [linear, b"nearest"]


@pytest.mark.parametrize(
    ("op_type", "given", "inputs", "found"),
    [
        ("RotateTRT2", {"interpolation": 7}, 3, "interpolation 7"),
        ("RotateTRT", {"interpolation": 1.0}, 3, r"interpolation 1\.0"),
        ("RotateTRT2", {"interpolation": "bilinear"}, 3, "interpolation b'bilinear'"),
        ("RotateTRT2", {}, 2, "inputs"),
        ("GridSampler3DTRT2", {"padding_mode": -1}, 2, "padding_mode -1"),
        ("GridSampler3DTRT2", {"align_corners": [1]}, 2, "align_corners"),
        ("BEVPoolV2TRT2", {"out_width": 4}, 7, "out_height None"),
        ("BEVPoolV2TRT2", {"out_depth": -1, "out_height": 3, "out_width": 4}, 7, "out_depth -1"),
        ("MatVecTRT2", {"gated": 7}, 2, "gated 7"),
        ("AddRmsNormTRT2", {"epsilon": -1.0}, 3, "epsilon -1"),
        ("ProjectPillarsTRT2", {"image_height": 4}, 2, "image_width None"),
    ],
)
def test_nodes_that_the_plugins_refuse_get_no_definition_either(op_type, given, inputs, found):
    """ONNX Runtime would run some of them, as something else than what they say."""
    names = [f"x{position}" for position in range(inputs)]
    node = helper.make_node(op_type, names, ["y"], "mine", domain=graph.DOMAIN, **given)
    with pytest.raises(BadInput, match=f"{op_type} mine\n  found:    {found}"):
        attach_functions(builders.model([node], {name: [1] for name in names}, {"y": [1]}))
