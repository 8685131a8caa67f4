"""Deformable convolution by its definition, one tap at a time, and the convolution that it is where nothing moves."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.errors import BadInput
from helpers.layers.resnet import Bottleneck, DeformableConv
from helpers.ops.deform_conv import deform_conv


def operands(stride, seed=0, dtype=torch.float64):
    """input [2, 3, 6, 5], offsets that reach outside, factors in 0..1 and weight [4, 3, 3, 3]."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (6 - 1) // stride + 1, (5 - 1) // stride + 1
    image, weight = (torch.randn(shape, generator=generator, dtype=dtype) for shape in ((2, 3, 6, 5), (4, 3, 3, 3)))
    offset = 2 * torch.randn(2, 18, rows, columns, generator=generator, dtype=dtype)
    return image, offset, torch.rand(2, 9, rows, columns, generator=generator, dtype=dtype), weight


def at(image, y, x):
    """[C] at (y, x): bilinear, zeros outside."""
    total = np.zeros(len(image))
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                total += image[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


@pytest.mark.parametrize("stride", [1, 2])
def test_every_tap_reads_where_its_offset_says(stride):
    image, offset, mask, weight = operands(stride)
    found = deform_conv(image, offset, mask, weight, stride)
    image, offset, mask, weight = (tensor.numpy() for tensor in (image, offset, mask, weight))
    for n, row, column in np.ndindex(len(image), *mask.shape[2:]):
        expected = np.zeros(4)
        for tap, (i, j) in enumerate(np.ndindex(3, 3)):
            dy, dx = offset[n, 2 * tap : 2 * tap + 2, row, column]
            read = at(image[n], row * stride - 1 + i + dy, column * stride - 1 + j + dx)
            expected += weight[:, :, i, j] @ read * mask[n, tap, row, column]
        np.testing.assert_allclose(found[n, :, row, column].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_new_layer_is_half_a_convolution_and_learns(stride):
    layer, image = DeformableConv(3, 4, stride), operands(stride, dtype=torch.float32)[0]
    layer.settle()
    torch.testing.assert_close(layer(image), F.conv2d(image, layer.weight / 2, None, stride, 1), atol=1e-5, rtol=0)
    layer(image).square().sum().backward()
    assert all(parameter.grad.any() for parameter in layer.parameters())


def test_half_precision_is_computed_in_full():
    exact = operands(1, dtype=torch.float32)
    found = deform_conv(*(tensor.half() for tensor in exact))
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), deform_conv(*(t.half().float() for t in exact)), atol=4e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("which", "shape"), [(0, (2, 2, 6, 5)), (1, (2, 9, 6, 5)), (2, (2, 9, 5, 5)), (3, (4, 3, 5, 5))]
)
def test_shapes_that_do_not_belong_together_are_named(which, shape):
    tensors = list(operands(1))
    tensors[which] = torch.zeros(shape)
    with pytest.raises(BadInput, match=r"(?s)deform_conv.*stride 1"):
        deform_conv(*tensors)


def test_a_caffe_block_halves_in_its_first_convolution():
    block, plain = Bottleneck(8, 4, 2, caffe=True, deformable=True), Bottleneck(8, 4, 2)
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1)) == (plain.conv2.stride, plain.conv1.stride)
    assert sorted(dict(block.conv2.named_parameters())) == ["conv_offset.bias", "conv_offset.weight", "weight"]
    assert block(torch.zeros(1, 8, 6, 6)).shape == plain(torch.zeros(1, 8, 6, 6)).shape == (1, 16, 3, 3)
