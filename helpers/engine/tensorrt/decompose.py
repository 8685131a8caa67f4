"""Operators written in simpler ones, for where TensorRT's own layer disappoints or is under suspicion."""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from helpers.engine.tensorrt.view import View
from helpers.errors import BadInput
from helpers.graph.functions.body import Body
from helpers.graph.walk import attributes

LONGEST = 4096  # entries of an axis that is summed over a triangle


def decompose_operators(view: View, names: Sequence[str]) -> None:
    """Write the named operators in simpler ones; BadInput for a name without a rule."""
    for name in names:
        if name not in RULES:
            raise BadInput("option decompose", repr(name), f"some of {list(RULES)}", "correct it")
    view.replace({name: RULES[name] for name in names})


def without_loops(view: View) -> None:
    """Write cumulative sums, which some parsers make loops of, as sums over triangles; not along free or long axes."""
    view.replace({"CumSum": _cumulative_sum})


class _Replacement(Body):
    """Nodes in the place of one node."""

    def __init__(self, view, node):
        super().__init__(view.opset)
        self.view, self.node = view, node

    def tensor_name(self, op_type, position):
        return self.view.fresh(f"{self.node.name}/{op_type}")

    def node_name(self, op_type):
        return f"{self.node.name}/{op_type}_{len(self.nodes)}"

    def constant(self, value, dtype=np.float32):
        return self.view.constant(f"{self.node.name}/constant", np.asarray(value, dtype))

    def mean(self, tensor, axes):
        if self.opset >= 18:
            return self.ReduceMean(tensor, self.constant(axes, np.int64), keepdims=1)
        return self.ReduceMean(tensor, axes=axes, keepdims=1)


def _dtype(view, name):
    return helper.tensor_dtype_to_np_dtype(view.types.get(name) or TensorProto.FLOAT)


def _layer_normalization(view, node):
    """(x - mean) / sqrt(variance + epsilon) · scale + bias over the last axes (ONNX operator LayerNormalization)."""
    given, b = attributes(node), _Replacement(view, node)
    axis = given.get("axis", -1)
    if axis >= 0:
        axis -= len(view.shapes[node.input[0]])
    if len(node.output) > 1:
        raise BadInput(f"node {node.name!r}", "outputs for mean and deviation", "one output", "leave it whole")
    axes = list(range(axis, 0))
    centered = b.Sub(node.input[0], b.mean(node.input[0], axes))
    variance = b.mean(b.Mul(centered, centered), axes)
    epsilon = b.constant(given.get("epsilon", 1e-5), _dtype(view, node.input[0]))
    normal = b.Div(centered, b.Sqrt(b.Add(variance, epsilon)))
    if len(node.input) > 2 and node.input[2]:
        b.Add(b.Mul(normal, node.input[1]), node.input[2], output=node.output[0])
    else:
        b.Mul(normal, node.input[1], output=node.output[0])
    return b.nodes


def _cumulative_sum(view, node):
    """The sum over a triangle of ones (ONNX operator CumSum)."""
    given, b = attributes(node), _Replacement(view, node)
    shape, axis = view.shapes.get(node.input[0]), view.constants.get(node.input[1])
    if shape is None or axis is None or not 0 < (shape[int(axis)] or 0) <= LONGEST:
        return [node]
    axis = int(axis) % len(shape)
    triangle = np.tri(shape[axis], k=-given.get("exclusive", 0))
    triangle = triangle.T if given.get("reverse", 0) else triangle
    triangle = triangle.reshape(*triangle.shape, *[1] * (len(shape) - axis - 1))
    apart = b.Unsqueeze(node.input[0], b.constant([axis], np.int64))
    terms = b.Mul(apart, b.constant(triangle, _dtype(view, node.input[0])))
    b.ReduceSum(terms, b.constant([axis + 1], np.int64), keepdims=0, output=node.output[0])
    return b.nodes


