"""A picture of a part of an ONNX graph, drawn in layers, and Netron inside the notebook."""

import logging
import os
from collections import defaultdict
from heapq import heappop, heappush
from itertools import pairwise
from pathlib import Path

from helpers.display.layout import layered
from helpers.display.style import INK, MUTED, PALETTE, ink_on, new_figure, picture
from helpers.errors import BadInput

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
COLORS = {
    "custom operator": PALETTE[3],
    **dict(zip(FAMILIES, (PALETTE[0], PALETTE[4], PALETTE[2], PALETTE[6], PALETTE[1]), strict=True)),
    "other": "#D5D5D5",
    "input": "#FFFFFF",
    "output": "#FFFFFF",
}
WIDTH, HEIGHT, GAP_X, GAP_Y = 1.55, 0.38, 0.2, 0.36  # inches


def netron(path, height=500, live=None, nodes=None):
    """Show the graph in `path` in Netron, inside the notebook.

    With `live=True` a Netron server for this file starts on a free loopback port and an `IFrame` of `height` pixels
    shows it (Netron first asks for its cookies); that needs the browser to be on the same machine. With `live=False`
    the answer is `graph_picture(path, nodes)`, which stays readable in an executed copy. By default it is live where a
    Jupyter server started this kernel: it names the notebook in the kernel's environment, papermill and nbconvert do
    not.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(path, "no such file", "an ONNX file", "run the cell that exports it")
    if live is None:
        live = "JPY_SESSION_NAME" in os.environ
    if not live:
        return graph_picture(path, nodes)
    from IPython.display import IFrame

    host, port = _serve(str(path))
    return IFrame(f"http://{host}:{port}", width="100%", height=height)


_served = {}


def stop_netron():
    """Stop every Netron server that `netron` started."""
    import netron

    while _served:
        netron.stop(_served.popitem()[1])


def _serve(path):
    """Serve `path`, in place of its former server, without the INFO messages that netron turns on for every library."""
    import netron

    if path in _served:
        netron.stop(_served.pop(path))
    quiet, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(quiet)
    try:
        _served[path] = netron.start(path, address=("127.0.0.1", 0), browse=False)
    finally:
        root.removeHandler(quiet)
    return _served[path]


def graph_picture(model_or_path, nodes=None, max_nodes=20):
    """Draw a part of an ONNX graph: the neighbourhood of the named `nodes`, at most `max_nodes` of them, top to bottom.

    Without `nodes` it starts at the first custom operator, or else at the first node. Boxes are coloured by the kind of
    operator; weights and constants are left out, edges carry the tensor's shape where the file states it, and "…" marks
    where the graph goes on. Returns an `IPython.display.Image` (PNG).
    """
    graph = _load(model_or_path).graph
    operators = [node for node in graph.node if node.op_type != "Constant"]
    if not operators:
        raise BadInput(graph.name or "graph", "no operators", "a graph with nodes", "export the model again")
    makers = {tensor: i for i, node in enumerate(operators) for tensor in node.output if tensor}
    chosen = _neighbourhood(operators, makers, _start(operators, nodes), max_nodes)
    items, edges = _items(graph, operators, chosen)
    figure, axes = _draw(items, edges, _shapes(graph))
    _legend(axes, items)
    shown = f"{len(chosen)} of {len(operators)} operators"
    axes.set_title(f"{graph.name or 'graph'}: {shown}", loc="left", fontsize=10, color=INK)
    return picture(figure, f"Graph {graph.name}, {shown}: {', '.join(operators[i].op_type for i in chosen)}")


def _load(model_or_path):
    import onnx

    if isinstance(model_or_path, onnx.ModelProto):
        return model_or_path
    try:
        return onnx.load(model_or_path, load_external_data=False)
    except Exception as error:
        raise BadInput(model_or_path, f"not readable as ONNX ({error})", "an ONNX file", "export it again") from error


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


def _neighbourhood(operators, makers, start, most):
    """Indices of at most `most` operators: `start` and the nearest to it, in graph order.

    A step away from an operator counts as the square of its number of neighbours, so that a tensor which everything
    reads does not pull in all its readers.
    """
    near = defaultdict(set)
    for i, node in enumerate(operators):
        for tensor in node.input:
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
    """What to draw, in topological order, as (text, colour), and {(a, b): tensor} between them."""
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {tensor for node in graph.node if node.op_type == "Constant" for tensor in node.output}
    given = [value.name for value in graph.input if value.name not in weights]
    readers, made = defaultdict(list), {tensor for i in chosen for tensor in operators[i].output if tensor}
    for i, node in enumerate(operators):
        for tensor in dict.fromkeys(node.input):
            readers[tensor].append(i)
    wanted = dict.fromkeys(t for i in chosen for t in operators[i].input if t and t not in weights and t not in made)
    results = {value.name for value in graph.output}
    items = [(tensor, "input") if tensor in given else ("…", "more") for tensor in wanted]
    source = {tensor: k for k, tensor in enumerate(wanted)}
    place = {i: len(items) + k for k, i in enumerate(chosen)}
    items += [(_title(operators[i]), _family(operators[i])) for i in chosen]
    edges = {}
    for i in chosen:
        source.update((tensor, place[i]) for tensor in operators[i].output if tensor)
        edges.update(((source[t], place[i]), t) for t in operators[i].input if t in source)
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


def _draw(items, edges, shapes):
    rooms = [GAP_X + (0.85 if family == "more" else WIDTH) for _, family in items]
    x, layer, routes = layered(rooms, list(edges), slim=0.35)
    pitch = HEIGHT + GAP_Y
    bends = [at for route in routes.values() for at, _ in route]
    left = min([at - room / 2 for at, room in zip(x, rooms, strict=True)] + bends) - 0.1
    right = max([at + room / 2 for at, room in zip(x, rooms, strict=True)] + bends) + 0.1
    depth = max(layer) * pitch + HEIGHT
    figure, axes = new_figure(max(5.5, right - left), depth + 0.9)
    axes.set_axis_off()
    axes.set(xlim=(left, right), ylim=(-depth - 0.05, 0.05), aspect="equal")
    labelled = set()
    for edge, route in routes.items():
        points = [(px, -pl * pitch - HEIGHT / 2) for px, pl in route]
        _draw_edge(axes, points)
        tensor = edges[edge]
        if tensor in shapes and tensor not in labelled:
            labelled.add(tensor)
            at = 0.7 * points[0][0] + 0.3 * points[1][0], points[0][1] - HEIGHT / 2 - 0.3 * GAP_Y
            axes.text(
                *at,
                shapes[tensor],
                fontsize=6.5,
                color=MUTED,
                ha="center",
                va="center",
                zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )
    for (text, family), px, pl in zip(items, x, layer, strict=True):
        _draw_item(axes, text, family, px, -pl * pitch - HEIGHT / 2)
    return figure, axes


def _draw_edge(axes, points):
    """A smooth line from the bottom of the first box to the top of the last, vertical where it meets a layer."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    (x0, y0), (x1, y1) = points[0], points[-1]
    passed = [(x, y + side * HEIGHT / 2) for x, y in points[1:-1] for side in (1, -1)]
    points = [(x0, y0 - HEIGHT / 2), *passed, (x1, y1 + HEIGHT / 2)]
    vertices, codes = [points[0]], [Curve.MOVETO]
    for (ax, ay), (bx, by) in pairwise(points):
        middle = (ay + by) / 2
        vertices += [(ax, middle), (bx, middle), (bx, by)]
        codes += [Curve.CURVE4] * 3
    line = Curve(vertices, codes)
    axes.add_patch(FancyArrowPatch(path=line, arrowstyle="-|>", mutation_scale=7, color=MUTED, linewidth=0.9, zorder=1))


