"""SmoothQuant: what is hard to round in activations is moved into weights, where it is easy.

A few channels of a transformer's activations reach far beyond the others, and all channels share one scale. Channel j
of what a Linear reads is divided by s_j = max|X_j|^alpha / max|W_j|^(1 - alpha), and its row of the weight multiplied:
the product is the same, and the ranges are alike. The division is folded into the norm before the Linear where nothing
else reads that norm, and else is a Mul. Source: Xiao et al. 2022, https://arxiv.org/abs/2211.10438.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from helpers.arguments import between, typed
from helpers.calibration import CalibrationReader, check_calibration
from helpers.graph import walk
from helpers.graph.file import check_output, save
from helpers.quantize import linears, source
from helpers.quantize.linears import Group

NORMS = ("LayerNormalization", "RMSNormalization")
OWN = "a Mul of its own"
LEAST, MOST = 1e-4, 1e4  # of a scale: beyond, products would leave the range of FP16


@typed
def scales(activation: np.ndarray, weight: np.ndarray, alpha: float) -> np.ndarray:
    """s [K] of the maxima of activation [K] and weight [K]; 1 for a channel in which either is zero.

    alpha: 0 to 1, how much of the difficulty moves into the weight. Raises BadInput for another.
    """
    between("alpha", alpha, 0.0, 1.0)
    alive = (activation > 0) & (weight > 0)
    x, w = (np.where(alive, most, 1).astype(np.float64) for most in (activation, weight))
    return np.clip(x**alpha / w ** (1 - alpha), LEAST, MOST).astype(np.float32)


@typed
def groups(
    path: str | Path, calibration: str | Path, alpha: float | None = 0.5, left: Iterable[str] = ()
) -> list[Group]:
    """The Linears of a file with their channels' largest magnitudes over a calibration set, and the scales of them.

    Args:
        alpha: None for no smoothing. left: names of nodes that are to stay as they are.

    Raises:
        BadInput: as `quantize`, for the file, the set and alpha.
    """
    model, reader = opened(Path(path), calibration)
    return prepare(model, reader, alpha, left, path)


@typed
def smooth(path: str | Path, out: str | Path, calibration: str | Path, alpha: float = 0.5) -> Path:
    """Write the file with its Linears smoothed and still in floating point; its function is the same but for rounding.

    Raises:
        BadInput: as `groups`, or an output that is the input.
    """
    check_output(Path(out), path)
    model, reader = opened(Path(path), calibration)
    prepare(model, reader, alpha, (), path)
    return save(model, out)


@typed
def quantize_linears(path: str | Path, out: str | Path, calibration: str | Path, alpha: float | None = 0.5) -> Path:
    """Write the file with its Linears, and nothing else, in INT8: smoothed, or as they are if alpha is None.

    `helpers.quantize.quantize` with `Options(smooth=alpha)` quantizes the rest too. What this function writes tells
    what the Linears alone cost.

    Raises:
        BadInput: as `smooth`.
    """
    check_output(Path(out), path)
    model, reader = opened(Path(path), calibration)
    linears.place(model, prepare(model, reader, alpha, (), path), path)
    return save(model, out)


@typed
def versions(
    path: str | Path, folder: str | Path, calibration: str | Path, alpha: float = 0.5
) -> tuple[list[Group], dict[str, Path]]:
    """What `groups`, `smooth` and `quantize_linears` with and without alpha give, measured once: smoothed groups and
    files by name, "smoothed" in floating point, "INT8" and "INT8, smoothed", in `folder`.

    Raises:
        BadInput: as `groups`.
    """
    between("alpha", alpha, 0.0, 1.0)
    model, reader = opened(Path(path), calibration)
    measured = measure(model, reader, (), path)
    smoothed = walk.copy(model)
    found = apply(smoothed, measured, alpha)
    files = {"smoothed": save(smoothed, Path(folder) / "smoothed.onnx")}
    for name, one, of in (("INT8", model, measured), ("INT8, smoothed", smoothed, found)):
        linears.place(one, of, path)
        files[name] = save(one, Path(folder) / f"{name.lower().replace(', ', '_')}.onnx")
    return found, files


def opened(path: Path, calibration: str | Path) -> tuple[onnx.ModelProto, CalibrationReader]:
    """The model of a file and the reader of a calibration set that fits it; raises BadInput."""
    model = source.load(path)
    types, shapes = source.types_of(model, path), source.shapes_of(model, path, calibration)
    check_calibration(calibration, shapes, types)
    return model, CalibrationReader(calibration, shapes, None, False, types)


def prepare(
    model: onnx.ModelProto,
    reader: CalibrationReader,
    alpha: float | None,
    left: Iterable[str],
    where: object,
) -> list[Group]:
    """Measure the Linears of `model` and, unless alpha is None, smooth them in place; what `linears.place` then takes.

    The nodes of all groups get names, so that they can be left out elsewhere.
    """
    found = measure(model, reader, left, where)
    return found if alpha is None else apply(model, found, alpha)


def measure(model: onnx.ModelProto, reader: CalibrationReader, left: Iterable[str], where: object) -> list[Group]:
    """The Linears of `model` with their channels' maxima over a set, not smoothed.

    In place, nodes get names and weights that are computed of constants become constants: a copy of `model` is what
    `apply` and `linears.place` take.
    """
    linears.fold_weights(model, where)
    linears.drop_unread(model)
    found, held = linears.find(model, left), walk.constants(model)
    channels = {tensor: len(linears.rows(nodes[0], held[nodes[0].input[1]])) for tensor, nodes in found.items()}
    most = linears.measure(model, channels, reader, where) if found else {}
    made = []
    for tensor, nodes in found.items():
        for node in nodes:
            node.name = node.name or f"linear/{node.output[0]}"
        weight = np.max([np.abs(linears.rows(node, held[node.input[1]])).max(axis=1) for node in nodes], axis=0)
        names = tuple(node.output[0] for node in nodes)
        made.append(Group(tensor, names, most[tensor], weight, np.ones_like(weight)))
    return made


def apply(model: onnx.ModelProto, groups: Iterable[Group], alpha: float) -> list[Group]:
    """Smooth measured Linears in place: the groups with their scales and with what divides."""
    makers = {name: node for node in model.graph.node for name in node.output}
    held, before, made = walk.constants(model), {}, []
    for one in groups:
        one = dataclasses.replace(one, scale=scales(one.activation, one.weight, alpha))
        made.append(_apply(model, one, [makers[name] for name in one.linears], held, before))
    linears.insert(model, before)
    linears.drop_unread(model)
    return made


def names_of(model: onnx.ModelProto, found: Iterable[Group]) -> list[str]:
    """The names of the groups' Linears, and of the Muls that were put before them."""
    makers = {name: node.name for node in model.graph.node for name in node.output}
    muls = [f"{one.tensor}/smooth" for one in found if one.folded == OWN]
    return [makers[name] for one in found for name in one.linears] + muls


