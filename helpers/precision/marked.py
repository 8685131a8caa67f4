"""Bisection over engines with marked outputs, built anew for every probe, where marking may take the fault away.

A marked tensor is an output of the engine, so the builder does not fuse across it: what is measured is another engine.
Every probe therefore gives the network's own outputs as well. Where they have become right, the probe says nothing of
the marked tensors; they are set aside, and the search goes on around them.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from helpers.errors import BadInput
from helpers.graph.walk import ancestors
from helpers.precision.errors import number
from helpers.precision.runners import Arrays
from helpers.precision.search import Comparison

PATIENCE = 6  # probes that say nothing, after which the search ends
ABOVE_NOISE = 1.5  # times what the noise reference is off by


@dataclass
class Probe:
    """One engine: the marked tensors with their errors, the errors of the network's outputs, and what it says.

    `verdict` is "good" or "bad" (the worst of the marked tensors; without any, of the outputs), "hides" (the outputs
    are right with these marked), "nan" (not a number in both) or "refused" (by the builder; `reason` says why).
    `allowed` are the tolerances of all.
    """

    marked: dict
    outputs: dict
    seconds: float
    verdict: str
    allowed: dict
    reason: str = ""

    def __str__(self):
        marked, outputs = (
            ", ".join(
                f"{n} {'-' if e is None else f'{number(e)} of {number(self.allowed[n])}'}" for n, e in group.items()
            )
            for group in (self.marked, self.outputs)
        )
        text = f"{self.verdict}: {marked or 'nothing marked'}; outputs: {outputs or 'none'}; {self.seconds:.1f} s"
        return f"{text}; {self.reason}" if self.reason else text


class MarkedComparison(Comparison):
    """A `Comparison` whose candidate is another engine for every set of marked outputs.

    Attributes:
        hides: tensors that make the outputs right when they are marked.
        refused: tensors with which marked the builder makes no engine.
        notes: what a reader has to know before believing the result.
        log: every `Probe`; `options.watch` is called with each.
        noise_reference: as of `Options`: a tensor may be off by `ABOVE_NOISE` times what it is.
    """

    def __init__(self, reference, candidate, feeds, tolerance, options):
        super().__init__(reference, candidate, feeds, tolerance, options)
        self.noise_reference, self._noise = options.noise_reference, {}
        self._watch, self._at_once, self._target = options.watch, candidate.at_once, None
        self._expected, self._sources = {}, {}

    def allowed(self, name: str) -> float:
        return max(super().allowed(name), ABOVE_NOISE * self._noise.get(name, 0))

    def measure(self, names: Iterable[str]) -> bool:
        """Fill in the errors of `names`; False if the probe says nothing of them."""
        names = [name for name in names if name not in self.errors]
        return not names or self._accept(names, self._probe(names), names)

    def _accept(self, names, errors, suspected):
        """Keep `errors` if they are of an engine with the fault, else set the one suspected tensor aside."""
        if errors is not None and (self._target is None or self.exceeds(self._target, errors[self._target])):
            self.errors |= {name: errors[name] for name in names}
            self._sources |= dict.fromkeys(names, names)
            return True
        self._at_once = 1
        if len(suspected) == 1:
            (self.refused if errors is None else self.hides).extend(suspected)
            self.known -= set(suspected)
        return False

    def _probe(self, names):
        """name -> `Error` of `names` and of the outputs in one engine; None if the builder refuses it."""
        started, self.probes = time.perf_counter(), self.probes + 1
        marked = [name for name in names if name not in self.outputs]
        try:
            run = self.candidate.probe(self._wanted(names))
        except BadInput as error:
            if not marked:
                raise
            self._note(Probe(dict.fromkeys(marked), {}, time.perf_counter() - started, "refused", {}, str(error)))
            return None
        errors = self._errors(names, run)
        seconds = time.perf_counter() - started
        relative = {name: error.relative for name, error in errors.items()}
        judged = marked or self.outputs
        verdict = "nan" if self.undefined.keys() & set(judged) else "good"
        if any(self.exceeds(name, errors[name]) for name in judged):
            verdict = "bad"
        if self._target and not self.exceeds(self._target, errors[self._target]):
            verdict = "hides"
        found, outputs = ({n: relative[n] for n in group} for group in (marked, self.outputs))
        self._note(Probe(found, outputs, seconds, verdict, {name: self.allowed(name) for name in errors}))
        return errors

    def _errors(self, names, run):
        """The worst frame of every tensor that `run` gives; with a noise reference, also what that is off by."""
        expected, errors = self._reference(names), {}
        fresh = [name for name in self._wanted(names) if name not in self._noise] if self.noise_reference else []
        noisy = self.noise_reference.probe(fresh) if fresh else lambda feed: {}
        for index, feed in enumerate(self.feeds):
            ours, theirs = run(feed), expected(index, feed)
            for name, array in noisy(feed).items():
                found = self.metric(array, theirs[name], 0, index).relative
                self._noise[name] = max(self._noise.get(name, 0), found)
            for name in self._wanted(names):
                self.add(errors, name, ours[name], theirs[name], index)
        return errors

    def _wanted(self, names):
        return [*names, *(name for name in self.outputs if name not in names)]

    def _reference(self, names):
        """Function of (frame index, feed) to the reference's arrays; its outputs are computed once."""
        marked = [name for name in names if name not in self.outputs]
        run = self.reference.probe(marked) if marked else lambda feed: {}
        outputs = None if self._expected else self.reference.probe(self.outputs)

        def expected(index, feed):
            if outputs:
                self._expected[index] = outputs(feed)
            return self._expected[index] | run(feed)

        return expected

    def _note(self, probe):
        self.log.append(probe)
        if self._watch:
            self._watch(probe)

    def arrays(self, names: list[str], feed: Arrays) -> tuple[Arrays, Arrays]:
        """As `Comparison.arrays`; a tensor is taken from the engine that its error was measured in."""
        ours = {}
        for source in {tuple(self._sources[name]) for name in names}:
            found = self.candidate.probe(self._wanted(list(source)))(feed)
            ours |= {name: found[name] for name in names if tuple(self._sources[name]) == source}
        return self.reference.probe(names)(feed), ours

    def same_engine(self, names: list[str]) -> bool:
        return len({tuple(self._sources[name]) for name in names}) == 1

    def bisect(self) -> str | None:
        """As `Comparison.bisect`; what cannot be told apart because of marked outputs is told in `notes`."""
        self.measure(self.outputs)
        above = ancestors(self.model, self.names)
        bad = [name for name in self.outputs if self.bad(name)]
        if not bad:
            return None
        self._target = found = min(bad, key=lambda name: len(above[name]))
        while found:
            last = self._narrowed(found, above)
            found = self._bad_input(last)
        self._explain_marked(last)
        return last

    def _narrowed(self, target, above):
        """A bad tensor before `target`, or itself, of which no tensor that can be measured is a closer suspect."""
        suspects = above[target]
        while not self._out_of_patience():
            left = [name for name in self.names if name in suspects & self.known and name != target]
            if not left:
                break
            names = self._spread(left, suspects, above)
            if not self.measure(names):
                continue
            for name in names:
                if self.bad(name) and name in suspects:
                    target, suspects = name, above[name] & suspects
            for name in names:
                if not self.bad(name):
                    suspects = suspects - above[name]
        return target

    def _spread(self, names, suspects, above):
        """Up to `_at_once` of `names` that part the suspects evenly, from the outputs up."""
        shares = [len(suspects) * i / (self._at_once + 1) for i in range(self._at_once, 0, -1)]
        return list(dict.fromkeys(min(names, key=lambda n: abs(len(above[n] & suspects) - s)) for s in shares))

    def _bad_input(self, found):
        """The first bad one of the tensors that `found` is computed from, or None.

        They are measured in one engine with it; each in its own where that engine has no fault.
        """
        together = True
        while not self._out_of_patience():
            inputs = self.compared_inputs(found)
            worse = next((name for name in inputs if name in self.errors and self.bad(name)), None)
            if worse or not (together or any(name not in self.errors for name in inputs)):
                return worse
            if not together:
                self.measure([next(name for name in inputs if name not in self.errors)])
                continue
            together, names = False, [*inputs, found]
            if all(name in self.outputs for name in names):
                continue
            errors = self._probe(names)
            if errors is None or not self.exceeds(found, errors[found]) or not self._accept(names, errors, []):
                beside = f"with its inputs marked too ({', '.join(inputs)})"
                self.notes.append(f"{beside} the fault of {found} was not seen: {self.log[-1]}")
        return None

    def _out_of_patience(self):
        return len(self.hides) + len(self.refused) >= PATIENCE

    def _explain_marked(self, found):
        if self.hides:
            self.notes.append(f"the fault goes away when one of these is marked: {', '.join(self.hides)}")
        if self.refused:
            self.notes.append(f"no engine could be built with one of these marked: {', '.join(self.refused)}")
        if self._out_of_patience():
            self.known = {name for name in self.errors if name != found and not self.bad(name)}
            self.notes.append(f"{PATIENCE} marked tensors told nothing, so the search ended: the fault lies between "
                              f"the good tensors and {found}, not necessarily in its node")  # fmt: skip
