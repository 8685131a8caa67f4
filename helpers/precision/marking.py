"""One description of what computes in which type, and the two forms in which builders read it.

Marks are a dict, pattern of node names (fnmatch): "fp16" or "fp32", of which the last that fits counts; a node that no
pattern fits stays in FP32. Weak typing (TensorRT 8.6 and 10) reads precisions by layer name: `by_names` puts a suffix
behind the names that stay in FP32, so that one pattern finds them all. Strong typing (TensorRT 10, 11, RTX) reads the
types of the graph: `by_casts` writes them into it, and `helpers.precision.runners.OnnxRunner` then rounds on a CPU what
a GPU would round; ONNX Runtime by itself does not, where it has no kernel for FP16. `by_autocast` leaves the Casts to
ModelOpt, which puts them only where types change.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from glob import escape

import onnx
from onnx import TensorProto

from helpers import graph
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike
from helpers.graph import edit, walk
from helpers.precision import faults
from helpers.quantize import modelopt

Marks = Mapping[str, str]
KINDS = ("fp16", "fp32")
SUFFIX = "_FORCEFP32"  # as the published deployment of OmniDrive marks its graph
REST = "the rest"
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")  # their scales are measured in FP32 and stay so


def precision_of(name: str, marks: Marks) -> str:
    """The kind of the last pattern in `marks` that fits the whole name of a node; "fp32" if none does."""
    return next((kind for pattern, kind in reversed(list(marks.items())) if fnmatchcase(name, pattern)), "fp32")


def check_marks(marks: Marks, model: onnx.ModelProto) -> None:
    """BadInput for a kind that is none, or a pattern that no node of `model` fits: a marking does not fall silent."""
    names = [node.name for node in model.graph.node]
    if not names:
        raise BadInput("model", "a graph without a node", "nodes to mark", "mark the graph of a network")
    for pattern, kind in marks.items():
        if kind not in KINDS:
            raise BadInput(f"mark {pattern!r}", repr(kind), " or ".join(KINDS), "correct it")
        if not any(fnmatchcase(name, pattern) for name in names):
            fix = "correct the pattern, or leave it out"
            raise BadInput(f"mark {pattern!r}", "no node of such a name", f"names such as {names[0]}", fix)


@typed
def parts_of(model: onnx.ModelProto, parts: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Part -> names of its nodes in the graph's order; a node is of the first part that has a pattern which fits it.

    Args:
        parts: name -> patterns of node names (fnmatch). What fits none of them is "the rest".

    Raises:
        BadInput: a part without a node.
    """
    known = {part: tuple(patterns) for part, patterns in parts.items()}
    found: dict[str, list[str]] = {part: [] for part in (*known, REST)}
    for node in model.graph.node:
        fitting = (part for part, patterns in known.items() if any(fnmatchcase(node.name, each) for each in patterns))
        found[next(fitting, REST)].append(node.name)
    if empty := [part for part in known if not found[part]]:
        patterns = ", ".join(known[empty[0]])
        raise BadInput(f"part {empty[0]!r}", f"no node fits {patterns}", "some nodes", "correct its patterns")
    return {part: names for part, names in found.items() if names}


@typed
def keeping(nodes: Mapping[str, Iterable[str]], kept: Iterable[str]) -> dict[str, str]:
    """Marks that leave the parts `kept` in FP32 and everything else to FP16.

    Args:
        nodes: as `parts_of` returns them.
    """
    kept = list(kept)
    if unknown := [part for part in kept if part not in nodes]:
        raise BadInput("parts", repr(unknown[0]), f"some of {', '.join(nodes)}", "correct the name")
    return {"*": "fp16"} | {escape(name): "fp32" for part in kept for name in nodes[part]}


