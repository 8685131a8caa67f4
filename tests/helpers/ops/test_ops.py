"""Custom operators: reference against hand-computed cases and independent forms, torch.library op, ONNX form."""

import functools
import math

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorrt_rtx as trt
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from helpers import export
from helpers.errors import BadInput
from helpers.ops import operators as ops


def attention_inputs(
    n=2, shapes=((5, 7),), heads=2, dims=3, queries=11, points=4, groups=1, seed=0, dtype=torch.float32
):
    """Random operands with references from -0.3 to 1.3, so that many samples lie outside or across the border."""
    g = torch.Generator().manual_seed(seed)
    cells, entries = sum(h * w for h, w in shapes), len(shapes) * points
    value = torch.randn(n, cells, heads, dims, generator=g)
    references = torch.rand(n, queries, 1, 2 * groups, generator=g) * 1.6 - 0.3
    offsets = torch.randn(n, queries, heads, entries * 2, generator=g) * 2
    weights = torch.randn(n, queries, heads, entries, generator=g)
    return [value.to(dtype), shapes, *(tensor.to(dtype) for tensor in (references, offsets, weights))]


def attention_by_loops(value, shapes, references, offsets, weights):
    """The definition, sample by sample and tap by tap, in float64."""
    value, references, offsets, weights = (t.double().numpy() for t in (value, references, offsets, weights))
    n, _, heads, dims = value.shape
    queries, groups, points = references.shape[1], references.shape[-1] // 2, weights.shape[-1] // len(shapes)
    output = np.zeros((n, queries, heads, dims))
    for b, q, m in np.ndindex(n, queries, heads):
        share = np.exp(weights[b, q, m] - weights[b, q, m].max())
        share /= share.sum()
        start = 0
        for level, (h, w) in enumerate(shapes):
            for p in range(points):
                entry, group = level * points + p, p % groups
                x = references[b, q, 0, 2 * group] * w + offsets[b, q, m, 2 * entry] - 0.5
                y = references[b, q, 0, 2 * group + 1] * h + offsets[b, q, m, 2 * entry + 1] - 0.5
                for row in (math.floor(y), math.floor(y) + 1):
                    for column in (math.floor(x), math.floor(x) + 1):
                        if 0 <= row < h and 0 <= column < w:
                            area = (1 - abs(y - row)) * (1 - abs(x - column))
                            output[b, q, m] += share[entry] * area * value[b, start + row * w + column, m]
            start += h * w
    return output


def sample_at(x, y):
    """One sample of the 2x3 map [[1,2,3],[10,20,30]] at cell coordinates (x, y), 0 = centre of the first cell."""
    value = torch.tensor([1.0, 2, 3, 10, 20, 30]).view(1, 6, 1, 1)
    references = torch.tensor([(x + 0.5) / 3, (y + 0.5) / 2]).view(1, 1, 1, 2)
    return ops.ms_deform_attn(value, [(2, 3)], references, torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 1)).item()


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0, 0, 1.0),
        (2, 1, 30.0),
        (0.5, 0, 1.5),
        (1, 0.5, 11.0),
        (0.25, 0.75, 0.75 * 0.25 * 1 + 0.25 * 0.25 * 2 + 0.75 * 0.75 * 10 + 0.25 * 0.75 * 20),
        (-0.5, 0, 0.5),  # half of the weight falls outside and reads zero
        (2.5, 1.5, 7.5),  # corner: a quarter of the last cell
        (-1, 0, 0.0),
        (3, 1, 0.0),
        (1e7, -1e7, 0.0),
    ],
)
def test_attention_samples_by_hand(x, y, expected):
    assert sample_at(x, y) == pytest.approx(expected, abs=1e-5)


def test_attention_softmax_and_offset_order_by_hand():
    value = torch.tensor([1.0, 2, 3, 10, 20, 30]).view(1, 6, 1, 1)
    references = torch.tensor([0.5 / 3, 0.5 / 2]).view(1, 1, 1, 2)
    offsets = torch.tensor([2.0, 0, 0, 1]).view(1, 1, 1, 4)  # two columns right (3), one row down (10)
    weights = torch.tensor([math.log(3.0), 0.0]).view(1, 1, 1, 2)  # softmax: 3/4 and 1/4
    output = ops.ms_deform_attn(value, torch.tensor([[2, 3]]), references, offsets, weights)
    assert output.shape == (1, 1, 1, 1)
    assert output.item() == pytest.approx(0.75 * 3 + 0.25 * 10, abs=1e-5)


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"groups": 4, "points": 8},
        {"groups": 2, "points": 4, "shapes": ((5, 7), (3, 4), (1, 2))},
        {"n": 1, "heads": 1, "dims": 5, "points": 1, "shapes": ((1, 1),)},
    ],
)
def test_attention_is_its_definition(case):
    inputs = attention_inputs(**case)
    np.testing.assert_allclose(ops.ms_deform_attn(*inputs).numpy(), attention_by_loops(*inputs), atol=2e-6)


