"""How `helpers.precision` looks for the first bad tensor: in order, or by bisection from the outputs up."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np
from onnx import helper

from helpers import graph
from helpers.errors import BadInput
from helpers.graph.part import Block
from helpers.graph.types import count
from helpers.graph.walk import ancestors
from helpers.precision.errors import METRICS, Error, undefined
from helpers.precision.runners import Arrays, Runner

CHUNK_BYTES = 256 << 20  # of every runner's tensors that are held at a time


class Comparison:
    """The errors of named tensors over all frames, measured when asked for.

    Args:
        reference, candidate: runners.
        feeds: inputs of every frame.
        tolerance, options: as of `helpers.precision.first_divergence`.

    Attributes:
        names: tensors that both runners have, in graph order.
        known: those of them that may bound what is blamed for a fault.
        errors: name -> `Error`, the worst frame.
        undefined: name -> (share of its elements that are NaN in both runners, the first such frame).
        probes: number of probes of the candidate.
        hides, refused, notes, log: as of `Divergence`; empty where a probe changes nothing.
    """

    def __init__(self, reference: Runner, candidate: Runner, feeds: list[Arrays], tolerance: float, options):
        self.metric = METRICS[options.metric]
        self.reference, self.candidate, self.feeds = reference, candidate, feeds
        self.tolerance, self.overrides = tolerance, options.overrides
        model = reference.model or candidate.model
        if model is None:
            raise BadInput("runners", "neither has a graph", "one that has", "compare with an ONNX file")
        self.model = model
        shared = set(reference.names) & set(candidate.names)
        self.names = [name for node in self.model.graph.node for name in node.output if name in shared]
        if not self.names:
            examples = f"{list(reference.names)[:2]} and {list(candidate.names)[:2]}"
            raise BadInput("names of tensors", f"none in common, e.g. {examples}", "two forms of one network",
                           "export both from the same module, or keep the names when editing")  # fmt: skip
        self.known = set(self.names)
        self.outputs = [value.name for value in self.model.graph.output if value.name in shared]
        self.errors, self.undefined, self.probes = {}, {}, 0
        self.hides, self.refused, self.notes, self.log = [], [], [], []

    def allowed(self, name: str) -> float:
        return [self.tolerance, *(t for pattern, t in self.overrides.items() if fnmatchcase(name, pattern))][-1]

    def exceeds(self, name: str, error: Error) -> bool:
        return not error.relative <= self.allowed(name)

    def bad(self, name: str) -> bool:
        return self.exceeds(name, self.errors[name])

    def measure(self, names: Iterable[str]) -> bool:
        """Fill in the errors of `names`: the worst frame of each; False if the probe says nothing of them."""
        names = [name for name in names if name not in self.errors]
        if not names:
            return True
        self.probes += 1
        a, b = self.candidate.probe(names), self.reference.probe(names)
        for index, feed in enumerate(self.feeds):
            ours, theirs = a(feed), b(feed)
            for name in names:
                self.add(self.errors, name, ours.pop(name), theirs.pop(name), index)
        return True

    def add(self, errors: dict[str, Error], name: str, ours: np.ndarray, theirs: np.ndarray, frame: int) -> None:
        """Put the error of one frame into `errors` if it is the worst so far, and note what is NaN in both."""
        if share := undefined(ours, theirs):
            self.undefined.setdefault(name, (share, frame))
        error = self.metric(ours, theirs, self.allowed(name), frame)
        errors[name] = max(errors.get(name, error), error, key=lambda e: e.relative)

    def arrays(self, names: list[str], feed: Arrays) -> tuple[Arrays, Arrays]:
        """(the reference's, the candidate's) arrays of `names` by name."""
        return self.reference.probe(names)(feed), self.candidate.probe(names)(feed)

    def same_engine(self, names: list[str]) -> bool:
        """Whether the candidate's values of `names` are of one engine, which is another one for every probe."""
        return False

    def worst(self) -> tuple[str, float]:
        name = max(self.errors, key=lambda n: self.errors[n].relative / max(self.allowed(n), 1e-30))
        return name, self.errors[name].relative

    def walk(self, names: Iterable[str]) -> str | None:
        """The first bad one of `names`, or None."""
        for chunk in self._chunks(names):
            self.measure(chunk)
            for name in chunk:
                if self.bad(name):
                    return name
        return None

    def _chunks(self, names):
        types, chunk, size = graph.tensor_types(self.model), [], 0
        for name in names:
            dtype, shape = types.get(name, (0, None))
            width = helper.tensor_dtype_to_np_dtype(dtype).itemsize if dtype else 4
            elements = count(shape)
            size += (2**18 if elements is None else elements) * width
            chunk.append(name)
            if size > CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def bisect(self) -> str | None:
        """A bad tensor whose compared inputs are good, found from the outputs up; None if all outputs are good."""
        self.measure(self.outputs)
        above = ancestors(self.model, self.names)
        bad = [name for name in self.outputs if self.bad(name)]
        if not bad:
            return None
        suspects = min((above[name] for name in bad), key=len)
        while len(suspects) > 1:
            inner = [name for name in self.names if name in suspects][:-1]
            name = min(inner, key=lambda n: abs(2 * len(above[n] & suspects) - len(suspects)))
            self.measure([name])
            suspects = above[name] & suspects if self.bad(name) else suspects - above[name]
        found = next(iter(suspects))
        return self._confirmed(found, above[found])

    def _confirmed(self, found, above):
        """`found` if the tensors that it is computed from are good, else the first bad one before it."""
        inputs = self.compared_inputs(found)
        self.measure(inputs)
        if any(self.bad(name) for name in inputs):
            return self.walk([name for name in self.names if name in above])
        return found

    def compared_inputs(self, name: str) -> list[str]:
        """The nearest tensors in `known` that `name` is computed from."""
        return [tensor for tensor in Block(self.model, name, self.known).inputs if tensor in self.known]
