"""A picture of a part of an ONNX graph: which operators, in what order, with which shapes."""

from collections import defaultdict
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from helpers.display.drawing import draw
from helpers.display.pictures import Picture
from helpers.display.style import INK, picture
from helpers.display.told import told
from helpers.errors import BadInput

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

    from onnx import ModelProto

FAMILIES = {
    "convolution": ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool"),
    "matrix product": ("Gemm", "MatMul", "Einsum"),
    "normalization, activation": (
        "BatchNormalization",
        "LayerNormalization",
        "Relu",
        "Sigmoid",
        "Softmax",
        "Gelu",
        "Erf",
    ),
    "quantize / dequantize": ("QuantizeLinear", "DequantizeLinear"),
    "gather, sample": ("Gather", "GatherElements", "GatherND", "GridSample", "ScatterND", "TopK"),
}


@told
def graph_picture(
    model_or_path: "ModelProto | str | os.PathLike[str]", nodes: "Collection[str] | None" = None, max_nodes: int = 20
) -> Picture:
    """Draw a part of an ONNX graph: the neighborhood of the named `nodes`, at most `max_nodes` of them, top to bottom.

    Without `nodes` it starts at the first custom operator, or else at the first node. Boxes are colored by the kind of
    operator; weights and constants are left out, edges carry the tensor's shape where the file states it, and "…" marks
    where the graph goes on. Returns a `Picture` (PNG).
    """
    from helpers.graph.file import read  # onnx, which other pictures do without

    graph = read(model_or_path, weights=False).graph
    operators = [node for node in graph.node if node.op_type != "Constant"]
    if not operators:
        raise BadInput(graph.name or "graph", "no operators", "a graph with nodes", "export the model again")
    makers = {tensor: i for i, node in enumerate(operators) for tensor in node.output if tensor}
    chosen = _neighborhood(operators, makers, _start(operators, nodes), max_nodes)
    items, edges = _items(graph, operators, chosen)
    figure, axes = draw(items, edges, _shapes(graph))
    shown = f"{len(chosen)} of {len(operators)} operators"
    axes.set_title(f"{graph.name or 'graph'}: {shown}", loc="left", fontsize=10, color=INK)
    order = ", ".join(operators[i].op_type for i in chosen)
    return picture(figure, f"Drawing of the graph {graph.name or 'without a name'}, {shown}: {order}")


def _reads(node):
    """Names that a node reads, those that its bodies capture included."""
    from helpers.graph.walk import node_inputs  # onnx, which other pictures do without

    return node_inputs(node)


def _is_custom(node):
    return node.domain not in ("", "ai.onnx")


def _start(operators, names):
    if names is None:
        return [i for i, node in enumerate(operators) if _is_custom(node)][:1] or [0]
    index = {node.name: i for i, node in enumerate(operators)}
    unknown = [name for name in names if name not in index]
    if unknown:
        some = ", ".join(list(index)[:5])
        raise BadInput("nodes", unknown, f"names of nodes in the graph, such as {some}", "pass names of its node list")
    return [index[name] for name in names]


def _neighborhood(operators, makers, start, most):
    """Indices of at most `most` operators: `start` and the nearest to it, in graph order.

    A step away from an operator counts as the square of its number of neighbors, so that a tensor which everything
    reads does not pull in all its readers.
    """
    near = defaultdict(set)
    for i, node in enumerate(operators):
        for tensor in _reads(node):
            if tensor in makers:
                near[i].add(makers[tensor])
                near[makers[tensor]].add(i)
    chosen, queue = set(), [(0, i) for i in start]
    while queue and len(chosen) < most:
        far, i = heappop(queue)
        if i not in chosen:
            chosen.add(i)
            for k in near[i] - chosen:
                heappush(queue, (far + len(near[i]) ** 2, k))
    return sorted(chosen)


def _items(graph, operators, chosen):
    """What to draw, in topological order, as (text, color), and {(a, b): tensor} between them."""
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {tensor for node in graph.node if node.op_type == "Constant" for tensor in node.output}
    given = [value.name for value in graph.input if value.name not in weights]
    readers, made = defaultdict(list), {tensor for i in chosen for tensor in operators[i].output if tensor}
    for i, node in enumerate(operators):
        for tensor in _reads(node):
            readers[tensor].append(i)
    wanted = dict.fromkeys(t for i in chosen for t in _reads(operators[i]) if t not in weights and t not in made)
    results = {value.name for value in graph.output}
    items = [(tensor, "input") if tensor in given else ("…", "more") for tensor in wanted]
    source = {tensor: k for k, tensor in enumerate(wanted)}
    place = {i: len(items) + k for k, i in enumerate(chosen)}
    items += [(_title(operators[i]), _family(operators[i])) for i in chosen]
    edges = {}
    for i in chosen:
        source.update((tensor, place[i]) for tensor in operators[i].output if tensor)
        edges.update(((source[t], place[i]), t) for t in _reads(operators[i]) if t in source)
    for tensor in [t for i in chosen for t in operators[i].output]:
        outside = any(reader not in place for reader in readers[tensor])
        if tensor in results or outside:
            edges[source[tensor], len(items)] = tensor
            items.append((tensor, "output") if tensor in results else ("…", "more"))
    return items, edges


def _title(node, longest=28):
    """Operator, and below it the end of the node's name, less a last part that only repeats the operator."""
    parts = [part for part in node.name.split("/") if part]
    name = "/".join((parts[:-1] if parts[-1:] == [node.op_type] else parts)[-2:])
    return f"{node.op_type}\n{name if len(name) <= longest else '…' + name[1 - longest :]}" if name else node.op_type


def _family(node):
    if _is_custom(node):
        return "custom operator"
    return next((family for family, types in FAMILIES.items() if node.op_type in types), "other")


def _shapes(graph):
    """Tensor name -> "1×6×3" for every tensor whose shape the file states."""
    shapes = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            shapes[value.name] = "×".join(map(_dimension, dims)) or "scalar"
    return shapes


def _dimension(dimension):
    """The size, or its name unless shape inference made that up."""
    name = dimension.dim_param
    return str(dimension.dim_value or ("?" if name.startswith("unk__") else name) or "?")
