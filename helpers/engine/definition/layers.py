"""Layers of weights: `torch.nn`'s under their own names, and the small networks of `helpers.layers`."""

import numpy as np

from helpers.engine.definition.module import Module
from helpers.engine.definition.tensor import Tensor

EPSILON = 1e-5  # of every norm that says nothing else
LEAST = 1e-6  # range of what is always 0


def linear(m: Module, x: Tensor) -> Tensor:
    """`nn.Linear`: [..., inputs] -> [..., outputs]; in INT8 where its range is known."""
    weight, bias, network = m.array("weight"), m.array("bias"), x.network
    if m.name not in network.ranges:
        return affine(m, x, weight, bias)
    _check(m, x.shape[-1], weight.shape[1:])
    turned = network.constant(weight.T).of_rank(len(x.shape))
    kernel = network.quantized(turned, _scales(weight), len(x.shape) - 1)
    return network.quantized(x.real(), _scale(m)).times(kernel, name=m.name) + bias


def affine(m: Module, x: Tensor, weight: np.ndarray, bias: np.ndarray) -> Tensor:
    """x [..., inputs] times weight [outputs, inputs], transposed, and bias [outputs]."""
    _check(m, x.shape[-1], weight.shape[1:])
    return x.times(weight, transposed=True, name=m.name) + bias


def layer_norm(m: Module, x: Tensor, epsilon: float = EPSILON) -> Tensor:
    """`nn.LayerNorm` over the last axis."""
    scale, bias = (m.constant(name, x.shape[-1:]).of_rank(len(x.shape)).real() for name in ("weight", "bias"))
    return x.network.normalization(x.real(), scale, bias, 1 << (len(x.shape) - 1), epsilon, m.name)


def conv(m: Module, x: Tensor, stride: int = 1, norm: Module | None = None) -> Tensor:
    """`nn.Conv2d` of [N, C, H, W], padded by half its kernel; a BatchNorm behind it becomes part of its weights."""
    weight = m.array("weight")
    bias = m.array("bias") if "bias" in m else np.zeros(len(weight), np.float32)
    _check(m, x.shape[1], weight.shape[1:2])
    if norm is not None:
        weight, bias = folded(norm, weight, bias)
    network, kernel, x = x.network, weight.shape[2:], x.real()
    settings = {"stride_nd": (stride, stride), "padding_nd": tuple(size // 2 for size in kernel)}
    held, inputs = network.hold(weight, x.kind), None
    if m.name in network.ranges:
        x = network.quantized(x, _scale(m))
        held, inputs = network.trt.Weights(), {1: network.quantized(network.constant(weight), _scales(weight))}
    held = held, network.hold(bias, x.kind)
    return network.add("convolution_nd", x.raw, len(weight), kernel, *held, name=m.name, inputs=inputs, **settings)


def folded(norm: Module, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution, and of the BatchNorm behind it."""
    count = (len(weight),)
    scale = norm.array("weight", count) / np.sqrt(norm.array("running_var", count) + EPSILON)
    shift = norm.array("bias", count) + (bias - norm.array("running_mean", count)) * scale
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), shift


def class_branch(m: Module, x: Tensor) -> Tensor:
    """`helpers.layers.branches.class_branch`."""
    for first in (0, 3):
        x = layer_norm(m[first + 1], linear(m[first], x)).relu()
    return linear(m[6], x)


def regression_branch(m: Module, x: Tensor) -> Tensor:
    """`helpers.layers.branches.regression_branch`."""
    return linear(m[4], linear(m[2], linear(m[0], x).relu()).relu())


def feed_forward(m: Module, x: Tensor) -> Tensor:
    """`helpers.layers.attention.FeedForward`."""
    return linear(m.layers[1], linear(m.layers[0][0], x).relu()) + x


def fuser(m: Module, x: Tensor) -> Tensor:
    """Linear, ReLU, linear."""
    return linear(m[2], linear(m[0], x).relu())


def normed(m: Module, x: Tensor) -> Tensor:
    """Linear, LayerNorm, ReLU."""
    return layer_norm(m[1], linear(m[0], x)).relu()


def _scale(m):
    """Of what enters a module, by the largest that was seen."""
    return max(m.network.ranges[m.name], LEAST) / 127


def _scales(weight):
    """Of every output of a weight."""
    return np.maximum(np.abs(weight).reshape(len(weight), -1).max(1), LEAST) / 127


def _check(m, inputs, taken):
    if (inputs,) != taken:
        m.array("weight", (-1, inputs))  # says so
