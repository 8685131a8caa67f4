"""Pooling into voxels: the definition against hand-computed cases, loops, and indices that point anywhere."""

import numpy as np
import pytest
import torch

from helpers.errors import BadInput
from helpers.ops.bev_pool_v2 import bev_pool_v2, reference
from tests.helpers.ops.operands import pooling_inputs, wild_inputs


def pooled_by_loops(depth, feat, ranks_depth, ranks_feat, ranks_bev, starts, lengths, grid):
    """The definition, point by point, in float64."""
    weights, features = depth.double().flatten().numpy(), feat.double().flatten(0, -2).numpy()
    output = np.zeros((grid[0] * grid[1] * grid[2], feat.shape[-1]))
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        stop = min(start + length, len(ranks_bev))
        if start < 0 or stop <= start or not 0 <= ranks_bev[start] < len(output):
            continue
        output[ranks_bev[start]] = 0  # of several intervals with one row the last counts
        for point in range(start, stop):
            if 0 <= ranks_depth[point] < len(weights) and 0 <= ranks_feat[point] < len(features):
                output[ranks_bev[start]] += weights[ranks_depth[point]] * features[ranks_feat[point]]
    return output.reshape(1, *grid, -1)


def test_three_points_in_two_voxels_by_hand():
    depth = torch.tensor([0.5, 0.25, 2.0]).view(1, 1, 3, 1, 1)
    feat = torch.tensor([[10.0, 100.0]]).view(1, 1, 1, 1, 2)
    indices = [[0, 1, 2], [0, 0, 0], [1, 1, 3], [0, 2], [2, 1]]
    output = bev_pool_v2(depth, feat, *map(torch.tensor, indices), (1, 2, 2))
    assert output.view(4, 2).tolist() == [[0, 0], [7.5, 75], [0, 0], [20, 200]]


@pytest.mark.parametrize("case", [{}, {"kind": torch.int64, "channels": 1}, {"channels": 33, "grid": (1, 9, 9)}])
def test_pooling_is_its_definition(case):
    inputs = pooling_inputs(**case)
    np.testing.assert_allclose(bev_pool_v2(*inputs), pooled_by_loops(*inputs), atol=2e-6)


@pytest.mark.parametrize("seed", range(8))
def test_indices_that_point_anywhere(seed):
    inputs = wild_inputs(seed)
    np.testing.assert_allclose(bev_pool_v2(*inputs), pooled_by_loops(*inputs), atol=1e-5)


def test_without_points_the_volume_is_empty():
    depth, feat, *indices, grid = pooling_inputs()
    output = bev_pool_v2(depth, feat, *(tensor[:0] for tensor in indices), grid)
    assert torch.equal(output, torch.zeros(1, 2, 4, 5, 6))


def test_a_point_that_is_not_a_number_stays_in_its_voxel():
    inputs = pooling_inputs()
    inputs[1].view(-1, 6)[5] = torch.nan
    output = bev_pool_v2(*inputs).isnan().view(40, 6).any(-1)
    hit = inputs[4][inputs[3] == 5]
    assert set(output.nonzero().flatten().tolist()) == set(hit.tolist()) and 0 < len(hit) < len(inputs[4])


def test_half_precision_is_summed_in_float32():
    depth, feat, *rest = pooling_inputs()
    output = bev_pool_v2(depth.bfloat16(), feat.bfloat16(), *rest)
    exact = reference(depth.bfloat16().float(), feat.bfloat16().float(), *rest)
    assert output.dtype == torch.bfloat16 and torch.equal(output, exact.bfloat16())


def test_pooling_gradients():
    depth, feat, *rest = pooling_inputs(cameras=1, bins=2, size=(1, 2), channels=2)
    tensors = [tensor.double().requires_grad_() for tensor in (depth, feat)]
    assert torch.autograd.gradcheck(lambda *given: bev_pool_v2(*given, *rest), tensors)


@pytest.mark.parametrize(
    ("position", "replaced"),
    [
        (0, lambda t: t[0]),
        (0, lambda t: t.half()),
        (1, lambda t: t[:, :, :2]),
        (2, lambda t: t[:-1]),
        (4, lambda t: t.long()),
        (5, lambda t: t.float()),
        (6, lambda t: t[None]),
        (7, lambda grid: grid[1:]),
    ],
)
def test_operands_that_do_not_belong_together_are_refused(position, replaced):
    inputs = pooling_inputs()
    inputs[position] = replaced(inputs[position])
    with pytest.raises(BadInput, match="bev_pool_v2"):
        bev_pool_v2(*inputs)
