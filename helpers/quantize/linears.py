"""The Linears of a transformer: matrix products with a weight, which read one tensor together, and their Q/DQ nodes.

A query, key and value projection read one tensor, so they share its quantizer. Activations get one scale for the whole
tensor, weights one for each output channel, both from the largest magnitude ("max").
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from helpers.calibration import CalibrationReader
from helpers.errors import BadInput
from helpers.graph import edit, session, walk

MIN_SIZE = 16  # as for ModelOpt: matrices below are no faster in INT8
LEVELS = 127  # of INT8, on each side of zero
LEAST = LEVELS * float(np.finfo(np.float32).tiny)  # of a tensor's maximum, for a scale that keeps its digits


@dataclass(frozen=True, eq=False)
class Group:
    """Linears that read one tensor, with the largest magnitudes of its K channels; float32.

    tensor: what they read. linears: the tensors they make. activation [K]: of the tensor, over the calibration set.
    weight [K]: of what the Linears' weights have for a channel. scale [K]: by which the channels are divided and the
    weights multiplied, 1 without smoothing. folded: the operator of a norm that divides, or "a Mul of its own"; ""
    without smoothing.
    """

    tensor: str
    linears: tuple[str, ...]
    activation: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    folded: str = ""

    @property
    def smoothed_activation(self) -> np.ndarray:
        """`activation` as the quantizer meets it."""
        return self.activation / self.scale

    @property
    def smoothed_weight(self) -> np.ndarray:
        """`weight` as the quantizer meets it."""
        return self.weight * self.scale

    @property
    def step(self) -> float:
        """The scale of the activation's quantizer: all channels share it."""
        return float(self.smoothed_activation.max()) / LEVELS or 1.0


def find(model: onnx.ModelProto, left: Iterable[str] = ()) -> dict[str, list[onnx.NodeProto]]:
    """Tensor -> the Linears that read it, in the graph's order.

    Taken are MatMul and Gemm (transA=0) of something that is computed with a constant weight in float32 of at least 16
    rows and columns. left: names of nodes that are to stay as they are.
    """
    left, held, found = set(left), walk.constants(model), {}
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.domain not in walk.STANDARD or node.name in left:
            continue
        weight = held.get(node.input[1])
        if node.input[0] in held or weight is None or weight.ndim != 2 or weight.dtype != np.float32:
            continue
        if min(weight.shape) >= MIN_SIZE and not walk.attributes(node).get("transA"):
            found.setdefault(node.input[0], []).append(node)
    return found