def _grid_sample(view, node):
    """Bilinear or nearest sampling of [N, C, H, W] at [N, P, Q, 2], zeros outside (ONNX operator GridSample)."""
    given, b = attributes(node), _Replacement(view, node)
    mode = given.get("mode", b"linear").decode()
    image, grid = (view.shapes.get(name, (None,)) for name in node.input)
    if len(image) != 4 or None in (*image, *grid) or mode not in ("bilinear", "linear", "nearest"):
        expected = "bilinear or nearest sampling of an image [N, C, H, W] of fixed shape"
        found = f"{mode} sampling of {image} at {grid}"
        raise BadInput(f"node {node.name!r} (GridSample)", found, expected, "leave it whole")
    if given.get("padding_mode", b"zeros") != b"zeros":
        raise BadInput(f"node {node.name!r} (GridSample)", given["padding_mode"].decode(), "zeros padding",
                       "leave it whole")  # fmt: skip
    n, c, h, w = image
    dtype = _dtype(view, node.input[1])
    table = b.Reshape(b.Transpose(node.input[0], perm=[0, 2, 3, 1]), b.constant([n * h * w, c], np.int64))
    offsets = b.constant(np.arange(n).reshape(n, 1, 1) * h * w, np.int64)
    align = given.get("align_corners", 0)
    x, y = (_cells(b, node.input[1], axis, size, align, dtype) for axis, size in ((0, w), (1, h)))
    near = mode == "nearest"
    columns, rows = (
        _corners(b, cell, size, near, dtype, _dtype(view, node.input[0])) for cell, size in ((x, w), (y, h))
    )
    total = None
    for row, row_weight in rows:
        for column, column_weight in columns:
            index = b.Add(b.Add(b.Mul(row, b.constant(w, np.int64)), column), offsets)
            weight = b.Unsqueeze(b.Mul(row_weight, column_weight), b.constant([3], np.int64))
            part = b.Mul(b.Gather(table, index, axis=0), weight)
            total = part if total is None else b.Add(total, part)
    b.Transpose(total, perm=[0, 3, 1, 2], output=node.output[0])
    return b.nodes


def _cells(b, grid, axis, size, align, dtype):
    """Coordinates -1..1 in cells, where 0 is the center of the first; what is far outside is brought near."""
    value = b.Gather(grid, b.constant(axis, np.int64), axis=3)
    value = b.Add(value, b.constant(1, dtype))
    if align:
        value = b.Mul(b.Mul(value, b.constant(0.5, dtype)), b.constant(size - 1, dtype))
    else:
        value = b.Mul(b.Sub(b.Mul(value, b.constant(size, dtype)), b.constant(1, dtype)), b.constant(0.5, dtype))
    return b.Clip(value, b.constant(-2, dtype), b.constant(size + 1, dtype))


def _corners(b, cell, size, nearest, dtype, weight_dtype):
    """[(index, weight)] of the cells that a coordinate takes from along one axis; outside, the weight is 0."""
    if nearest:
        low = b.Round(cell)
        pairs = [(low, None)]
    else:
        low = b.Floor(cell)
        share, one = b.Sub(cell, low), b.constant(1, dtype)
        pairs = [(low, b.Sub(one, share)), (b.Add(low, one), share)]
    found = []
    for position, weight in pairs:
        inside = b.Clip(position, b.constant(0, dtype), b.constant(size - 1, dtype))
        mask = b.Cast(b.Equal(inside, position), to=helper.np_dtype_to_tensor_dtype(np.dtype(weight_dtype)))
        weight = (
            mask if weight is None else b.Mul(b.Cast(weight, to=helper.np_dtype_to_tensor_dtype(weight_dtype)), mask)
        )
        found.append((b.Cast(inside, to=TensorProto.INT64), weight))
    return found


RULES = {"GridSample": _grid_sample, "LayerNormalization": _layer_normalization}
