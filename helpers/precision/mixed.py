"""Which parts of a network bear half precision: one after the other, and the fewest that have to stay in FP32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx

from helpers.arguments import typed
from helpers.errors import BadInput, check_config
from helpers.precision import marking
from helpers.precision.errors import measure_rms
from helpers.precision.runners import OnnxRunner
from helpers.sequence import Arrays, Step, as_steps, rollout


class Trial(NamedTuple):
    """kept: parts in FP32, the others being in FP16. errors: output -> the worst of all frames; inf if not finite."""

    kept: tuple[str, ...]
    errors: dict[str, float]

    @property
    def error(self) -> float:
        """The worst of all outputs."""
        return max(self.errors.values())


class Mixed:
    """A graph over the same frames in whatever marking, with its memory, held against itself in FP32.

    Every node is rounded as marked, on the CPU, without optimizations. Sums are held in FP32 within a node, as tensor
    cores do; an engine may round in other places.

    Attributes:
        nodes: part -> names of its nodes, as of `marking.parts_of`.
        reference: outputs of every frame in FP32.
    """

    @typed
    def __init__(
        self,
        model: onnx.ModelProto,
        parts: Mapping[str, Iterable[str]],
        steps: Iterable[Step | Arrays],
        config: Any,
        seen: Callable[[Arrays], Arrays] | None = None,
    ) -> None:
        """Run the graph in FP32.

        Args:
            parts: name -> patterns of node names.
            steps: of `helpers.dataset.stream`; the memory is carried from one to the next.
            seen: what is compared, made of the outputs of a frame; None for all of them. Rows whose order nearly tied
                scores may change are to be left out, such as those of a memory.

        Raises:
            BadInput: no step, or a part without a node.
        """
        check_config(config, "states", "initial_states", "output_shapes")
        self.model, self.config, self.seen = model, config, seen or dict
        self.nodes, self.steps = marking.parts_of(model, parts), list(as_steps(steps))
        if not self.steps:
            raise BadInput("steps", "none", "at least one", "pass helpers.dataset.stream(frames, config)")
        self.reference = self._run(model)

    def outputs(self, marks: Mapping[str, str]) -> list[Arrays]:
        """All outputs of every frame with the graph marked so; FP32 alone without an "fp16" among the marks."""
        return self._run(marking.by_casts(self.model, marks)) if "fp16" in marks.values() else self.reference

    def trial(self, kept: Iterable[str]) -> Trial:
        """The parts `kept` in FP32 and all others in FP16."""
        kept = tuple(kept)
        if set(kept) >= set(self.nodes):
            return Trial(kept, self.errors(self.reference))
        return Trial(kept, self.errors(self.outputs(marking.keeping(self.nodes, kept))))

    def errors(self, found: list[Arrays]) -> dict[str, float]:
        """Of outputs: name -> root mean square of the error over that of FP32, the worst frame; inf if not finite."""
        worst: dict[str, float] = {}
        for ours, theirs in zip(map(self.seen, found), map(self.seen, self.reference), strict=True):
            for name, wanted in theirs.items():
                error = measure_rms(ours[name], wanted, 0.0, 0) if np.isfinite(ours[name]).all() else None
                worst[name] = max(worst.get(name, 0.0), error.relative if error else np.inf)
        return worst

    def _run(self, model):
        run = OnnxRunner(model).probe(list(self.config.output_shapes()))
        return [found for _, _, found in rollout(run, self.steps, self.config.states, self.config.initial_states())]


@typed
def sensitivity(mixed: Mixed) -> dict[str, Trial]:
    """Part -> what it does to the outputs when it alone is in FP16; the most harmful one first."""
    trials = {part: mixed.trial(other for other in mixed.nodes if other != part) for part in mixed.nodes}
    return dict(sorted(trials.items(), key=lambda item: -item[1].error))


@typed
def smallest(mixed: Mixed, tolerance: float, order: Iterable[str] | None = None) -> list[Trial]:
    """The search for few parts in FP32 with which no output is off by more than `tolerance`; its last trial has them.

    One part after the other goes to FP32, in `order`, until the outputs are right; then each that is there is tried in
    FP16 again, the first one last, and stays there if the outputs are still right. No part can be spared from the
    result, but another set may be smaller.

    Args:
        order: of the parts; that of `sensitivity`, the most harmful first, if None.

    Raises:
        BadInput: a tolerance that no marking meets: not even FP32 everywhere, but it is zero or less.
    """
    if not tolerance > 0:
        raise BadInput("tolerance", tolerance, "a number above 0", "pass one such as 1e-2")
    order = list(sensitivity(mixed) if order is None else order)
    kept: list[str] = []
    trials = [mixed.trial(kept)]
    for part in [*order, *(part for part in mixed.nodes if part not in order)]:
        if trials[-1].error <= tolerance:
            break
        kept.append(part)
        trials.append(mixed.trial(kept))
    for part in reversed(kept[:-1]):
        without = mixed.trial(each for each in kept if each != part)
        trials.append(without)
        if without.error <= tolerance:
            kept.remove(part)
    last = next(trial for trial in trials if trial.kept == tuple(kept))
    return [*trials, last] if trials[-1] is not last else trials