def fold_weights(model: onnx.ModelProto, where: object) -> None:
    """Compute, in place, the weights of matrix products that are made of constants alone, such as a transposed one.

    Raises:
        BadInput: a graph that ONNX Runtime does not run.
    """
    held = set(walk.constants(model))
    fixed, named = set(held), {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.input and set(walk.node_inputs(node)) <= fixed and node.domain in walk.STANDARD:
            fixed.update(node.output)
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    wanted = list(dict.fromkeys(node.input[1] for node in products if node.input[1] in fixed - held))
    if not wanted:
        return
    part = edit.cut(model, [], wanted)
    arrays = session.run(session.open_session(part, "basic", where=where), wanted, {}, where)
    model.graph.initializer.extend(map(numpy_helper.from_array, arrays, wanted))
    kept = [node for node in model.graph.node if not set(node.output) & set(wanted)]
    computed = fixed - held
    while (fewer := _read(kept, computed, named)) != kept:
        kept = fewer
    _replace(model.graph.node, kept)


def _read(nodes, computed, outputs):
    """The nodes without those that make something of `computed` that nothing reads."""
    read = {name for node in nodes for name in walk.node_inputs(node)} | outputs
    return [node for node in nodes if not set(node.output) <= computed - read]


def drop_unread(model: onnx.ModelProto) -> None:
    """Remove constants that nothing reads, in place, so that no weight is there twice."""
    read = set(walk.users(model)) | {value.name for value in model.graph.output}
    _replace(model.graph.initializer, [tensor for tensor in model.graph.initializer if tensor.name in read])
    nodes = [node for node in model.graph.node if node.op_type != "Constant" or node.output[0] in read]
    _replace(model.graph.node, nodes)


def _replace(part, ours):
    if len(part) > len(ours):
        del part[:]
        part.extend(ours)


def rows(node: onnx.NodeProto, weight: np.ndarray) -> np.ndarray:
    """The weight of a Linear as [K, N], a view: what belongs to an input channel is a row."""
    return weight.T if walk.attributes(node).get("transB") else weight


def measure(
    model: onnx.ModelProto, channels: Mapping[str, int], reader: CalibrationReader, where: object
) -> dict[str, np.ndarray]:
    """Tensor -> the largest magnitude of each of its channels, which are its last axis, over a set: float32 [K].

    Only the maxima leave the graph, so memory does not grow with the set or the tensors.

    Raises:
        BadInput: a magnitude that is NaN or infinite, or a graph that ONNX Runtime does not run.
    """
    watched = walk.copy(model)
    names = {tensor: f"{tensor}/channel_maxima" for tensor in channels}
    for tensor, size in channels.items():
        _watch(watched, tensor, size, names[tensor])
    part = edit.cut(watched, [value.name for value in walk.inputs(watched)], names.values())
    opened = session.open_session(part, "basic", where=where, arena=False)
    needed = [value.name for value in opened.get_inputs()]
    most = {tensor: np.zeros(size, np.float32) for tensor, size in channels.items()}
    reader.rewind()
    for inputs in iter(reader.get_next, None):
        arrays = session.run(opened, list(names.values()), {name: inputs[name] for name in needed}, where)
        for tensor, array in zip(names, arrays, strict=True):
            most[tensor] = np.maximum(most[tensor], array)  # NaN stays
    for tensor, array in most.items():
        if not np.isfinite(array).all():
            found = f"channel {int(np.argmin(np.isfinite(array)))} reaches {array[~np.isfinite(array)][0]}"
            raise BadInput(f"{where}: {tensor}", found, "finite numbers", "look at the calibration set and the weights")
        if 0 < array.max() < LEAST:
            found = f"nothing above {array.max():.1g}"
            raise BadInput(
                f"{where}: {tensor}", found, f"zeros, or numbers from {LEAST:.1g}", "look at the calibration set"
            )
    return most


def _watch(model, tensor, channels, name):
    """Add nodes that make the largest magnitude of each channel of `tensor`; a maximum of no sample is 0."""
    shape = numpy_helper.from_array(np.array([-1, channels]), f"{name}/shape")
    first = numpy_helper.from_array(np.array([0]), f"{name}/axes")
    model.graph.initializer.append(shape)
    listed = walk.opset(model) >= 18  # from then on axes are an input
    if listed:
        model.graph.initializer.append(first)
    reads = [f"{name}/magnitudes", *([first.name] if listed else [])]
    largest = helper.make_node("ReduceMax", reads, [name], keepdims=0)
    if not listed:
        largest.attribute.append(helper.make_attribute("axes", [0]))
    model.graph.node.extend(
        [
            helper.make_node("Reshape", [tensor, shape.name], [f"{name}/rows"]),
            helper.make_node("Abs", [f"{name}/rows"], [f"{name}/magnitudes"]),
            largest,
        ]
    )


def place(model: onnx.ModelProto, groups: Iterable[Group], where: object) -> None:
    """Put Q/DQ nodes before the inputs of the groups' Linears and behind their weights, in place.

    Raises:
        BadInput: a Linear that is not in the graph any more.
    """
    held, before = walk.constants(model), {}
    makers = {name: node for node in model.graph.node for name in node.output}
    for group in groups:
        activations: dict[str, str] = {}  # tensor -> the same between Q/DQ, once for all that read it
        for name in group.linears:
            node = makers.get(name)
            if node is None or node.op_type not in ("MatMul", "Gemm") or node.input[1] not in held:
                raise BadInput(f"{where}: {name}", "no Linear makes it any more", "the graph that was measured",
                               "leave its node out with exclude_nodes (--nodes_to_exclude)")  # fmt: skip
            before[name] = _pair(model, node.input[1], f"{name}/weight", *_steps(node, held[node.input[1]]))
            if node.input[0] not in activations:
                before[name] += _pair(model, node.input[0], f"{name}/input", np.float32(group.step))
                activations[node.input[0]] = before[name][-1].output[0]
            node.input[0], node.input[1] = activations[node.input[0]], before[name][1].output[0]
    insert(model, before)


def insert(model: onnx.ModelProto, before: Mapping[str, list[onnx.NodeProto]]) -> None:
    """Insert nodes, in place, each before the node that makes the tensor it is listed under."""
    nodes = [new for node in model.graph.node for new in (*before.get(node.output[0], ()), node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _steps(node, weight):
    """(scale of each output channel of a Linear's weight, their axis)."""
    most = np.abs(rows(node, weight)).max(axis=0)
    steps = np.where(most > 0, most / np.float32(LEVELS), np.float32(1))
    return steps.astype(np.float32), 0 if walk.attributes(node).get("transB") else 1


def _pair(model, tensor, name, step, axis=None):
    """[QuantizeLinear, DequantizeLinear] of a tensor, with their constants in the model."""
    zero = numpy_helper.from_array(np.zeros(step.shape, np.int8), f"{name}/zero_point")
    scale = numpy_helper.from_array(np.asarray(step), f"{name}/scale")
    model.graph.initializer.extend([scale, zero])
    ends = {"QuantizeLinear": (tensor, f"{name}/quantized"),
            "DequantizeLinear": (f"{name}/quantized", f"{name}/dequantized")}  # fmt: skip
    along = {} if axis is None else {"axis": axis}
    return [
        helper.make_node(op, [read, scale.name, zero.name], [made], name=f"{name}/{op}", **along)
        for op, (read, made) in ends.items()
    ]
