"""What is known of a tensor that differs: its arrays in both runners, and the nodes that compute it."""

import numpy as np
import onnx

from helpers import graph
from helpers.graph.part import Block
from helpers.graph.walk import producers


class Evidence:
    """What the rules of `helpers.precision.hints` look at.

    Attributes:
        ours, theirs: tensor -> array of the candidate and of the reference on the worst frame: the bad tensor and what
            it is computed from.
        block, before: the nodes that compute it in the candidate, and in the reference (None for PyTorch).
        inner: tensor -> array of the candidate inside the block, in graph order ({} for an engine).
    """

    def __init__(self, comparison, name, error, theirs, ours):
        self.name, self.error, self.ours, self.theirs = name, error, ours, theirs
        self.tolerance = comparison.allowed(name)
        candidate, reference = comparison.candidate, comparison.reference
        self.weight_of = reference.weight_of
        self.model = candidate.model or comparison.model
        self.block = Block(self.model, name, comparison.known)
        self.definitions = reference.model or graph.with_functions(graph.drop_functions(self.model))
        self.before = Block(reference.model, name, comparison.known) if reference.model else None
        inside = [n for n in self.block.tensors if n != name and n in candidate.names] if candidate.any_tensor else []
        self.inner = candidate.probe(inside)(comparison.feeds[error.frame]) if inside else {}
        self.inner[name] = ours[name]

    def maker(self, name: str) -> onnx.NodeProto:
        """The node of the candidate that makes `name`, looking through Casts before and behind it."""
        made_by = producers(self.model)
        node = self.model.graph.node[made_by[name]]
        while node.op_type == "Cast" and node.input[0] in self.inner:
            node = self.model.graph.node[made_by[node.input[0]]]
        if node.op_type == "Cast" and np.asarray(self.inner[name]).dtype == np.float16:  # made for the node behind it
            return next((user for user in self.block.nodes if node.output[0] in user.input), node)
        return node

    def cast_to(self, name: str) -> str:
        """The tensor that both runners have and that a Cast of the candidate makes of `name`; else `name`."""
        users = [node for node in self.block.nodes if node.op_type == "Cast" and name in node.input]
        return next((node.output[0] for node in users if node.output[0] in self.theirs), name)
