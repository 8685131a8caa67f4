"""Tensors, functions and layers of a network definition against those of NumPy and PyTorch, layer by layer computed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.engine.definition import Module, layers, resnet
from helpers.engine.definition import attention as defined
from helpers.engine.definition.functions import atan2, cat, grid_sample, interpolate, max_pool, stack, where
from helpers.errors import BadInput
from helpers.layers import attention, transformer
from helpers.layers.branches import class_branch, regression_branch
from helpers.layers.resnet import Bottleneck, Pyramid
from helpers.ops import ms_deform_attn
from tests.helpers.engine.definition.written import computed, empty, noise

X, Y = noise(2, 3, 4, seed=1), noise(3, 1, seed=2)
WHOLE = np.array([[3, -1, 0], [2, 2, 7]], np.int32)
ARITHMETIC = {
    "sums": lambda x, y: x + y - 2 * x / (y * y + 1),
    "the other way round": lambda x, y: 1 - (x * 3.0) + (2 + y),
    "clamp": lambda x, y: x.clamp(-0.5, 0.5) * y.clamp(0.1),
    "functions": lambda x, y: x.sigmoid() + x.tanh() * x.exp().sqrt() - x.abs().log() + x.sin() * x.cos() + x.relu(),
    "softmax": lambda x, y: x.softmax(1) + y,
    "log_softmax": lambda x, y: (x * 200).log_softmax(1),
    "reductions": lambda x, y: x.sum(1) + x.mean(1) * x.amax(1),
    "kept": lambda x, y: x.sum(-1, keepdim=True) + x.mean(0, keepdim=True),
    "cumsum": lambda x, y: x.cumsum(1) + x.cumsum(-1),
    "shapes": lambda x, y: x.permute(2, 0, 1).flatten(1).unflatten(1, (3, -1)).transpose(0, 2).unsqueeze(-1),
    "squeeze": lambda x, y: x[:1].squeeze(0),
    "reshape": lambda x, y: x.reshape(4, -1, 3),
    "parts": lambda x, y: x[1, :, 1:3] * x[:1, None, ..., -1, None] + x[0, 2:, 3],
    "steps": lambda x, y: x[:, ::2, 1],
    "expand": lambda x, y: y[None].expand(2, -1, 4) + x,
    "chunk": lambda x, y: x.chunk(2, -1)[1] + x.split([1, 1, 2], 2)[2],
    "products": lambda x, y: x @ x.transpose(1, 2) @ y,
}  # fmt: skip


@pytest.mark.parametrize("name", ARITHMETIC)
def test_expressions_are_those_of_pytorch(name):
    write = ARITHMETIC[name]
    expected = write(torch.from_numpy(X), torch.from_numpy(Y))
    np.testing.assert_allclose(computed(lambda m, x, y: write(x, y), [X, Y]), expected, rtol=1e-5, atol=1e-6)


def test_whole_numbers_stay_whole():
    def write(m, x):
        return x // 2, x.cumsum(1), where(x > 0, x, -5), where((x >= 2) & ~x.equals(7) | (x < 0), 1, 0), \
            x.equals(2).any(1).whole(), (x <= 2).all(1).whole()  # fmt: skip

    floor, sums, positive, chosen, some, every = computed(write, [WHOLE])
    np.testing.assert_array_equal(floor, WHOLE // 2)
    np.testing.assert_array_equal(sums, WHOLE.cumsum(1))
    np.testing.assert_array_equal(positive, np.where(WHOLE > 0, WHOLE, -5))
    np.testing.assert_array_equal(chosen, [[1, 1, 0], [1, 1, 0]])
    assert some.tolist() == [0, 1] and every.tolist() == [0, 0] and floor.dtype == np.int32


def test_rows_are_taken_and_found():
    def write(m, x, rows):
        values, places = x[0].topk(2)
        return x[rows], x.take([2, 0], 1), values, places, x[0].argmax(), x[0, 0].topk(3)[0]

    rows = np.array([1, 1, 0], np.int32)
    taken, columns, values, places, best, flat = computed(write, [X, rows])
    np.testing.assert_array_equal(taken, X[rows])
    np.testing.assert_array_equal(columns, X[:, [2, 0]])
    expected = torch.from_numpy(X[0]).topk(2)
    np.testing.assert_array_equal(values, expected.values)
    np.testing.assert_array_equal(places, expected.indices)
    np.testing.assert_array_equal(best, X[0].argmax(1))
    np.testing.assert_array_equal(flat, np.sort(X[0, 0])[::-1][:3])


def test_angles_are_right_in_every_quadrant():
    y, x = (np.float32(each) for each in ([0, 1, 1, -1, -1, 0, 0, 2, -2], [0, 1, -1, -1, 1, 1, -1, 0, 0]))
    np.testing.assert_allclose(computed(lambda m, y, x: atan2(y, x), [y, x]), np.arctan2(y, x), atol=1e-6)


def test_tensors_are_joined_with_arrays():
    x = X[0]
    joined, stacked = computed(lambda m, x: (cat([x, np.ones((3, 2))], 1), stack([np.zeros((3, 4)), x], -1)), [x])
    np.testing.assert_array_equal(joined, np.concatenate([x, np.ones((3, 2))], 1))
    np.testing.assert_array_equal(stacked, np.stack([np.zeros((3, 4)), x], -1))


@pytest.mark.parametrize("mode, corners", [("bilinear", False), ("bilinear", True), ("nearest", False)])
def test_pictures_are_sampled_and_resized(mode, corners):
    image, grid = noise(2, 3, 5, 6), noise(2, 4, 7, 2, seed=3, scale=0.7)
    sampled = computed(lambda m, image, grid: grid_sample(image, grid, mode, corners), [image, grid])
    image, grid = torch.from_numpy(image), torch.from_numpy(grid)
    np.testing.assert_allclose(sampled, F.grid_sample(image, grid, mode, align_corners=corners), atol=1e-6)
    larger = computed(lambda m, image: interpolate(image, (9, 11), mode, corners), [image.numpy()])
    settings = {} if mode == "nearest" else {"align_corners": corners}
    np.testing.assert_allclose(larger, F.interpolate(image, (9, 11), mode=mode, **settings), atol=1e-6)
    pooled = computed(lambda m, image: max_pool(image, 3, 2, 1), [image.numpy()])
    np.testing.assert_array_equal(pooled, F.max_pool2d(image, 3, 2, 1))


# ----------------------------------------------------------------------------------------- layers of weights


class Named(nn.Module):
    """Modules under names, their weights random."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        torch.manual_seed(3)
        for name, tensor in self.eval().state_dict().items():
            if tensor.dtype.is_floating_point:
                tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor) * 0.4)


