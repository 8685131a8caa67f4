"""Runners of `helpers.precision` that are wrong where a test says so."""

from helpers.errors import BadInput
from helpers.precision import OnnxRunner, Runner
from tests.builders.graphs import chain


class Recorder(Runner):
    """Stands for an engine: it may be asked for a few tensors at a time, and nothing else is known of it."""

    strategy = "bisect"

    def __init__(self, model, wrong):
        """`wrong`: tensor -> factor."""
        self.right, self.wrong, self.asked = OnnxRunner(model), wrong, []
        self.inputs, self.outputs = self.right.inputs, self.right.outputs
        self.names, self.model = self.right.names, self.right.model

    def probe(self, names):
        self.asked.append(list(names))
        run = self.right.probe(names)
        return lambda feeds: {name: array * self.wrong.get(name, 1) for name, array in run(feeds).items()}


class FakeEngine(Runner):
    """`chain(length=10)`, wrong from tensor `fault` on unless marked outputs take that away.

    `built` has the marked outputs of every engine.
    """

    strategy, rebuilt = "bisect", True

    def __init__(self, fault=5, healed=lambda marked: False, refused=(), at_once=1):
        self.right = OnnxRunner(chain(length=10))
        self.inputs, self.names, self.outputs = self.right.inputs, self.right.names, self.right.outputs
        self.fault, self.healed, self.refused, self.at_once = fault, healed, refused, at_once
        self.built = []

    def probe(self, names):
        marked = set(names) - {"t9"}
        if marked & set(self.refused):
            raise BadInput("the network", "no implementation", "one", "mark another")
        if marked not in self.built:
            self.built.append(marked)
        factor = 1 if self.healed(marked) else 1.5
        run = self.right.probe(names)
        return lambda feeds: {n: a * (factor if int(n[1:]) >= self.fault else 1) for n, a in run(feeds).items()}
