"""Projection of pillars into cameras: the definition by hand, and its three forms bit for bit alike."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch.fx.experimental.proxy_tensor import make_fx

from helpers.errors import BadInput
from helpers.graph.functions import attach_functions
from helpers.ops import common, library
from helpers.ops import project_pillars as ops
from helpers.ops.project_pillars import project_pillars, reference
from plugins.check.project_pillars import CASES, joined, operands, same_bits, wild
from tests.builders.functions import run

AHEAD = torch.tensor([[50.0, 0, 40, 0], [0, 50, 20, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # of x right, y down, z ahead
SIZE = (40, 80)


def seen(points, *matrices, size=SIZE):
    """References [cameras, Q, P, 2] and mask [cameras, Q]."""
    references, mask = project_pillars(torch.stack(matrices)[None], torch.tensor(points).float(), size)
    return references.view(len(matrices), len(points), -1, 2), mask[0, :, :, 0]


def test_a_point_ahead_lands_on_its_pixel():
    references, mask = seen([[[0, 0, 10]], [[4, 1, 10]], [[12, 0, 10]]], AHEAD)
    expected = torch.tensor([[0.5, 0.5], [(20 + 40) / 80, (5 + 20) / 40], [(60 + 40) / 80, 0.5]])
    torch.testing.assert_close(references[0, :, 0], expected)
    assert mask[0].tolist() == [1, 1, 0]


def test_what_is_behind_or_on_the_border_is_not_seen():
    behind, border, floor = [0, 0, -2], [8, 0, 10], [0, 0, 1e-5]
    references, mask = seen([[behind], [border], [floor]], AHEAD)
    assert not mask.any()
    np.testing.assert_allclose(references[0, 0, 0], [-80 / 1e-5 / 80, -40 / 1e-5 / 40], rtol=1e-6)  # a floored depth
    assert references[0, 1, 0, 0] == 1


def test_cameras_that_see_any_point_share_a_pillar():
    pillars = [[[0, 0, 10], [0, 90, 10]], [[0, 90, 10], [0, 91, 10]]]
    turned = AHEAD @ torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    _, mask = seen(pillars, AHEAD, AHEAD, turned)
    assert mask.tolist() == [[0.5, 0], [0.5, 0], [0, 0]]


def test_what_is_no_number_is_passed_on_and_not_seen():
    lost = AHEAD.clone()
    lost[2, 3] = torch.nan
    references, mask = seen([[[0, 0, 10]]], lost, AHEAD)
    assert references[0].isnan().all() and references[1].isfinite().all() and mask.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32(dtype):
    lidar2img, points, size = operands(CASES["six cameras"], dtype, "cpu")
    found = project_pillars(lidar2img, points, size)
    assert {output.dtype for output in found} == {torch.float32}
    assert torch.equal(joined(found), joined(reference(lidar2img.float(), points.float(), size)))


@pytest.mark.parametrize(
    ("matrix", "points", "size"),
    [((6, 4, 4), (5, 4, 3), SIZE), ((1, 6, 3, 4), (5, 4, 3), SIZE), ((1, 6, 4, 4), (5, 4, 2), SIZE),
     ((1, 6, 4, 4), (20, 3), SIZE), ((1, 6, 4, 4), (5, 4, 3), (0, 80)), ((1, 6, 4, 4), (5, 4, 3), (40,))],
)  # fmt: skip
def test_other_shapes_are_refused(matrix, points, size):
    with pytest.raises(BadInput, match="project_pillars"):
        project_pillars(torch.zeros(matrix), torch.zeros(points), size)


def at_the_border(case):
    """Points on and beside each border of a picture, and about as deep as a point is just seen."""
    step = torch.tensor([-1e-3, 0.0, 1e-3])
    x, y = (torch.cat([step - at, step + at]) for at in (8.0, 4.0))
    near = torch.tensor([[4e-6, 2e-6, depth] for depth in (5e-6, 1e-5, 2e-5)])  # inside, their depth taken as 1e-5
    points = torch.cat([near, torch.cartesian_prod(x, y, torch.tensor([10.0]))])
    return AHEAD.repeat(*case[:2], 1, 1), points.view(-1, 3, 3)[:, : case[3]].contiguous(), SIZE


MADE = {
    "looking around": lambda case: operands(case, torch.float32, "cpu"),
    "no numbers": lambda case: wild(case, "cpu"),
    "at the border": at_the_border,
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize("name", ["six cameras", "two streams", "one point"])
def test_kernel_and_onnx_function_have_the_definitions_own_bits(host_library, name, make):
    lidar2img, points, size = given = make(CASES[name])
    with library.use(host_library):
        assert same_bits(joined(project_pillars(*given)), given) == 0
    references, mask = ops.shapes(lidar2img, points)
    node = helper.make_node(ops.OP_TYPE, ["m", "p"], ["r", "k"], domain=ops.DOMAIN, image_height=size[0],
                            image_width=size[1])  # fmt: skip
    values = {"m": lidar2img.shape, "p": points.shape, "r": references, "k": mask}
    infos = [helper.make_tensor_value_info(name, 1, list(shape)) for name, shape in values.items()]
    made = helper.make_graph([node], "one", infos[:2], infos[2:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ops.DOMAIN, 1)]
    model = attach_functions(helper.make_model(made, opset_imports=opsets, ir_version=9))
    onnx.checker.check_model(model, full_check=True)
    found = [torch.from_numpy(array) for array in run(model, m=lidar2img.numpy(), p=points.numpy())]
    assert same_bits(joined(found), given) == 0
    model.graph.node.append(helper.make_node(ops.OP_TYPE, ["m", "p"], ["s", "l"], domain=ops.DOMAIN, image_height=9,
                                             image_width=9))  # fmt: skip
    del model.functions[:]
    with pytest.raises(BadInput, match="image_height, image_width"):
        attach_functions(model)


def test_it_is_an_operator_of_torch_with_two_outputs(host_library, monkeypatch):
    lidar2img, points, size = operands(CASES["six cameras"], torch.float32, "cpu")
    with library.use(host_library):
        found = torch.library.opcheck(torch.ops.onramp.project_pillars_compiled, (lidar2img, points, size))
        assert len(found) == 4 and set(found.values()) == {"SUCCESS"}
        graph = make_fx(lambda *tensors: project_pillars(*tensors, size), tracing_mode="fake")(lidar2img, points)
        strided = lidar2img.mT.contiguous().mT, points.mT.contiguous().mT, size
        assert same_bits(joined(project_pillars(*strided)), (lidar2img, points, size)) == 0
    nodes = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert "onramp.project_pillars_compiled.default" in nodes and not any("aten" in node for node in nodes)
    monkeypatch.setattr(common, "launch", lambda *arguments: pytest.fail("a kernel has no derivative"))
    slopes = []
    for function in (project_pillars, reference):
        leaf = lidar2img.clone().requires_grad_()
        with library.use(host_library):
            joined(function(leaf, points, size)).square().mean().backward()
        slopes.append(leaf.grad)
    assert torch.equal(*slopes) and slopes[0].abs().max() > 0


def test_the_kernel_refuses_what_it_does_not_take(host_library):
    lidar2img, points, size = operands(CASES["one point"], torch.float32, "cpu")
    outputs = [points.new_empty(shape) for shape in ops.shapes(lidar2img, points)]
    loaded = library.load(host_library)
    ops.launch(loaded, lidar2img, points, outputs, size)
    for wrong in ((lidar2img.double(), points, outputs), (lidar2img, points, outputs[::-1])):
        with pytest.raises(BadInput, match=r"project_pillars\.launch"):
            ops.launch(loaded, *wrong, size)
    with pytest.raises(BadInput, match="image_height 0"):
        ops.launch(loaded, lidar2img, points, outputs, (0, 5))