HEADS = 2
LAYERS = {  # the module, the function of the definition, shapes of the operands
    "linear": (nn.Linear(8, 5), layers.linear, [(2, 3, 8)]),
    "layer_norm": (nn.LayerNorm(8), layers.layer_norm, [(2, 3, 8)]),
    "conv": (nn.Conv2d(3, 4, 3, 2, 1), lambda m, x: layers.conv(m, x, 2), [(2, 3, 7, 8)]),
    "class_branch": (class_branch(8, 3), layers.class_branch, [(4, 8)]),
    "regression_branch": (regression_branch(8, 3), layers.regression_branch, [(4, 8)]),
    "feed_forward": (attention.FeedForward(8, 12), layers.feed_forward, [(1, 4, 8)]),
    "bottleneck": (Bottleneck(6, 2, 2), lambda m, x: resnet.bottleneck(m, x, 2), [(1, 6, 7, 6)]),
    "caffe": (Bottleneck(8, 2, 1, True), lambda m, x: resnet.bottleneck(m, x, 1, True, shortcut=False), [(1, 8, 7, 6)]),
    "deformable": (
        Bottleneck(6, 4, 2, False, True),
        lambda m, x: resnet.bottleneck(m, x, 2, False, True),
        [(2, 6, 7, 8)],
    ),
    "encoder_layer": (
        transformer.EncoderLayer(8, HEADS, 12),
        lambda m, x: defined.encoder_layer(m, x, HEADS),
        [(2, 3, 8)],
    ),
    "decoder_layer": (
        transformer.DecoderLayer(8, HEADS, 12),
        lambda m, x, y: defined.decoder_layer(m, x, y, HEADS),
        [(2, 3, 8), (1, 5, 8)],
    ),
    "self_attention": (
        attention.SelfAttention(8, HEADS),
        lambda m, x, y: defined.self_attention(m, x, y, HEADS),
        [(1, 4, 8), (1, 4, 8)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_those_of_pytorch(name):
    module, write, shapes = LAYERS[name]
    module, operands = Named(it=module), [noise(*shape, seed=k) for k, shape in enumerate(shapes)]
    with torch.no_grad():
        expected = module.it(*map(torch.from_numpy, operands))
    found = computed(lambda m, *tensors: write(m.it, *tensors), operands, module)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_a_pyramid_of_levels():
    module, maps = Named(it=Pyramid([4, 6], 5, 3)), [noise(1, 4, 8, 6), noise(1, 6, 4, 3)]
    found = computed(lambda m, *maps: resnet.pyramid(m.it, maps, 3), maps, module)
    with torch.no_grad():
        expected = module.it(list(map(torch.from_numpy, maps)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_key_that_is_hidden_is_not_seen():
    module, x = Named(it=transformer.MultiHead(8, HEADS)), noise(1, 4, 8)
    visible = np.array([1, 0, 1, 0], np.int32)

    def write(m, x, visible):
        return defined.multi_head(m.it, x, x, x, HEADS, visible.equals(1))

    with torch.no_grad():
        given = torch.from_numpy(x)
        expected = module.it(given, given, given, torch.from_numpy(visible) == 1)
    np.testing.assert_allclose(computed(write, [x, visible], module), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("levels, groups", [(1, 1), (2, 2)])
def test_deformable_attention_is_the_operators(levels, groups):
    n, q, m, d, points = 2, 5, 3, 4, 4
    shapes = [(4, 6), (2, 3)][:levels]
    operands = [
        noise(n, sum(h * w for h, w in shapes), m, d), np.abs(noise(n, q, 1, 2 * groups, seed=1, scale=0.6)),
        noise(n, q, m, levels * points * 2, seed=2, scale=2.0), noise(n, q, m, levels * points, seed=3),
    ]  # fmt: skip
    found = computed(lambda _, value, *rest: defined.ms_deform_attn(value, shapes, *rest), operands)
    tensors = list(map(torch.from_numpy, operands))
    np.testing.assert_allclose(found, ms_deform_attn.reference(tensors[0], shapes, *tensors[1:]), rtol=1e-5, atol=1e-6)


def test_half_precision_is_where_nothing_else_is_asked_for():
    """A sum of 1 and 2^-12 is 1 in half precision; a Linear's weights are rounded to it."""
    x = np.float32([1])

    def write(m, x):
        plain = (x + 2.0**-12) - 1
        with m.network.full_precision():
            return plain, (x + 2.0**-12) - 1

    plain, full = computed(write, [x], half=True)
    assert plain.item() == 0 and full.item() == 2.0**-12
    module = Named(it=nn.Linear(8, 5))
    found = computed(lambda m, x: layers.linear(m.it, x), [noise(2, 8)], module, half=True)
    exact = module.it(torch.from_numpy(noise(2, 8))).detach().numpy()
    assert 0 < np.abs(found - exact).max() < 5e-3


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_float32_does_not_hold_are_named(value):
    network = empty({"head.weight": np.full((5, 8), value), "head.bias": noise(5)})
    with pytest.raises(BadInput, match=r"'head.weight'[\s\S]*NaN, infinity"):
        layers.linear(Module(network).head, network.input("x", (2, 8), np.dtype(np.float32)))


def test_weights_that_do_not_fit_are_named():
    network = empty({"head.weight": noise(4, 8), "head.bias": noise(4)})
    x, m = network.input("x", (2, 7), np.dtype(np.float32)), Module(network)
    with pytest.raises(BadInput, match=r"'head.weight'[\s\S]*\[4, 8\][\s\S]*7"):
        layers.linear(m.head, x)
    with pytest.raises(BadInput, match=r"'tail.weight'[\s\S]*no such tensor"):
        layers.linear(m.tail, x)
    with pytest.raises(BadInput, match=r"output 'y'[\s\S]*\(2, 7\)"):
        network.output("y", x, (2, 8), np.dtype(np.float32))
