"""The choice and the decoding of BEVFormer's boxes as nodes of its graph: `decode_outputs` in ONNX. Needs no torch."""

from typing import Any

import numpy as np
from onnx import TensorProto

from helpers.systems.bevformer.decode import MOST, POST_CENTER_RANGE

Given = dict[str, tuple[int, list[int]]]
COLUMNS = "center x, y, z, size w, l, h (m), yaw (rad), velocity x, y (m/s)"


def choose(body: Any, classes: str, coords: str, shape: list[int]) -> Given:
    """Add to `body` what makes boxes of the last decoder level's outputs.

    Args:
        body: `helpers.graph.functions.body.Body` that can make constants.
        classes, coords: names of outputs_classes [L,B,Q,classes] and outputs_coords [L,B,Q,10].
        shape: of `classes`.

    Returns:
        name -> (element type, shape) of the outputs, best score first: scores [B,M] float32, all of them -1 where any
        value that is read is NaN or infinite, labels [B,M] int32, boxes [B,M,9] float32 (`COLUMNS`, lidar frame),
        inside [B,M] bool, whether a box is within `POST_CENTER_RANGE`.
    """
    _, batch, queries, kinds = shape
    most = min(MOST, queries * kinds)
    given = _last(body, classes, batch, queries * kinds)
    logits, index = body.TopK(given, body.whole(most), axis=1, outputs=2)
    read = body.Concat(given, _last(body, coords, batch, queries * 10), axis=1)
    total = body.ReduceSum(body.Abs(read), body.whole(1), keepdims=1)
    finite = body.LessOrEqual(total, body.constant(np.finfo(np.float32).max))
    body.Where(finite, body.Sigmoid(logits), body.constant(np.float32(-1)), output="scores")
    ten, first = body.constant(np.int64(kinds)), body.constant(np.arange(batch, dtype=np.int64)[:, None] * queries)
    query = body.Div(index, ten)
    body.Cast(body.Sub(index, body.Mul(query, ten)), to=TensorProto.INT32, output="labels")
    code = body.Gather(_last(body, coords, batch * queries, 10), body.Add(query, first), axis=0)
    center, size, sine, cosine, velocity = (
        body.Gather(code, body.whole(*columns), axis=2) for columns in ((0, 1, 4), (2, 3, 5), (6,), (7,), (8, 9))
    )
    body.Concat(center, body.Exp(size), _yaw(body, sine, cosine), velocity, axis=2, output="boxes")
    low, high = map(body.constant, _range())
    beyond = body.Abs(body.Sub(center, body.Min(body.Max(center, low), high)))
    body.LessOrEqual(body.ReduceSum(beyond, body.whole(2), keepdims=0), body.constant(np.float32(0)), output="inside")
    kinds_of: dict[str, int] = {"scores": TensorProto.FLOAT, "labels": TensorProto.INT32, "inside": TensorProto.BOOL}
    rows = {name: (kind, [batch, most]) for name, kind in kinds_of.items()}
    return rows | {"boxes": (TensorProto.FLOAT, [batch, most, 9])}


def _range():
    """The range in float32, rounded inwards: a number of 32 bits is within both or within none."""
    low, high = np.split(np.array(POST_CENTER_RANGE), 2)
    below, above = low.astype(np.float32), high.astype(np.float32)
    below = np.where(below < low, np.nextafter(below, np.float32(np.inf)), below)
    return below, np.where(above > high, np.nextafter(above, np.float32(-np.inf)), above)


def _last(body, tensor, *shape):
    """The last decoder level, in another shape."""
    end = body.Slice(tensor, body.whole(-1), body.whole(np.iinfo(np.int32).max), body.whole(0))
    return body.Reshape(end, body.whole(*shape))


def _yaw(body, sine, cosine):
    """The boxes' yaw of the code's, as `decode_boxes` has it, in (-pi, pi]; atan2 by the atan that ONNX has."""
    zero, least, quarter, half, whole = (
        body.constant(np.float32(value)) for value in (0, 1e-30, np.pi / 2, np.pi, 2 * np.pi)
    )
    across = body.Where(body.Equal(cosine, zero), least, cosine)
    behind = body.Where(body.Less(sine, zero), body.Neg(half), half)
    angle = body.Add(body.Atan(body.Div(sine, across)), body.Where(body.Less(across, zero), behind, zero))
    turned = body.Sub(body.Neg(angle), quarter)
    return body.Where(body.LessOrEqual(turned, body.Neg(half)), body.Add(turned, whole), turned)
