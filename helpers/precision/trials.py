"""A hint by trial: where there are no attributes to compare, try other axes until one makes the runners agree."""

import itertools

import numpy as np
import onnx
from onnx import helper

from helpers.errors import BadInput
from helpers.graph import edit, session, walk
from helpers.precision.errors import measure
from helpers.precision.evidence import Evidence
from helpers.precision.faults import SWAPPABLE, alternatives, with_attributes
from helpers.precision.runners import Arrays

TRIALS = 40


def repaired(e: Evidence) -> tuple[str, str, onnx.NodeProto] | None:
    """A node that makes the block agree when it takes another axis: tried out, where attributes cannot be compared."""
    if e.before or len(e.inner) == 1:
        return None
    feeds = {name: np.asarray(e.theirs[name]) for name in e.block.inputs}
    part = _part(e, e.model, feeds)
    for node, choice in itertools.islice(axes(e), TRIALS):
        try:
            made = _run(e, with_attributes(part, node.name, **choice), feeds)
        except BadInput:  # shapes that do not fit
            continue
        if measure(made, e.theirs[e.name], 0, 0).relative <= e.tolerance:
            ((name, value),) = choice.items()
            now = walk.attributes(node).get(name, "the default")
            text = f"wrong axis: {node.op_type} {node.name}: {name} is {now}; with {name} = {value} the runners agree"
            return "layout", text, node
    return None


def computed(e: Evidence, arrays: Arrays) -> np.ndarray:
    """The reference's nodes for the tensor, run on inputs from `arrays`."""
    block, whole = (e.before, e.definitions) if e.before else (e.block, e.model)
    feeds = {name: np.asarray(arrays[name]) for name in block.inputs}
    return _run(e, _part(e, whole, feeds), feeds)


def _part(e, whole, feeds):
    """What computes the tensor in the model `whole` from arrays like those of `feeds`."""
    types = {name: (helper.np_dtype_to_tensor_dtype(a.dtype), list(a.shape)) for name, a in feeds.items()}
    return edit.cut(whole, feeds, [e.name], types)


def _run(e, model, feeds):
    opened = session.open_session(model, "disable", where=e.name)
    return session.run(opened, None, feeds, e.name)[0]


def axes(e: Evidence) -> list[tuple[onnx.NodeProto, dict]]:
    """(node, other attributes), first those that keep the output's shape."""
    known = {name: (0, list(np.shape(array))) for name, array in (e.ours | e.inner).items()}
    nodes = [n for n in e.block.nodes if n.op_type in SWAPPABLE and all(x in known for x in (n.input[0], n.output[0]))]
    choices = [(node, choice) for node in nodes for choice in alternatives(node, known)]

    def changes_shape(item):
        node, choice = item
        before = known[node.input[0]][1]
        return node.op_type != "Softmax" and [before[i] for i in choice.get("perm", [])] != known[node.output[0]][1]

    return sorted(choices, key=changes_shape)
