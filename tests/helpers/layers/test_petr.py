"""The pieces of the PETR family against slow or hand-made values."""

import numpy as np
import torch
from torch import nn

from helpers.layers.encoding import fourier, inverse_sigmoid, sine
from helpers.layers.petr import Attention, CameraRays, ConditionedNorm, Keys, Transformer, growing_depths


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_fourier_puts_the_sines_of_the_vector_before_its_cosines_octave_by_octave():
    x = np.array([0.3, -1.2, 2.0])
    expected = np.concatenate([wave(x * 2.0**k) for k in range(6) for wave in (np.sin, np.cos)])
    np.testing.assert_allclose(fourier(torch.from_numpy(x)).numpy(), expected, atol=1e-12)


def test_sine_has_sine_and_cosine_in_turn():
    found = sine(torch.tensor([[0.75]]), 6)[0].numpy()
    angles = [2 * np.pi * 0.75 / 10000 ** (2 * k / 6) for k in range(3)]
    np.testing.assert_allclose(found, [wave(angle) for angle in angles for wave in (np.sin, np.cos)], atol=1e-6)


def test_the_inverse_of_the_sigmoid_is_finite_at_both_ends():
    x = torch.tensor([0.0, 0.2, 1.0, -3.0, 4.0])
    assert torch.allclose(inverse_sigmoid(x)[1].sigmoid(), x[1])
    assert torch.allclose(inverse_sigmoid(x)[[0, 2, 3, 4]].abs(), torch.full((4,), 11.5129), atol=1e-3)


@torch.no_grad()
def test_attention_is_that_of_torch_with_positions_on_query_and_key_alone():
    ours, theirs = Attention(16, 4).eval(), nn.MultiheadAttention(16, 4, batch_first=True).eval()
    nn.init.normal_(ours.attn.in_proj_bias)
    theirs.load_state_dict(ours.attn.state_dict())
    query, position, content, key_position = (noise(2, n, 16, seed=n + k) for n, k in ((5, 0), (5, 1), (7, 2), (7, 3)))
    visible = noise(5, 7, seed=9) > -0.5
    visible[:, 0] = True
    expected = theirs(query + position, content + key_position, content, attn_mask=~visible)[0] + query
    assert torch.allclose(ours(query, position, Keys(content, key_position), visible), expected, atol=1e-5)


@torch.no_grad()
def test_every_layer_of_the_decoder_is_given_back_and_the_past_is_seen_by_those_who_may():
    model = Transformer(3, 16, 2, 24).eval()
    query, position = noise(1, 4, 16), noise(1, 4, 16, seed=1)
    pictures = Keys(noise(1, 6, 16, seed=2), noise(1, 6, 16, seed=3))
    past = Keys(noise(1, 2, 16, seed=4), noise(1, 2, 16, seed=5))
    visible = torch.ones(4, 6, dtype=torch.bool)
    visible[1:] = False
    visible[1:, 1:4] = True  # only the first query sees the past, and only it sees itself
    before = model(query, position, past, pictures, visible)
    after = model(query, position, past._replace(content=past.content + 1), pictures, visible)
    assert before.shape == (3, 1, 4, 16) and not torch.allclose(before[0], before[2])
    moved = (before - after).abs().amax((0, 1, 3))
    assert moved[0] > 1e-3 and not moved[1:].any()
    assert next(iter(model.state_dict())).split(".")[:3] == ["query_decoder", "_layers", "0"]


@torch.no_grad()
def test_a_conditioned_norm_begins_as_a_plain_one():
    norm, x = ConditionedNorm(5, 8), noise(2, 3, 8)
    plain = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    assert torch.allclose(norm(x, noise(2, 3, 5)), plain, atol=1e-6)
    nn.init.normal_(norm.gamma.weight)
    assert not torch.allclose(norm(x, noise(2, 3, 5)), plain, atol=0.1)


def test_rays_are_the_points_that_a_camera_sees_along_its_cells():
    rows, columns, stride, depths = 2, 3, 8, growing_depths(4, 1.0, 61.2)
    bounds = torch.tensor([-61.2, -61.2, -10.0, 61.2, 61.2, 10.0])
    matrices = np.tile(np.eye(4), (1, 2, 1, 1))
    matrices[0, 0, :3] = [[0.1, 0, 1, 1.5], [-0.05, 0.01, 0.2, 0.3], [0, -0.04, 0.5, 1.6]]
    matrices[0, 1, :3] = [[0.02, 0.03, -1, -0.4], [0.06, 0, 0.3, 0], [0, -0.05, 0.4, 1.4]]
    rays = CameraRays((rows, columns), stride)
    found = rays(torch.from_numpy(matrices).float(), depths, bounds)[0].numpy()
    low, high = np.split(bounds.numpy().astype(np.float64), 2)
    for camera in range(2):
        for row in range(rows):
            for column in range(columns):
                cell = found[(camera * rows + row) * columns + column].reshape(-1, 3)
                for d, depth in enumerate(depths.numpy()):
                    u, v = stride * column + stride / 2, stride * row + stride / 2
                    point = (matrices[0, camera] @ (u * depth, v * depth, depth, 1))[:3]
                    share = np.clip((point - low) / (high - low), 0, 1)
                    logit = np.log(np.maximum(share, 1e-5) / np.maximum(1 - share, 1e-5))
                    np.testing.assert_allclose(cell[d], logit, rtol=1e-3, atol=2e-3)


def test_depths_grow_by_steps_that_grow():
    depths = growing_depths(64, 1.0, 61.2)
    assert depths[0] == 1 and abs(depths[1] - (1 + 60.2 / (64 * 65) * 2)) < 1e-6
    assert abs(depths[63] - (1 + 60.2 * 63 / 65)) < 1e-4 and (depths.diff().diff() > 0).all()
