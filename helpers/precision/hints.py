"""Why a tensor may differ, in plain words: each rule looks at the nodes between the good inputs and the bad tensor."""

import itertools
from math import prod, sqrt

import numpy as np
import onnx
from onnx import numpy_helper

from helpers.graph.walk import attributes
from helpers.precision.errors import measure, number
from helpers.precision.evidence import Evidence
from helpers.precision.trials import repaired

HALF_MAX = 65504
HALF_NORMAL = 6.1e-5  # the smallest number with all bits
HALF_ROUNDING = 2.0**-11
LAYOUT = {"perm", "axis", "axes"}
LONG = 32  # terms of a sum from which the accumulator, not the operands, decides
MOVES = {
    "Slice",
    "Gather",
    "Reshape",
    "Transpose",
    "Concat",
    "Split",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Identity",
    "Cast",
}
DECISIONS = {"Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Round", "Floor", "Ceil", "ArgMax", "TopK"}


def explain(evidence: Evidence) -> tuple[str, str, onnx.NodeProto | None]:
    """(kind, text, node or None) by the first rule that applies."""
    rules = (_attributes, _constants, _overflow, _layout, _half, _decision, _carried, repaired, _size_of_half)
    found = next((hint for rule in rules if (hint := rule(evidence))), None)
    return found or ("other", "the runners compute this node differently from equal inputs: look at its type, its "
                     "attributes and the runtime's notes on the operator", None)  # fmt: skip


def _attributes(e):
    """Attributes that differ, of nodes of the same name or in the bodies of custom operators."""
    if e.before:
        same = {_key(node): node for node in e.before.nodes}
        for node in e.block.nodes:
            theirs, where = same.get(_key(node)), f"{node.op_type} {node.name}"
            if theirs and (hint := _different(theirs, node, where, node)):
                return hint
    bodies = {(f.domain, f.name): f for f in e.definitions.functions}
    for node in e.block.nodes:
        key = node.domain, node.op_type
        ours = next((f for f in e.model.functions if (f.domain, f.name) == key), None)
        if ours is None or key not in bodies:
            continue
        if [n.op_type for n in ours.node] != [n.op_type for n in bodies[key].node]:
            return "mode", f"the body of {node.op_type} has other operators than the reference's", node
        for theirs, inner in zip(bodies[key].node, ours.node, strict=True):
            if hint := _different(theirs, inner, f"{inner.op_type} in the body of {node.op_type}", node):
                return hint
    return None


def _key(node):
    """What tells that a node of the other graph is the same: its name, which need not be given, or its output."""
    return node.name or node.output[0]


def _different(theirs, ours, where, node):
    a, b = ({name: value for name, value in attributes(n).items() if name != "to"} for n in (ours, theirs))
    for name in [*b, *(name for name in a if name not in b)]:
        if str(a.get(name)) != str(b.get(name)):
            kind = "layout" if name in LAYOUT else "mode"
            what = "wrong axis" if kind == "layout" else "another mode"
            values = f"{name} is {_text(a.get(name))}, the reference has {_text(b.get(name))}"
            return kind, f"{what}: {where}: {values}", node
    return None


def _text(value):
    return value.decode() if isinstance(value, bytes) else "not set" if value is None else str(value)


def _constants(e):
    """Weights and constants that differ by more than the rounding to the candidate's type."""
    for node in e.block.nodes:
        for position, name in enumerate(node.input):
            if name not in e.block.constants or (theirs := _their_constant(e, node, position)) is None:
                continue
            ours = numpy_helper.to_array(e.block.constants[name])
            error = measure(ours, theirs.astype(ours.dtype), 0, 0).relative
            if error > (2 * HALF_ROUNDING if ours.dtype != theirs.dtype else 0):
                text = f"wrong constant: input {position} of {node.name}, {name}, differs by {number(error)}"
                return "constant", f"{text} of its largest value", node
    return None


def _their_constant(e, node, position):
    """The reference's constant at this input: of the node of the same name, or the module's weight; or None."""
    if e.before is None:
        return e.weight_of(node, position)
    same = next((n for n in e.before.nodes if _key(n) == _key(node) and position < len(n.input)), None)
    tensor = same and e.before.constants.get(same.input[position])
    return None if tensor is None else numpy_helper.to_array(tensor)


def _overflow(e):
    """Values that are not finite or at the end of half's range."""
    for name, array in e.inner.items():
        values = np.asarray(array)
        if values.dtype.kind != "f":
            continue
        half = values.dtype == np.float16
        count = int((~np.isfinite(values)).sum())
        largest = float(np.abs(np.where(np.isfinite(values), values, 0)).max()) if values.size else 0.0
        reference = e.theirs.get(e.cast_to(name))
        broken = count > 0 and (reference is None or np.isfinite(reference).all())
        if broken or (half and largest > 0.95 * HALF_MAX):
            node = e.maker(name)
            what = f"{count} values are not finite" if count else f"values reach {number(largest)}"
            limit = f"half ends at {HALF_MAX}"
            peak = "" if reference is None else f" (the reference reaches {number(np.abs(reference).max())})"
            return "overflow", f"overflow in {node.op_type} {node.name}: {what}{peak}; {limit}: keep it in FP32", node
    return None


