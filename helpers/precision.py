"""Where two forms of a network part: the first tensor whose error exceeds its tolerance, and why.

`first_divergence` compares sides (`helpers.precision_sides`, `helpers.precision_torch`) and explains what it finds with
`helpers.precision_hints`. Faults to practise on are in `helpers.precision_faults`.
"""

import time
from fnmatch import fnmatchcase
from math import prod

import numpy as np
from onnx import helper

from helpers import graph
from helpers.errors import BadInput
from helpers.precision_errors import Range, measure
from helpers.precision_hints import Evidence, explain
from helpers.precision_report import Divergence, Input
from helpers.precision_sides import EngineSide, OnnxSide, make, producers_of
from helpers.precision_trace import Block, ancestors

__all__ = ["Divergence", "EngineSide", "Input", "OnnxSide", "first_divergence", "main"]

HISTORY = {"prev_bev": "bev_embed"}  # state input of the next frame <- output of this one
STRATEGIES = ("walk", "bisect")


def first_divergence(
    reference,
    candidate,
    frames,
    tolerance=1e-3,
    overrides=None,
    strategy=None,
    inside=False,
    history=None,
    memory=256,
):
    """Name the first tensor, in the graph's order, whose error exceeds its tolerance.

    The error of a tensor is max|a-b| / max|b| (a candidate, b reference), the worst of all frames; of integers and
    booleans it is the share that differs. A value that is finite on one side only is an infinite error, and so is
    another shape. Both sides get the reference's history, so one frame's fault does not spread to the next.

    Args:
        reference, candidate: a path or `onnx.ModelProto` (run in ONNX Runtime), a module of `helpers.models` (against
            the other's graph), an `EngineSide`, or any object with the attributes of `helpers.precision_sides`.
        frames: dicts name -> array, one per frame in order; history inputs may be left out (zeros at the start).
        tolerance: 1e-3 tells FP32 from a fault, FP16 needs about 1e-2.
        overrides: {pattern of tensor names: tolerance}; the last that matches counts.
        strategy: "walk" compares all tensors in order, in chunks of `memory` MiB per side, and stops at the first bad
            one. "bisect" (the default for an `EngineSide`) follows a bad output up the graph with about log2(n) probes;
            it assumes that errors do not heal on their way to the outputs, and walks through what lies before the
            tensor it finds if one of its inputs is bad too.
        inside: look inside the custom operators too (ONNX against ONNX).
        history: input name -> the output that feeds it on the next frame; `HISTORY` by default.

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
    comparison = _Comparison(reference, candidate, tolerance, overrides or {}, memory)
    comparison.feeds = _feeds(reference, list(frames), HISTORY if history is None else history)
    name = comparison.walk(comparison.names) if strategy == "walk" else comparison.bisect()
    result = Divergence(name is not None, strategy, len(comparison.errors), len(comparison.feeds), 0, 0.0)
    if name is not None:
        _describe(result, comparison, name)
    result.unmatched = getattr(reference, "unmatched", None) or getattr(candidate, "unmatched", {})
    result.worst = comparison.worst()
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


def _feeds(reference, frames, history):
    """All inputs of every frame: its own, and the history as the reference has it."""
    if not frames:
        raise BadInput("frames", "none", "at least one dict of arrays", "pass a list of frames")
    history = {name: source for name, source in history.items() if name in reference.inputs}
    state = {name: np.zeros(reference.inputs[name], np.float32) for name in history}
    run = reference.probe(list(history.values())) if history and len(frames) > 1 else None
    feeds = []
    for index, frame in enumerate(frames):
        feed = state | frame
        found = {name: np.shape(array) for name, array in feed.items()}
        fits = found.keys() == reference.inputs.keys() and all(
            len(found[name]) == len(shape) and all(s in (f, None) for f, s in zip(found[name], shape, strict=True))
            for name, shape in reference.inputs.items()
        )
        if not fits:
            raise BadInput(f"frame {index}", found, reference.inputs, "pass an array of this shape for every input")
        feeds.append(feed)
        if run and index < len(frames) - 1:
            outputs = run(feed)
            state = {name: outputs[source] for name, source in history.items()}
    return feeds


class _Comparison:
    """The errors of named tensors over all frames, measured when asked for."""

    def __init__(self, reference, candidate, tolerance, overrides, memory):
        self.reference, self.candidate = reference, candidate
        self.tolerance, self.overrides, self.memory = tolerance, overrides, memory
        self.model = reference.model or candidate.model
        shared = set(reference.names) & set(candidate.names)
        self.names = [name for node in self.model.graph.node for name in node.output if name in shared]
        if not self.names:
            examples = f"{list(reference.names)[:2]} and {list(candidate.names)[:2]}"
            raise BadInput("names of tensors", f"none in common, e.g. {examples}", "two forms of one network",
                           "export both from the same module, or keep the names when editing")  # fmt: skip
        self.errors, self.feeds, self.probes = {}, [], 0

    def allowed(self, name):
        return [self.tolerance, *(t for pattern, t in self.overrides.items() if fnmatchcase(name, pattern))][-1]

    def bad(self, name):
        return not self.errors[name].relative <= self.allowed(name)

    def measure(self, names):
        """Fill in the errors of `names`: the worst frame of each."""
        names = [name for name in names if name not in self.errors]
        if not names:
            return
        self.probes += 1
        a, b = self.candidate.probe(names), self.reference.probe(names)
        for index, feed in enumerate(self.feeds):
            ours, theirs = a(feed), b(feed)
            for name in names:
                error = measure(ours.pop(name), theirs.pop(name), self.allowed(name), index)
                self.errors[name] = max(self.errors.get(name, error), error, key=lambda e: e.relative)

    def worst(self):
        name = max(self.errors, key=lambda n: self.errors[n].relative / max(self.allowed(n), 1e-30))
        return name, self.errors[name].relative

    def walk(self, names):
        """The first bad one of `names`, or None."""
        for chunk in self._chunks(names):
            self.measure(chunk)
            for name in chunk:
                if self.bad(name):
                    return name
        return None

    def _chunks(self, names):
        known, chunk, size = graph.tensor_types(self.model), [], 0
        for name in names:
            dtype, shape = known.get(name, (0, None))
            width = helper.tensor_dtype_to_np_dtype(dtype).itemsize if dtype else 4
            size += prod(shape or [2**18]) * width
            chunk.append(name)
            if size > self.memory * 2**20:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def bisect(self):
        """A bad tensor whose compared inputs are good, found from the outputs up; None if all outputs are good."""
        outputs = [value.name for value in self.model.graph.output if value.name in set(self.names)]
        self.measure(outputs)
        above = ancestors(self.model, self.names)
        suspects = [above[name] for name in outputs if self.bad(name)]
        if not suspects:
            return None
        suspects = min(suspects, key=len)
        while len(suspects) > 1:
            inner = [name for name in self.names if name in suspects][:-1]
            name = min(inner, key=lambda n: abs(2 * len(above[n] & suspects) - len(suspects)))
            self.measure([name])
            suspects = above[name] & suspects if self.bad(name) else suspects - above[name]
        found = next(iter(suspects))
        return self._confirmed(found, above[found])

    def _confirmed(self, found, above):
        """`found` if the tensors that it is computed from are good, else the first bad one before it."""
        inputs = [name for name in Block(self.model, found, set(self.names)).inputs if name in set(self.names)]
        self.measure(inputs)
        if any(self.bad(name) for name in inputs):
            return self.walk([name for name in self.names if name in above])
        return found


def _describe(result, comparison, name):
    """Fill in what is known of the found tensor."""
    error, feed = comparison.errors[name], comparison.feeds[comparison.errors[name].frame]
    shared = set(comparison.names)
    block = Block(comparison.model, name, shared)
    names = [n for n in block.inputs if n in shared]
    theirs, ours = (side.probe([*names, name])(feed) for side in (comparison.reference, comparison.candidate))
    evidence = Evidence(comparison, name, error, feed | theirs, feed | ours)
    result.kind, result.hint, node = explain(evidence)
    node = node or comparison.model.graph.node[producers_of(comparison.model)[name]]
    result.tensor, result.frame, result.error, result.share = name, error.frame, error.relative, error.share
    result.tolerance, result.shape = comparison.allowed(name), theirs[name].shape
    result.node, result.op = node.name, node.op_type
    result.module = node.name.strip("/").rpartition("/")[0].replace("/", ".")
    result.between = [n.name for n in evidence.block.nodes]
    result.inputs = [_input(n, feed | ours, feed | theirs, comparison.allowed(n)) for n in [*block.inputs, name]]


def _input(name, ours, theirs, tolerance):
    a, b = ours[name], theirs[name]
    return Input(name, np.shape(b), Range.of(b), Range.of(a), measure(a, b, tolerance, 0).relative)


def main(argv):
    """`python -m helpers divergence REFERENCE.onnx CANDIDATE.onnx`."""
    from helpers import precision_command

    return precision_command.main(argv)
