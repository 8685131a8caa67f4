"""Where two forms of a network part: the first tensor whose error exceeds its tolerance, and why.

`first_divergence` compares two runners (`helpers.precision.runners`, `helpers.precision.pytorch`) and explains what it
finds with `helpers.precision.hints`. Faults to inject for practice are in `helpers.precision.faults`.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.graph.part import Block
from helpers.graph.walk import producers
from helpers.precision.errors import METRICS, Range
from helpers.precision.evidence import Evidence
from helpers.precision.frames import feeds_of
from helpers.precision.hints import explain
from helpers.precision.marked import MarkedComparison, Probe
from helpers.precision.report import Divergence, Input
from helpers.precision.runners import Arrays, EngineRunner, OnnxRunner, Runner
from helpers.precision.search import Comparison
from helpers.precision.trials import computed
from helpers.sequence import Step, as_steps

__all__ = ["Divergence", "EngineRunner", "Input", "OnnxRunner", "Options", "Runner", "first_divergence"]

STRATEGIES = ("walk", "bisect")
Form = Any  # a path, an `onnx.ModelProto`, a module of `helpers.models`, or a `Runner`


@typed
@dataclass(frozen=True)
class Options:
    """What is seldom changed in `first_divergence`.

    strategy: "walk" compares all tensors in order, in chunks of limited memory, and stops at the first bad one.
        "bisect" (what an `EngineRunner` wants) follows a bad output up the graph with about log2(n) probes; it assumes
        that errors do not heal on their way to the outputs, and walks through what lies before the tensor it finds if
        one of its inputs is bad too. Over engines it tells what marking tensors as outputs does to the fault: see
        `helpers.precision.marked`. None: the one that suits the candidate.
    overrides: {pattern of tensor names: tolerance}; the last that matches counts.
    metric: "max", or "rms" for the root mean square of a-b over that of b: for INT8, where single values jump.
    noise_reference: for an `EngineRunner`, a healthy runner that computes the same in another way, such as ONNX Runtime
        with its optimizations: half as much again as it is off by is allowed. Q/DQ graphs need it: roundings that fall
        to the other side add up, layer by layer.
    watch: function that is called with every `helpers.precision.marked.Probe` of an `EngineRunner`.
    """

    strategy: str | None = None
    overrides: Mapping[str, float] = field(default_factory=dict)
    metric: str = "max"
    noise_reference: Runner | None = None
    watch: Callable[[Probe], None] | None = None

    def __post_init__(self):
        if self.strategy not in (None, *STRATEGIES):
            raise BadInput("strategy", repr(self.strategy), f"one of {STRATEGIES}", "correct it")
        if self.metric not in METRICS:
            raise BadInput("metric", repr(self.metric), f"one of {list(METRICS)}", "correct it")
        for pattern, tolerance in self.overrides.items():
            check_tolerance(f"tolerance of {pattern}", tolerance)


DEFAULTS = Options()


def check_tolerance(where: str, tolerance: float) -> None:
    """BadInput for what no error can be compared with."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise BadInput(where, tolerance, "a number from 0 on, of the largest value", "pass one such as 1e-3")