@typed
def by_names(model: onnx.ModelProto, marks: Mapping[str, str]) -> onnx.ModelProto:
    """A copy of `model` with `_FORCEFP32` behind the name of every node that stays in FP32; tensors keep their names.

    What is inside a node, such as a branch of an If, is marked as the node is. A node without a name gets one where it
    stays in FP32. Marks that `model` has already do not count.

    Raises BadInput as `check_marks`.
    """
    made = walk.copy(model)
    for node in walk.nested(made.graph.node):
        node.name = node.name.removesuffix(SUFFIX)
    check_marks(marks, made)
    for node in made.graph.node:
        if precision_of(node.name, marks) == "fp32":
            for each in walk.nested([node]):
                each.name = (each.name or "/".join((each.op_type, *each.output))) + SUFFIX
    return made


@typed
def by_casts(model: onnx.ModelProto, marks: Mapping[str, str]) -> onnx.ModelProto:
    """A copy of `model` with Casts around every node that goes to FP16; names and types of its tensors stay.

    Quantizers and nodes with a body stay in FP32 whatever the marks say. Raises BadInput as `check_marks`, where no
    node that computes with floating point goes to FP16, and where one that is to stay in FP32 has FP16 tensors.
    """
    check_marks(marks, model)
    _check_single(marks, model)
    kept = [escape(node.name) for node in model.graph.node
            if node.op_type in QUANTIZERS or precision_of(node.name, marks) == "fp32"]  # fmt: skip
    return faults.half(model, "*", keep=kept)


def _check_single(marks, model):
    """BadInput for a node that is to stay in FP32, and computes in FP16: a Cast out of it or into it is none."""
    halves = {name for name, (kind, _) in graph.tensor_types(model).items() if kind == TensorProto.FLOAT16}
    for node in model.graph.node if halves else ():
        if node.op_type != "Cast" and halves & {*node.input, *node.output} and precision_of(node.name, marks) == "fp32":
            fix = "mark the graph that is all in FP32"
            raise BadInput(f"node {node.name or node.output[0]}", "FP16 tensors", "FP32, as the marks say", fix)


@typed
def by_autocast(model: onnx.ModelProto, marks: Mapping[str, str]) -> onnx.ModelProto:
    """What ModelOpt's AutoCast makes of `model` where it may put into FP16 what `marks` do; it keeps more in FP32.

    AutoCast asks TensorRT about custom operators; so that it does without, they are replaced by their definitions.

    Raises:
        BadInput: as `by_casts`, or a graph that AutoCast does not take.
    """
    check_marks(marks, model)
    _check_single(marks, model)
    kept = [node for node in model.graph.node
            if node.op_type in QUANTIZERS or precision_of(node.name, marks) == "fp32"]  # fmt: skip
    # the nodes of a definition are named as their caller, with what follows
    patterns = [re.escape(node.name) + (r"(/\w+)?$" if node.domain else "$") for node in kept]
    return modelopt.autocast(edit.inlined(model), patterns)


@typed
def in_fp32(model: onnx.ModelProto) -> list[str]:
    """Names, without the suffix, of the nodes that a graph of `by_names` leaves in FP32."""
    return [node.name.removesuffix(SUFFIX) for node in model.graph.node if node.name.endswith(SUFFIX)]


@typed
def flags(path: PathLike) -> list[str]:
    """The words of `trtexec` that build a graph of `by_names` with weak typing."""
    return ["trtexec", f"--onnx={path}", "--fp16", "--precisionConstraints=obey", f"--layerPrecisions=*{SUFFIX}:fp32"]


@typed
def share(model: onnx.ModelProto, marks: Mapping[str, str]) -> float:
    """The share of the nodes that compute with floating point which `marks` puts into FP16."""
    known = graph.tensor_types(model)
    floats = {name for name, (kind, _) in known.items() if kind == TensorProto.FLOAT}
    names = [node.name for node in model.graph.node if floats & {*node.input, *node.output} and not walk.bodies(node)]
    return sum(precision_of(name, marks) == "fp16" for name in names) / len(names) if names else 0.0