def _apply(model, one, nodes, held, before):
    """Multiply the rows of the weights, divide what the nodes read; the group with `folded`."""
    for node in nodes:
        weight = held[node.input[1]]
        along = one.scale[None, :] if walk.attributes(node).get("transB") else one.scale[:, None]
        node.input[1] = _constant(model, held, weight * along, f"{node.output[0]}/smoothed_weight")
    folded = _fold(model, one, len(nodes), held)
    if not folded:
        inverse = _constant(model, held, np.float32(1) / one.scale, f"{one.tensor}/smooth/scale")
        name = f"{one.tensor}/smooth"
        before[nodes[0].output[0]] = [helper.make_node("Mul", [one.tensor, inverse], [f"{name}/scaled"], name=name)]
        for node in nodes:
            node.input[0] = f"{name}/scaled"
    return dataclasses.replace(one, folded=folded or OWN)


def _fold(model, one, count, held):
    """Divide the constants of the norm that makes a tensor; the operator that now divides, or "" if none can."""
    users, makers = walk.users(model), walk.producers(model)
    outputs = {value.name for value in model.graph.output}

    def maker(tensor, count):
        """The node that makes a tensor which `count` nodes read, each once, and nothing else."""
        readers = users.get(tensor, ())
        reads = sum(list(model.graph.node[k].input).count(tensor) for k in readers)
        alone = len(readers) == reads == count and tensor not in outputs
        return model.graph.node[makers[tensor]] if alone and tensor in makers else None

    node, shifted = maker(one.tensor, count), None
    if node is not None and node.op_type == "Add" and (place := _per_channel(node, held, len(one.scale))) is not None:
        shifted, node = (node, place), maker(node.input[1 - place], 1)
    if node is None or node.domain not in walk.STANDARD:
        return ""
    if node.op_type == "Mul" and (place := _per_channel(node, held, len(one.scale))) is not None:
        changed = [(node, place)] + ([shifted] if shifted else [])
    elif node.op_type in NORMS and not shifted and walk.attributes(node).get("axis", -1) == -1:
        changed = [(node, k) for k in range(1, len(node.input)) if node.input[k]]
    else:
        return ""
    if not all(part.input[k] in held and held[part.input[k]].dtype == np.float32 for part, k in changed):
        return ""
    for part, k in changed:
        part.input[k] = _constant(
            model, held, held[part.input[k]] / one.scale, f"{one.tensor}/smooth/{part.op_type}_{k}"
        )
    return node.op_type


def _per_channel(node: onnx.NodeProto, held: Mapping[str, np.ndarray], size: int) -> int | None:
    """Which input of a Mul or an Add is a constant with a number for each channel of the last axis; None for none."""
    places = [k for k, name in enumerate(node.input) if name in held and held[name].shape[-1:] == (size,)]
    return places[0] if len(places) == 1 and held[node.input[places[0]]].size == size else None


def _constant(model, held, array, name):
    while name in held:  # of a graph that was smoothed before
        name += "_"
    held[name] = np.ascontiguousarray(array, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(held[name], name))
    return name