def _draw_item(axes, text, family, x, y):
    from matplotlib.patches import FancyBboxPatch

    if family == "more":
        axes.text(x, y, text, ha="center", va="center", fontsize=13, color=MUTED, fontweight="bold")
        return
    color = COLORS[family]
    ends = family in ("input", "output")
    box = FancyBboxPatch(
        (x - WIDTH / 2, y - HEIGHT / 2),
        WIDTH,
        HEIGHT,
        facecolor=color,
        edgecolor=MUTED if ends else color,
        linewidth=0.8,
        boxstyle=f"round,pad=0,rounding_size={0.2 if ends else 0.06}",
        zorder=2,
    )
    axes.add_patch(box)
    title, _, name = text.partition("\n")
    ink = ink_on(color)
    axes.text(
        x,
        y + (0.08 if name else 0),
        title,
        ha="center",
        va="center",
        fontsize=8 if len(title) < 22 else 5.8,
        fontweight="bold",
        color=ink,
        zorder=4,
    )
    axes.text(x, y - 0.1, name, ha="center", va="center", fontsize=5.8, color=ink, zorder=4)


def _legend(axes, items):
    from matplotlib.patches import Patch

    used = [family for family in COLORS if any(family == own for _, own in items)]
    patches = [Patch(facecolor=COLORS[family], edgecolor=MUTED, linewidth=0.5, label=family) for family in used]
    axes.legend(handles=patches, fontsize=7, frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, 0))
