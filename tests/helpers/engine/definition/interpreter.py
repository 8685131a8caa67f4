"""Computes a finished network definition of TensorRT-RTX with PyTorch, a function for each type of layer.

Each is written from the documentation of TensorRT's operators, and reads nothing but the finished definition: what that
says is what is compared, not what it was meant to say.
"""

import numpy as np
import tensorrt_rtx as trt
import torch
import torch.nn.functional as F

KINDS = {"FLOAT": torch.float32, "HALF": torch.float16, "INT32": torch.int32, "BOOL": torch.bool, "INT8": torch.int8}
LAYERS = {
    "ACTIVATION": trt.IActivationLayer, "CAST": trt.ICastLayer, "CONCATENATION": trt.IConcatenationLayer,
    "CONSTANT": trt.IConstantLayer, "CONVOLUTION": trt.IConvolutionLayer, "DEQUANTIZE": trt.IDequantizeLayer,
    "ELEMENTWISE": trt.IElementWiseLayer, "GATHER": trt.IGatherLayer, "GRID_SAMPLE": trt.IGridSampleLayer,
    "IDENTITY": trt.IIdentityLayer, "MATRIX_MULTIPLY": trt.IMatrixMultiplyLayer,
    "NORMALIZATION": trt.INormalizationLayer,
    "POOLING": trt.IPoolingLayer, "QUANTIZE": trt.IQuantizeLayer,
    "REDUCE": trt.IReduceLayer, "RESIZE": trt.IResizeLayer,
    "SELECT": trt.ISelectLayer, "SHUFFLE": trt.IShuffleLayer, "SLICE": trt.ISliceLayer, "SOFTMAX": trt.ISoftMaxLayer,
    "TOPK": trt.ITopKLayer, "UNARY": trt.IUnaryLayer,
}  # fmt: skip
ELEMENTWISE = {
    "SUM": torch.add, "SUB": torch.sub, "PROD": torch.mul, "MAX": torch.maximum, "MIN": torch.minimum,
    "GREATER": torch.gt, "LESS": torch.lt, "EQUAL": torch.eq, "AND": torch.logical_and, "OR": torch.logical_or,
    "DIV": torch.true_divide, "FLOOR_DIV": torch.floor_divide,
}  # fmt: skip
UNARY = {
    "EXP": torch.exp, "LOG": torch.log, "SQRT": torch.sqrt, "ABS": torch.abs, "SIN": torch.sin, "COS": torch.cos,
    "ATAN": torch.atan, "SIGN": torch.sign, "ERF": torch.erf, "NOT": torch.logical_not,
}  # fmt: skip
ACTIVATION = {"RELU": torch.relu, "SIGMOID": torch.sigmoid, "TANH": torch.tanh}
REDUCE = {"SUM": torch.sum, "AVG": torch.mean, "MAX": torch.amax, "MIN": torch.amin}


def layers(network):
    """(type, layer as the class of that type) of every layer; some classes have another `type` of their own."""
    found = [network.get_layer(number) for number in range(network.num_layers)]
    kinds = [layer.type.name for layer in found]
    for layer, kind in zip(found, kinds, strict=True):
        layer.__class__ = LAYERS[kind]
    return list(zip(kinds, found, strict=True))


def interpreted(network):
    """A function of arrays by input name that returns the outputs' arrays by name."""
    run, names = layers(network), [network.get_output(number).name for number in range(network.num_outputs)]
    constants = {layer.get_output(0).name: _constant(layer) for kind, layer in run if kind == "CONSTANT"}

    def compute(feeds):
        values = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in feeds.items()} | constants
        for kind, layer in run:
            if kind == "CONSTANT":
                continue
            inputs = [values[layer.get_input(number).name] for number in range(layer.num_inputs)]
            found = RULES[kind](layer, *inputs)
            for number, value in enumerate(found if isinstance(found, tuple) else [found]):
                tensor = layer.get_output(number)
                said = tuple(tensor.shape), KINDS[tensor.dtype.name]
                assert (tuple(value.shape), value.dtype) == said, (layer.name, value.shape, value.dtype, said)
                values[tensor.name] = value
        return {name: values[name].numpy() for name in names}

    return compute


def _constant(layer):
    return torch.from_numpy(np.array(layer.weights)).reshape(tuple(layer.shape))


def _elementwise(layer, a, b):
    assert a.dtype == b.dtype and a.dim() == b.dim(), layer.name
    return ELEMENTWISE[layer.op.name](a, b)


def _convolution(layer, x, kernel=None):
    assert layer.num_groups == 1 and layer.padding_mode == trt.PaddingMode.EXPLICIT_ROUND_DOWN
    kernel = torch.from_numpy(np.array(layer.kernel)) if kernel is None else kernel
    weight = kernel.reshape(layer.num_output_maps, x.shape[1], *layer.kernel_size_nd)
    assert kernel.dtype == x.dtype
    return F.conv2d(x, weight, torch.from_numpy(np.array(layer.bias)), tuple(layer.stride_nd), tuple(layer.padding_nd))


