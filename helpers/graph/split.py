"""Cuts a graph in two that run one after the other, such as a backbone and what reads its features. No torch."""

import fnmatch
from collections.abc import Iterable
from pathlib import Path

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, check_distinct
from helpers.graph.edit import subgraph
from helpers.graph.file import load
from helpers.graph.walk import node_inputs


@typed
def split(source: PathLike, patterns: Iterable[str], before: PathLike, after: PathLike) -> list[str]:
    """Write what the nodes of some names compute to `before` and the rest of the graph to `after`.

    Args:
        patterns: of node names; `*` stands for any text.

    Returns:
        Names of the tensors that pass from one to the other: the outputs of `before`, among the inputs of `after`.

    Raises:
        BadInput: no node of such a name, or nothing but them; an output of the graph that they make; two files that are
            one.
    """
    check_distinct(before, source, after)
    check_distinct(after, source)
    model, patterns = load(source), list(patterns)
    chosen = [any(fnmatch.fnmatchcase(node.name, pattern) for pattern in patterns) for node in model.graph.node]
    if all(chosen) or not any(chosen):
        found = "all nodes" if any(chosen) else "no node"
        raise BadInput(f"{source}: {', '.join(patterns)}", found, "some of the nodes", "see python -m helpers graph")
    first, rest = ([node for node, one in zip(model.graph.node, chosen, strict=True) if one == kind]
                   for kind in (True, False))  # fmt: skip
    made, outputs = {name for node in first for name in node.output}, [value.name for value in model.graph.output]
    if both := sorted(made & {*outputs}):
        raise BadInput(f"{source}: {', '.join(patterns)}", f"make {', '.join(both)}", "no output of the graph",
                       "choose nodes that come earlier")  # fmt: skip
    border = list(dict.fromkeys(name for node in rest for name in node_inputs(node) if name in made))
    inputs = [value.name for value in model.graph.input]
    subgraph(model, Path(before), inputs, border)
    subgraph(model, Path(after), [*inputs, *border], outputs)
    return border
