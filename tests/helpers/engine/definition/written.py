"""Definitions written for a test: a few layers, computed."""

import functools

import numpy as np
import tensorrt_rtx as trt
import torch

from helpers.engine.definition import Module, Network
from tests.helpers.engine.definition.interpreter import interpreted


@functools.cache
def builder():
    """The one builder of the process, and its logger, which must outlive it."""
    logger = trt.Logger(trt.Logger.ERROR)
    return trt.Builder(logger), logger


def empty(weights=None, half=False, ranges=None):
    """A network without a layer, of weights by name."""
    return Network(trt, builder()[0].create_network(0), weights or {}, half=half, ranges=ranges)


def weights_of(module):
    """A PyTorch module's weights as a network takes them."""
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def computed(write, inputs, module=None, half=False):
    """What `write(m, *tensors)` writes, computed: its tensor's array, or those of a tuple.

    inputs: arrays, float32 or int32. module: of PyTorch, whose weights `m` has.
    """
    network = empty(weights_of(module) if module is not None else {}, half)
    given = [network.input(f"in{k}", array.shape, array.dtype) for k, array in enumerate(inputs)]
    with torch.no_grad():
        found = write(Module(network), *given)
    several = isinstance(found, tuple | list)
    for k, tensor in enumerate(found if several else [found]):
        dtype = np.dtype(np.float32 if tensor.kind in ("FLOAT", "HALF") else np.int32)
        network.output(f"out{k}", tensor, tensor.shape, dtype)
    arrays = list(interpreted(network.definition)({f"in{k}": array for k, array in enumerate(inputs)}).values())
    return arrays if several else arrays[0]


def noise(*shape, seed=0, scale=1.0):
    """float32."""
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)