def _pooling(layer, x):
    assert layer.type == trt.PoolingType.MAX and layer.padding_mode == trt.PaddingMode.EXPLICIT_ROUND_DOWN
    return F.max_pool2d(x, tuple(layer.window_size_nd), tuple(layer.stride_nd), tuple(layer.padding_nd))


def _product(layer, a, b):
    turn = trt.MatrixOperation.TRANSPOSE
    assert a.dtype == b.dtype and a.dim() == b.dim(), layer.name
    return (a.mT if layer.op0 == turn else a) @ (b.mT if layer.op1 == turn else b)


def _axes(mask, rank):
    return [axis for axis in range(rank) if mask >> axis & 1]


def _shuffle(layer, x):
    assert list(layer.second_transpose) == list(range(len(list(layer.second_transpose))))
    x = x.permute(*list(layer.first_transpose)[: x.dim()])
    return x.reshape(tuple(layer.get_output(0).shape))


def _slice(layer, x):
    for axis, (start, size, step) in enumerate(zip(layer.start, layer.shape, layer.stride, strict=True)):
        x = x.index_select(axis, torch.arange(size) * step + start)
    return x


def _gather(layer, x, rows):
    assert layer.mode == trt.GatherMode.DEFAULT and layer.num_elementwise_dims == 0
    found = x.index_select(layer.axis, rows.flatten())
    return found.reshape(*x.shape[: layer.axis], *rows.shape, *x.shape[layer.axis + 1 :])


def _grid_sample(layer, image, grid):
    assert layer.sample_mode == trt.SampleMode.FILL and image.dtype == grid.dtype
    mode = {"LINEAR": "bilinear", "NEAREST": "nearest"}[layer.interpolation_mode.name]
    return F.grid_sample(image, grid, mode, "zeros", layer.align_corners)


def _resize(layer, x):
    mode, place = layer.resize_mode.name, layer.coordinate_transformation.name
    size = tuple(layer.shape)[2:]
    if mode == "NEAREST":
        assert (place, layer.nearest_rounding.name) == ("ASYMMETRIC", "FLOOR")
        return F.interpolate(x, size, mode="nearest")
    return F.interpolate(x, size, mode="bilinear", align_corners={"ALIGN_CORNERS": True, "HALF_PIXEL": False}[place])


def _normalization(layer, x, scale, bias):
    axes = _axes(layer.axes, x.dim())
    assert layer.num_groups == 1 and x.dtype == scale.dtype == bias.dtype
    wide = x.float()
    mean = wide.mean(axes, keepdim=True)
    variance = ((wide - mean) ** 2).mean(axes, keepdim=True)
    return ((wide - mean) / torch.sqrt(variance + layer.epsilon) * scale.float() + bias.float()).to(x.dtype)


def _reduce(layer, x):
    found = REDUCE[layer.op.name](x, dim=_axes(layer.axes, x.dim()), keepdim=layer.keep_dims)
    return found.to(x.dtype)


def _topk(layer, x):
    assert layer.op == trt.TopKOperation.MAX
    values, places = x.topk(layer.k, dim=_axes(layer.axes, x.dim())[0])
    return values, places.int()


def _select(layer, condition, a, b):
    assert a.dtype == b.dtype and a.dim() == b.dim() == condition.dim(), layer.name
    return torch.where(condition, a, b)


def _scaled(scale, x, axis):
    return (
        scale
        if scale.dim() == 0 or scale.numel() == 1
        else scale.reshape([-1 if k == axis else 1 for k in range(x.dim())])
    )


def _quantize(layer, x, scale):
    return torch.round(x / _scaled(scale, x, layer.axis)).clamp(-128, 127).to(torch.int8)


def _dequantize(layer, x, scale):
    return x.to(scale.dtype) * _scaled(scale, x, layer.axis)


RULES = {
    "ACTIVATION": lambda layer, x: ACTIVATION[layer.type.name](x),
    "CAST": lambda layer, x: x.to(KINDS[layer.to_type.name]),
    "CONCATENATION": lambda layer, *parts: torch.cat(parts, layer.axis),
    "CONVOLUTION": _convolution,
    "DEQUANTIZE": _dequantize,
    "ELEMENTWISE": _elementwise,
    "GATHER": _gather,
    "GRID_SAMPLE": _grid_sample,
    "IDENTITY": lambda layer, x: x,
    "MATRIX_MULTIPLY": _product,
    "NORMALIZATION": _normalization,
    "POOLING": _pooling,
    "QUANTIZE": _quantize,
    "REDUCE": _reduce,
    "RESIZE": _resize,
    "SELECT": _select,
    "SHUFFLE": _shuffle,
    "SLICE": _slice,
    "SOFTMAX": lambda layer, x: x.softmax(_axes(layer.axes, x.dim())[0]),
    "TOPK": _topk,
    "UNARY": lambda layer, x: UNARY[layer.op.name](x),
}