def _layout(e):
    """The same values in another order."""
    a, b = (np.asarray(side[e.name]).astype(np.float64) for side in (e.ours, e.theirs))
    if a.size != b.size or a.size < 2 or b.min() == b.max():
        return None
    scale = np.abs(b).max()
    apart = np.abs(np.sort(a, None) - np.sort(b, None)).max()
    if a.shape == b.shape and apart > 1e-3 * np.abs(a - b).max():
        return None
    if apart > max(1e-5, e.tolerance / 10) * scale:
        return None
    text = "wrong layout: the same values in another order"
    for perm in itertools.permutations(range(b.ndim)) if b.ndim <= 5 else ():
        turned = b.transpose(perm)
        if turned.shape == a.shape and np.abs(turned - a).max() <= e.tolerance * scale:
            return "layout", f"{text}; the reference's axes {list(perm)} give the candidate's values", None
    return "layout", f"{text}{'' if a.shape == b.shape else f', shape {list(a.shape)} for {list(b.shape)}'}", None


def _half(e):
    """Nodes that compute in FP16."""
    for name, array in e.inner.items():
        node = e.maker(name)
        if np.asarray(array).dtype != np.float16 or node.op_type in MOVES:
            continue
        terms = _terms(e, node, array)
        if terms >= LONG:
            grows = f"a sum of {terms} terms loses about sqrt({terms}) x 2^-11 = {number(sqrt(terms) * HALF_ROUNDING)}"
            return "accumulate", f"accumulation in half in {node.op_type} {node.name}: {grows}; keep it in FP32", node
        bits = f"which keeps 11 bits (2^-11 = {number(HALF_ROUNDING)} per rounding)"
        if 0 < np.abs(e.theirs.get(e.cast_to(name), 1)).max() < HALF_NORMAL:
            bits = f"which has few bits left below {HALF_NORMAL}"
        text = f"{node.op_type} {node.name} runs in half, {bits}; keep it in FP32 if the tolerance has to hold"
        return "half", text, node
    return None


def _terms(e, node, output):
    """Number of products or values that one element of the node's output sums up."""
    shapes = [np.shape(e.inner[n] if n in e.inner else e.ours[n]) if n in e.inner or n in e.ours
              else tuple(e.block.constants[n].dims) if n in e.block.constants else () for n in node.input]  # fmt: skip
    if node.op_type in ("MatMul", "Gemm") and shapes[0]:
        transposed = node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute)
        return shapes[0][0 if transposed else -1]
    if node.op_type in ("Conv", "ConvTranspose"):
        return prod(shapes[1][1:])
    if node.op_type in ("ReduceSum", "ReduceMean", "GlobalAveragePool"):
        return prod(shapes[0]) // max(np.size(output), 1)
    return 1


def _decision(e):
    """A few elements that fell on the other side of a threshold or took another cell."""
    if e.error.share > 0.05:
        return None
    for node in e.block.nodes:
        nearest = _samples_nearest(node, e.model)
        if nearest or node.op_type in DECISIONS:
            what = "nearest-neighbor sampling took another cell" if nearest else "a comparison fell to the other side"
            where = f"{e.error.share:.2%} of the elements ({node.op_type} {node.name})"
            text = f"{what} for {where}: rounding at ties does this; a fault in the coordinates would move more"
            return "decision", text, node
    return None


def _samples_nearest(node, model):
    body = next((f.node for f in model.functions if (f.domain, f.name) == (node.domain, node.op_type)), [node])
    return any(a.name == "mode" and a.s == b"nearest" and n.op_type in ("GridSample", "Resize")
               for n in body for a in n.attribute)  # fmt: skip


def _carried(e):
    """An input that is already off, within its own tolerance."""
    errors = {name: measure(e.ours[name], e.theirs[name], 0, 0).relative for name in e.block.inputs if name in e.theirs}
    name = max(errors, key=lambda tensor: errors[tensor], default=None)
    if name is None or not errors[name] or errors[name] < e.tolerance / 20:
        return None
    text = (
        f"carried: {name} is already off by {number(errors[name])} (within its tolerance), and this node amplifies it"
    )
    return "carried", f"{text} {e.error.relative / errors[name]:.0f} times", None


def _size_of_half(e):
    """An engine does not say what it computed in; the size of the error does."""
    if len(e.inner) > 1 or not HALF_ROUNDING / 4 < e.error.relative < 0.05:
        return None
    node, terms = e.maker(e.name), _terms(e, e.maker(e.name), e.ours[e.name])
    kind, why = ("accumulate", f" summed over {terms} terms") if terms >= LONG else ("half", "")
    text = f"{node.op_type} {node.name} differs by what 11 bits give{why}: it probably ran in half (or TF32)"
    return kind, f"{text}; see the precision of this layer in the engine inspector", node