def test_attention_is_grid_sample():
    value, shapes, references, offsets, weights = attention_inputs(groups=2, points=4)
    n, _, heads, dims = value.shape
    (h, w), queries = shapes[0], references.shape[1]
    xy = offsets.view(n, queries, heads, 2, 2, 2)  # (round, group) of a point
    locations = references.view(n, queries, 1, 1, 2, 2) + xy / torch.tensor([w, h])
    for b in range(n):
        for m in range(heads):
            grid = 2 * locations[b, :, m].reshape(1, queries, 4, 2) - 1
            image = value[b, :, m].T.reshape(1, dims, h, w)
            samples = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]
            expected = (samples * weights[b, :, m].softmax(-1)).sum(-1).T
            torch.testing.assert_close(
                ops.ms_deform_attn_reference(value, shapes, references, offsets, weights)[b, :, m],
                expected,
                atol=1e-5,
                rtol=0,
            )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 10))
def test_attention_is_linear_in_value_and_bounded_by_it(seed, scale):
    value, *rest = attention_inputs(seed=seed, queries=4)
    output = ops.ms_deform_attn(value, *rest)
    torch.testing.assert_close(ops.ms_deform_attn(value * scale, *rest), output * scale, atol=1e-5 * scale, rtol=1e-5)
    assert output.abs().max() <= value.abs().max() * (1 + 1e-5)


def test_attention_gradients():
    value, shapes, *rest = attention_inputs(n=1, queries=3, dtype=torch.float64)
    tensors = [tensor.requires_grad_() for tensor in (value, *rest)]
    assert torch.autograd.gradcheck(lambda v, *r: ops.ms_deform_attn(v, shapes, *r), tensors)


def test_half_precision_samples_in_float32():
    exact = attention_inputs(groups=4, points=8)
    rounded = [exact[0].bfloat16(), exact[1], exact[2], exact[3].bfloat16(), exact[4].bfloat16()]
    widened = [t.float() if isinstance(t, torch.Tensor) else t for t in rounded]
    output = ops.ms_deform_attn(*rounded)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, ops.ms_deform_attn(*widened).bfloat16())


@pytest.mark.parametrize("operand", [0, 2, 3, 4])
def test_attention_refuses_shapes_that_do_not_fit(operand):
    inputs = attention_inputs()
    inputs[operand] = inputs[operand][:, :-1]
    with pytest.raises(BadInput, match="ms_deform_attn"):
        ops.ms_deform_attn(*inputs)


def test_attention_refuses_points_that_do_not_fit_the_groups():
    with pytest.raises(BadInput, match="multiple of G"):
        ops.ms_deform_attn(*attention_inputs(points=4, groups=3))


def turn(image, degrees, center, interpolation="nearest"):
    return ops.rotate(image, torch.tensor([float(degrees)]), torch.tensor([float(v) for v in center]), interpolation)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_rotate_by_quarters(interpolation):
    image = torch.arange(2 * 6 * 6.0).view(2, 6, 6)
    for quarters in range(4):
        expected = torch.rot90(image, quarters, (1, 2))  # counter-clockwise with rows downwards
        torch.testing.assert_close(turn(image, 90 * quarters, (3, 3), interpolation), expected, atol=1e-4, rtol=0)


def test_rotate_about_a_centre_outside():
    image = torch.arange(1.0, 17).view(1, 4, 4)
    output = turn(image, 90, (4, 4))
    assert torch.equal(output, torch.zeros(1, 4, 4))  # about its corner the image turns out of sight
    output = turn(image, 90, (4, 2))[0]
    expected = torch.zeros(4, 4)
    for row in range(4):
        for column in range(4):
            x, y = column + 0.5 - 4, row + 0.5 - 2
            source_column, source_row = -y + 4 - 0.5, x + 2 - 0.5
            if 0 <= source_column < 4 and 0 <= source_row < 4:
                expected[row, column] = image[0, int(source_row), int(source_column)]
    assert expected.count_nonzero() == 4
    assert torch.equal(output, expected)


