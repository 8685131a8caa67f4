"""Where two forms of a network part: the first tensor whose error exceeds its tolerance, and why.

`first_divergence` compares sides (`helpers.precision.runners`, `helpers.precision.pytorch`) and explains what it finds
with `helpers.precision.hints`. Faults to practise on are in `helpers.precision.faults`.
"""

import time

import numpy as np

from helpers.errors import BadInput
from helpers.precision.errors import METRICS, Range
from helpers.precision.hints import Evidence, explain
from helpers.precision.marks import MarkedComparison
from helpers.precision.report import Divergence, Input
from helpers.precision.runners import EngineSide, OnnxSide, make, producers_of
from helpers.precision.search import Comparison
from helpers.precision.trace import Block
from helpers.precision.trials import computed
from helpers.sequence import as_steps, rollout

__all__ = ["Divergence", "EngineSide", "Input", "OnnxSide", "first_divergence"]

STRATEGIES = ("walk", "bisect")


def first_divergence(
    reference,
    candidate,
    frames,
    states=None,
    tolerance=1e-3,
    overrides=None,
    strategy=None,
    inside=False,
    memory=256,
    watch=None,
    metric="max",
    peer=None,
):
    """Name the first tensor, in the graph's order, whose error exceeds its tolerance.

    The error of a tensor is max|a-b| / max|b| (a candidate, b reference), the worst of all frames; of integers and
    booleans it is the share that differs. A value that is finite on one side only is an infinite error, and so is
    another shape. Both sides get the reference's states, so one frame's fault does not spread to the next.

    Args:
        reference, candidate: a path or `onnx.ModelProto` (run in ONNX Runtime), a module of `helpers.models` (against
            the other's graph), an `EngineSide`, or any object with the attributes of `helpers.precision.runners`.
        frames: steps of `helpers.dataset.stream`, or dicts name -> array, one per frame in order.
        states: input name -> the output that feeds it on the next frame, such as `config.states`: zeros where a
            sequence begins. An input that the frames hold themselves is no state.
        tolerance: 1e-3 tells FP32 from a fault, FP16 needs about 1e-2.
        overrides: {pattern of tensor names: tolerance}; the last that matches counts.
        strategy: "walk" compares all tensors in order, in chunks of `memory` MiB per side, and stops at the first bad
            one. "bisect" (the default for an `EngineSide`) follows a bad output up the graph with about log2(n) probes;
            it assumes that errors do not heal on their way to the outputs, and walks through what lies before the
            tensor it finds if one of its inputs is bad too. Over engines it tells what marking the tensors does to
            the fault: see `helpers.precision.marks`.
        inside: look inside the custom operators too (ONNX against ONNX).
        watch: function that is called with every `helpers.precision.marks.Probe` of an `EngineSide`.
        metric: "max", or "rms" for the root mean square of a-b over that of b: for INT8, where single values jump.
        peer: for an `EngineSide`, a side that is healthy and computes the same in another way, such as ONNX Runtime
            with its optimisations: half as much again as it is off by is allowed. Q/DQ graphs need it: roundings that
            fall to the other side add up, layer by layer.

    Returns:
        A `Divergence`; its `found` is False when nothing exceeds the tolerance.

    Raises:
        BadInput: a damaged file, sides with other inputs, no tensor in common, frames that do not fit.
    """
    started = time.perf_counter()
    reference, candidate = _sides(reference, candidate, inside)
    strategy = strategy or getattr(candidate, "strategy", "walk")
    if strategy not in STRATEGIES:
        raise BadInput("strategy", repr(strategy), f"one of {STRATEGIES}", "correct it")
    arguments = reference, candidate, tolerance, overrides or {}, memory, metric
    if metric not in METRICS:
        raise BadInput("metric", repr(metric), f"one of {list(METRICS)}", "correct it")
    rebuilt = getattr(candidate, "rebuilt", False) and strategy == "bisect"
    comparison = MarkedComparison(*arguments, watch=watch, peer=peer) if rebuilt else Comparison(*arguments)
    comparison.feeds = _feeds(reference, list(as_steps(frames)), states or {})
    name = comparison.walk(comparison.names) if strategy == "walk" else comparison.bisect()
    result = Divergence(name is not None, strategy, len(comparison.errors), len(comparison.feeds), 0, 0.0)
    if name is not None:
        _describe(result, comparison, name)
    result.unmatched = getattr(reference, "unmatched", None) or getattr(candidate, "unmatched", {})
    result.worst = comparison.worst()
    for attribute in ("hides", "refused", "notes", "log") if rebuilt else ():
        setattr(result, attribute, getattr(comparison, attribute))
    result.probes, result.seconds = comparison.probes, time.perf_counter() - started
    return result


