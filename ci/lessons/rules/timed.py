"""A cell that measures time is tagged `timed`: it runs while no cell of another lesson does (helpers.turns)."""

import ast

from ci.lessons.cells import TIMED, tags
from ci.lessons.rules.code import parse

CLOCKS = {"latency", "compare", "compare_engines", "end_to_end"}  # of helpers.benchmark
CLOCKS |= {
    "perf_counter",
    "perf_counter_ns",
    "monotonic",
    "monotonic_ns",
    "process_time",
    "time",
    "timeit",
    "end_profiling",
}
SHOWN = {"build_seconds"}  # what was measured while something was made in the same cell


def walk(nodes):
    """What runs when the nodes do: not the bodies of functions that they define."""
    for node in nodes:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from walk(ast.iter_child_nodes(node))


def clocks_in(nodes, clocks):
    """The names of clocks that are called when the nodes run, and of measured times that they read."""
    for node in walk(nodes):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            if name in clocks:
                yield name
        elif isinstance(node, ast.Constant) and node.value in SHOWN:
            yield node.value


def clocks_of(trees):
    """The clocks that a lesson knows: the general ones, and its own functions that call one."""
    functions = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    clocks, before = CLOCKS - functions.keys(), None
    while clocks != before:
        before = clocks
        clocks = before | {name for name, node in functions.items() if any(clocks_in(node.body, before))}
    return clocks


def breaches(lesson, course):
    trees = {n: parse(c.source) for n, c in enumerate(lesson.notebook.cells, 1) if c.cell_type == "code"}
    trees = {number: tree for number, tree in trees.items() if tree is not None}
    clocks = clocks_of(trees.values())
    for number, tree in trees.items():
        found = sorted(set(clocks_in(tree.body, clocks)))
        if found and TIMED not in tags(lesson.notebook.cells[number - 1]):
            yield f"cell {number}: measures time ({', '.join(found)}): tag it '{TIMED}', and it runs alone"