@pytest.mark.parametrize("center", [(25, 25), (100, 100), (10, 40)])
@pytest.mark.parametrize(("interpolation", "order"), [("nearest", 0), ("bilinear", 1)])
def test_rotate_is_scipys_affine(center, interpolation, order):
    image = torch.randn(3, 50, 40, generator=torch.Generator().manual_seed(0))
    degrees = -7.3
    output = turn(image, degrees, center, interpolation)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[cos, sin], [-sin, cos]])  # on (row, column), source from target
    middle = np.array([center[1] - 0.5, center[0] - 0.5])
    padded = np.pad(image.numpy(), ((0, 0), (8, 8), (8, 8)))  # zeros around, so that borders need no rule
    offset = middle - matrix @ middle + 8
    expected = [ndimage.affine_transform(plane, matrix, offset, (50, 40), order=order) for plane in padded]
    np.testing.assert_allclose(output.numpy(), np.stack(expected), atol=2e-4)


def test_rotate_is_the_identity_at_rest_and_keeps_the_type():
    image = torch.randn(4, 50, 50, generator=torch.Generator().manual_seed(0)).half()
    output = turn(image, 0, (100, 100))
    assert output.dtype == torch.float16
    assert torch.equal(output, image)


@pytest.mark.parametrize(
    "arguments",
    [
        (torch.zeros(1, 2, 3, 4), torch.zeros(1), torch.zeros(2), "nearest"),
        (torch.zeros(2, 3, 4), torch.zeros(2), torch.zeros(2), "nearest"),
        (torch.zeros(2, 3, 4), torch.zeros(1), torch.zeros(3), "nearest"),
        (torch.zeros(2, 3, 4), torch.zeros(1), torch.zeros(2), "bicubic"),
    ],
)
def test_rotate_refuses_what_it_cannot_turn(arguments):
    with pytest.raises(BadInput, match="rotate"):
        ops.rotate(*arguments)


def test_operators_of_torch_library():
    value, shapes, *rest = attention_inputs(shapes=((5, 7), (3, 4)))
    flat = [size for pair in shapes for size in pair]
    operator = torch.ops.onramp.ms_deform_attn
    assert torch.equal(operator(value, flat, *rest), ops.ms_deform_attn_reference(value, shapes, *rest))
    assert operator(value.to("meta"), flat, *(tensor.to("meta") for tensor in rest)).shape == (2, 11, 2, 3)
    image, angle, center = torch.randn(2, 6, 8), torch.tensor([20.0]), torch.tensor([1.0, 2.0])
    turned = torch.ops.onramp.rotate(image, angle, center, "bilinear")
    assert torch.equal(turned, ops.rotate_reference(image, angle, center, "bilinear"))


class Both(torch.nn.Module):
    """Both operators in one graph."""

    def __init__(self, shapes=((5, 7),), interpolation="nearest"):
        super().__init__()
        self.shapes, self.interpolation = shapes, interpolation

    def forward(self, value, references, offsets, weights, image, angle, center):
        attended = ops.ms_deform_attn(value, self.shapes, references, offsets, weights)
        return attended, ops.rotate(image, angle, center, self.interpolation)


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
    ops.attach_functions(model)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
    for found, wanted in zip(outputs, expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_attaching_twice_changes_nothing():
    model = plain_model()
    once = ops.attach_functions(model).SerializeToString(deterministic=True)
    assert ops.attach_functions(model).SerializeToString(deterministic=True) == once


def test_attach_refuses_what_has_no_definition():
    model = plain_model()
    model.graph.node[-1].domain, model.graph.node[-1].op_type = "trt.plugins", "InverseTRT"
    with pytest.raises(BadInput, match="InverseTRT"):
        ops.attach_functions(model)


def test_attach_refuses_nodes_that_disagree():
    model = plain_model()
    node = next(node for node in model.graph.node if node.op_type == "RotateTRT2")
    model.graph.node.append(node)
    model.graph.node[-1].attribute[0].i = 0
    with pytest.raises(BadInput, match="interpolation"):
        ops.attach_functions(model)


def test_attach_refuses_an_opset_without_grid_sample():
    model = plain_model()
    model.opset_import[0].version = 13
    with pytest.raises(BadInput, match="opset 13"):
        ops.attach_functions(model)


def test_tensorrt_rtx_builds_the_functions():
    model, _, _ = exported(shapes=((5, 7), (3, 4)), groups=4, points=8)
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse(ops.attach_functions(model).SerializeToString())
    assert [tuple(network.get_output(i).shape) for i in range(2)] == [(2, 11, 2, 3), (3, 20, 30)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    assert builder.build_serialized_network(network, config) is not None