def _sides(reference, candidate, inside):
    if hasattr(reference, "named_modules"):
        candidate = make(candidate, None, inside)
        return make(reference, candidate), candidate
    reference = make(reference, None, inside)
    candidate = make(candidate, reference, inside)
    if reference.inputs != candidate.inputs:
        raise BadInput("inputs of the candidate", candidate.inputs, f"those of the reference, {reference.inputs}",
                       "compare two forms of one network")  # fmt: skip
    return reference, candidate


def _feeds(reference, steps, states):
    """All inputs of every frame: its own, and the states as the reference has them."""
    if not steps:
        raise BadInput("frames", "none", "at least one dict of arrays", "pass a list of frames")
    given = {name for step in steps for name in step.feeds}
    carried = {name: source for name, source in states.items() if name in reference.inputs and name not in given}
    initial = {name: np.zeros(reference.inputs[name], np.float32) for name in carried}
    for index, step in enumerate(steps):
        _check_shapes(initial | step.feeds, reference.inputs, f"frame {index}")
    if not carried or len(steps) == 1:
        return [initial | step.feeds for step in steps]
    return [feeds for _, feeds, _ in rollout(reference.probe(list(carried.values())), steps, carried, initial)]


def _check_shapes(feeds, shapes, where):
    found = {name: np.shape(array) for name, array in feeds.items()}
    fits = found.keys() == shapes.keys() and all(
        len(found[name]) == len(shape) and all(s in (f, None) for f, s in zip(found[name], shape, strict=True))
        for name, shape in shapes.items()
    )
    if not fits:
        raise BadInput(where, found, shapes, "pass an array of this shape for every input")


def _describe(result, comparison, name):
    """Fill in what is known of the found tensor."""
    error, feed = comparison.errors[name], comparison.feeds[comparison.errors[name].frame]
    block = Block(comparison.model, name, comparison.known)
    names = [n for n in block.inputs if n in comparison.known]
    theirs, ours = comparison.arrays([*names, name], feed)
    evidence = Evidence(comparison, name, error, feed | theirs, feed | ours)
    result.kind, result.hint, node = explain(evidence)
    node = node or comparison.model.graph.node[producers_of(comparison.model)[name]]
    result.tensor, result.frame, result.error, result.share = name, error.frame, error.relative, error.share
    result.tolerance, result.shape = comparison.allowed(name), theirs[name].shape
    result.node, result.op = node.name, node.op_type
    result.module = node.name.strip("/").rpartition("/")[0].replace("/", ".")
    if comparison.same_engine([*names, name]):
        result.local = comparison.metric(ours[name], computed(evidence, feed | ours), result.tolerance, 0).relative
    result.between = [n.name for n in evidence.block.nodes]
    result.inputs = [_input(n, feed | ours, feed | theirs, comparison) for n in [*block.inputs, name]]


def _input(name, ours, theirs, comparison):
    a, b = ours[name], theirs[name]
    return Input(
        name, np.shape(b), Range.of(b), Range.of(a), comparison.metric(a, b, comparison.allowed(name), 0).relative
    )