@typed
def first_divergence(
    reference: Form,
    candidate: Form,
    frames: Iterable[Step | Arrays],
    states: Mapping[str, str] | None = None,
    tolerance: float = 1e-3,
    options: Options = DEFAULTS,
) -> Divergence:
    """Name the first tensor, in the graph's order, whose error exceeds its tolerance.

    The error of a tensor is max|a-b| / max|b| (a candidate, b reference), the worst of all frames; of integers and
    booleans it is the share that differs. A value that is finite in one runner only is an infinite error, and so is
    another shape. Both runners get the reference's states, so one frame's fault does not spread to the next. Where no
    tensor exceeds its tolerance, but one is not a number in both runners, that is the answer (`kind` "nan"): nothing
    can be said of it, nor of what is computed from it.

    Args:
        reference, candidate: a path or `onnx.ModelProto` (run in ONNX Runtime), a module of `helpers.models` (against
            the other's graph), or a `Runner`, such as an `EngineRunner`.
        frames: steps of `helpers.dataset.stream`, or dicts name -> array, one per frame in order.
        states: input name -> the output that feeds it on the next frame, such as `config.states`: zeros where a
            sequence begins. An input that the frames hold themselves is no state.
        tolerance: 1e-3 tells FP32 from a fault, FP16 needs about 1e-2.

    Returns:
        A `Divergence`; its `found` is False when nothing exceeds the tolerance and everything is a number.

    Raises:
        BadInput: a damaged file, runners with other inputs, no tensor in common, frames that do not fit or that are not
            numbers.
    """
    started = time.perf_counter()
    check_tolerance("tolerance", tolerance)
    reference, candidate = _runners(reference, candidate)
    strategy = options.strategy or candidate.strategy
    feeds = feeds_of(reference, list(as_steps(frames)), states or {})
    kind = MarkedComparison if candidate.rebuilt and strategy == "bisect" else Comparison
    comparison = kind(reference, candidate, feeds, tolerance, options)
    name = comparison.walk(comparison.names) if strategy == "walk" else comparison.bisect()
    result = Divergence(False, strategy, len(comparison.errors), len(feeds), 0, 0.0, comparison.worst())
    result.unmatched = dict(reference.unmatched or candidate.unmatched)
    result.hides, result.refused = comparison.hides, comparison.refused
    result.notes, result.log = comparison.notes, comparison.log
    if name is not None:
        _describe(result, comparison, name)
    elif comparison.undefined:
        _describe_undefined(result, comparison)
    result.probes, result.seconds = comparison.probes, time.perf_counter() - started
    return result


def _runners(reference, candidate):
    if isinstance(reference, Runner | str | Path | onnx.ModelProto):
        reference = make(reference)
        candidate = make(candidate, reference)
    else:
        candidate = make(candidate)
        reference = make(reference, candidate)
    if reference.inputs != candidate.inputs:
        raise BadInput("inputs of the candidate", candidate.inputs, f"those of the reference, {reference.inputs}",
                       "compare two forms of one network")  # fmt: skip
    return reference, candidate


def make(value: Form, other: Runner | None = None) -> Runner:
    """The runner for a path, an `onnx.ModelProto`, a runner, or a module, which needs the `other` runner's graph."""
    if isinstance(value, Runner):
        return value
    if isinstance(value, str | Path | onnx.ModelProto):
        return OnnxRunner(value)
    from helpers.precision.pytorch import TorchRunner  # torch, which graphs and engines do without

    return TorchRunner(value, other.model if other else None)


def _describe(result, comparison, name):
    """Fill in what is known of the tensor that exceeds its tolerance."""
    error, feed = comparison.errors[name], comparison.feeds[comparison.errors[name].frame]
    block = Block(comparison.model, name, comparison.known)
    names = [n for n in block.inputs if n in comparison.known]
    theirs, ours = comparison.arrays([*names, name], feed)
    evidence = Evidence(comparison, name, error, feed | theirs, feed | ours)
    result.kind, result.hint, node = explain(evidence)
    result.error, result.share = error.relative, error.share
    _locate(result, comparison, name, error.frame, node)
    result.shape = theirs[name].shape
    if comparison.same_engine([*names, name]):
        result.local = comparison.metric(ours[name], computed(evidence, feed | ours), result.tolerance, 0).relative
    result.between = [n.name for n in evidence.block.nodes]
    result.inputs = [_input(n, feed | ours, feed | theirs, comparison) for n in [*block.inputs, name]]


def _describe_undefined(result, comparison):
    """Fill in what is known of the first tensor that is not a number in both runners."""
    name = next(name for name in comparison.names if name in comparison.undefined)
    share, frame = comparison.undefined[name]
    _locate(result, comparison, name, frame)
    result.kind, result.error, result.share = "nan", math.nan, share
    result.hint = (
        f"{share:.2%} of its elements are NaN in both runners (and NaN is in {len(comparison.undefined)} tensors): "
        "nothing can be said of them; look at what this node divides, roots or takes the logarithm of"
    )


def _locate(result, comparison, name, frame, node=None):
    node = node or comparison.model.graph.node[producers(comparison.model)[name]]
    result.found, result.tensor, result.frame, result.tolerance = True, name, frame, comparison.allowed(name)
    result.node, result.op = node.name, node.op_type
    result.module = node.name.strip("/").rpartition("/")[0].replace("/", ".")


def _input(name, ours, theirs, comparison):
    a, b = ours[name], theirs[name]
    return Input(
        name, np.shape(b), Range.of(b), Range.of(a), comparison.metric(a, b, comparison.allowed(name), 0).relative
    )
