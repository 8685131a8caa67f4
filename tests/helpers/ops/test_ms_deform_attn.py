"""Multi-scale deformable attention: the definition against hand-computed cases and independent forms."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import BadInput
from helpers.ops.ms_deform_attn import ms_deform_attn, reference
from tests.helpers.ops.operands import attention_inputs


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
    """One sample of the 2x3 map [[1,2,3],[10,20,30]] at cell coordinates (x, y), 0 = center of the first cell."""
    value = torch.tensor([1.0, 2, 3, 10, 20, 30]).view(1, 6, 1, 1)
    references = torch.tensor([(x + 0.5) / 3, (y + 0.5) / 2]).view(1, 1, 1, 2)
    return ms_deform_attn(value, [(2, 3)], references, torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 1)).item()


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
    output = ms_deform_attn(value, torch.tensor([[2, 3]]), references, offsets, weights)
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
    np.testing.assert_allclose(ms_deform_attn(*inputs).numpy(), attention_by_loops(*inputs), atol=2e-6)


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
                reference(value, shapes, references, offsets, weights)[b, :, m],
                expected,
                atol=1e-5,
                rtol=0,
            )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 10))
def test_attention_is_linear_in_value_and_bounded_by_it(seed, scale):
    value, *rest = attention_inputs(seed=seed, queries=4)
    output = ms_deform_attn(value, *rest)
    torch.testing.assert_close(ms_deform_attn(value * scale, *rest), output * scale, atol=1e-5 * scale, rtol=1e-5)
    assert output.abs().max() <= value.abs().max() * (1 + 1e-5)


def test_attention_gradients():
    value, shapes, *rest = attention_inputs(n=1, queries=3, dtype=torch.float64)
    tensors = [tensor.requires_grad_() for tensor in (value, *rest)]
    assert torch.autograd.gradcheck(lambda v, *r: ms_deform_attn(v, shapes, *r), tensors)


def test_half_precision_samples_in_float32():
    exact = attention_inputs(groups=4, points=8)
    rounded = [exact[0].bfloat16(), exact[1], exact[2], exact[3].bfloat16(), exact[4].bfloat16()]
    widened = [t.float() if isinstance(t, torch.Tensor) else t for t in rounded]
    output = ms_deform_attn(*rounded)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, ms_deform_attn(*widened).bfloat16())


@pytest.mark.parametrize("operand", [0, 2, 3, 4])
def test_attention_refuses_shapes_that_do_not_fit(operand):
    inputs = attention_inputs()
    inputs[operand] = inputs[operand][:, :-1]
    with pytest.raises(BadInput, match="ms_deform_attn"):
        ms_deform_attn(*inputs)


def test_attention_refuses_points_that_do_not_fit_the_groups():
    with pytest.raises(BadInput, match="multiple of G"):
        ms_deform_attn(*attention_inputs(points=4, groups=3))


def test_it_is_an_operator_of_torch():
    value, shapes, *rest = attention_inputs(shapes=((5, 7), (3, 4)))
    flat = [size for pair in shapes for size in pair]
    operator = torch.ops.onramp.ms_deform_attn
    assert torch.equal(operator(value, flat, *rest), reference(value, shapes, *rest))
    assert operator(value.to("meta"), flat, *(tensor.to("meta") for tensor in rest)).shape == (2, 11, 2, 3)


def test_the_operator_refuses_sizes_that_are_no_pairs():
    value, _, *rest = attention_inputs(shapes=((5, 7), (3, 4)))
    with pytest.raises(ValueError, match="shorter"):
        torch.ops.onramp.ms_deform_attn(value, [5, 7, 3, 4, 2], *rest)
