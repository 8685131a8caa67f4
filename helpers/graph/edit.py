"""Cuts and edits ONNX graphs: parts between named tensors, more outputs, inlined functions, post-processing."""

import contextlib
import difflib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import onnx
import onnx.inliner
from onnx import TensorProto, helper

from helpers.arguments import typed
from helpers.errors import BadInput, foreign
from helpers.files import PathLike
from helpers.graph.file import Model, check_output, name_of, parse, read, save
from helpers.graph.functions import (
    DOMAIN,
    FUNCTIONS,
    Definitions,
    attach_functions,
    check_known,
    definitions,
    drop_functions,
)
from helpers.graph.part import part
from helpers.graph.types import Shape, kind_of, tensor_types, values
from helpers.graph.walk import bodies, copy, element_types, initializers

Types = Mapping[str, tuple[int, Shape]]


@contextlib.contextmanager
def located(where: object) -> Iterator[None]:
    """A BadInput of the block also names `where`, the file."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{where}: {error.where}", error.found, error.expected, error.fix) from error


@typed
def subgraph(
    model: Model,
    out: PathLike,
    inputs: Iterable[str],
    outputs: Iterable[str],
) -> Path:
    """Write the part of a graph between the tensors `inputs` and `outputs` to `out`, with its functions. Returns `out`.

    Raises: BadInput for a tensor that does not exist, outputs that need an input which is not listed, or an `out` that
        is the file of the model.
    """
    where, inputs, outputs = name_of(model), _names("inputs", inputs), _names("outputs", outputs)
    if not outputs:
        raise BadInput("outputs", "none", "at least one tensor", "name where the part ends")
    if not isinstance(model, onnx.ModelProto):
        check_output(out, model)
    model = read(model)
    known = values(model, where)
    _check_ends(known, inputs, outputs, where)
    types = tensor_types(model, where)
    with located(where):
        made = cut(model, inputs, outputs, types)
    made.graph.name = Path(out).stem
    ends = {value.name for value in (*made.graph.input, *made.graph.output)}
    inside = [name for node in made.graph.node for name in node.output if name and name not in ends]
    made.graph.value_info.extend(known[name] for name in inside if known[name].HasField("type"))
    for value in made.graph.output:
        value.CopyFrom(known[value.name])
    return save(made, out)


def _names(what, names):
    """The names as a list without repetition; BadInput for a single text."""
    if isinstance(names, str):
        raise BadInput(what, repr(names), "a list of names", f"pass [{names!r}]")
    return list(dict.fromkeys(names))


def _check_ends(known, inputs, outputs, where):
    """BadInput for a name that no tensor of a graph has, and for an input that is a sequence or the like."""
    for name in (*inputs, *outputs):
        if name not in known:
            expected = f"e.g. {', '.join(difflib.get_close_matches(name, known, 3, 0.4))}"
            raise BadInput(f"{where}: tensor {name}", "no such tensor", expected, "see graph.shapes(model)")
    for name in inputs:
        if kind_of(known[name]) != "tensor":
            raise BadInput(f"{where}: input {name}", f"a {kind_of(known[name])}", "a tensor", "cut the graph behind it")


def cut(
    model: onnx.ModelProto, inputs: Iterable[str], outputs: Iterable[str], types: Types | None = None
) -> onnx.ModelProto:
    """The part of `model` that computes the tensors `outputs` from those of `inputs` that they need, as a model.

    Args:
        inputs: the graph's own, or tensors inside it, which need their `types` (as of `graph.tensor_types`).

    Raises: BadInput if `outputs` need an input that is not listed.
    """
    inputs, outputs, types = list(inputs), list(outputs), types or {}
    indices, begins = part(model, outputs, inputs)
    held, own = initializers(model), {value.name: value for value in model.graph.input}
    sparse = [tensor for tensor in model.graph.sparse_initializer if tensor.values.name in begins]
    constant = held.keys() | {tensor.values.name for tensor in sparse}
    if missing := sorted(set(begins) - set(inputs) - constant):
        raise BadInput(f"outputs {outputs}", f"need {missing} too", "all inputs listed", "add them to inputs")
    nodes = [model.graph.node[index] for index in indices]
    made = helper.make_graph(
        nodes,
        model.graph.name or "part",
        [helper.make_tensor_value_info(n, *types[n]) if n in types else own[n] for n in inputs if n in begins],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [held[name] for name in begins if name in held and name not in inputs],
        sparse_initializer=sparse,
    )
    return helper.make_model(
        made, functions=used(definitions(model), nodes), opset_imports=model.opset_import, ir_version=model.ir_version
    )


def used(functions: Definitions, nodes: Iterable[onnx.NodeProto]) -> list[onnx.FunctionProto]:
    """Those of `functions` that `nodes` need, at every depth, in the order in which they are met."""
    todo, found = deque(nodes), {}
    while todo:
        node = todo.popleft()
        todo += [inner for body in bodies(node) for inner in body.node]
        key = node.domain, node.op_type
        if key in functions and key not in found:
            found[key] = functions[key]
            todo += functions[key].node
    return list(found.values())


def with_outputs(model: onnx.ModelProto, names: Iterable[str], types: Types) -> onnx.ModelProto:
    """A copy of `model` with the tensors `names` as outputs beside its own; `types` as of `graph.tensor_types`."""
    whole = copy(model)
    present = {value.name for value in whole.graph.output}
    whole.graph.output.extend(helper.make_tensor_value_info(n, *types[n]) for n in names if n not in present)
    return whole


def inlined(model: onnx.ModelProto, where: object = "the model") -> onnx.ModelProto:
    """`model` with its local functions inlined; the nodes of a body are named `<caller>/<operator>_<position>`.

    Raises: BadInput that names `where`, if a function does not fit its nodes.
    """
    named = {name: node for node in model.graph.node for name in node.output if name}
    with foreign(where, "functions that fit their nodes", "correct the node or the function that is named"):
        flat = onnx.inliner.inline_local_functions(model)
    callers, caller = [], model.graph.node[-1]
    for node in reversed(flat.graph.node):  # a body ends with what its caller makes
        caller = next((named[name] for name in node.output if name in named), caller)
        callers.append(caller)
    position = Counter()
    for node, caller in zip(flat.graph.node, reversed(callers), strict=True):
        if (node.op_type, node.domain, node.name) != (caller.op_type, caller.domain, caller.name):
            stem = caller.name or caller.output[0]
            node.name = f"{stem}/{node.op_type}_{position[stem]}"
            position[stem] += 1
    return flat


def rounding_kept(model: onnx.ModelProto, where: object = "the model") -> onnx.ModelProto:
    """A copy of `model` with an Identity behind every FP16 tensor; the model itself if it has none.

    ONNX Runtime computes an operator that has no FP16 kernel in FP32 and then drops the Casts to FP16 and back between
    two such operators, and with them the rounding and the overflow that other runtimes have. An Identity keeps them.
    """
    if TensorProto.FLOAT16 not in element_types(model):
        return model
    known, kept = tensor_types(model, where), copy(model)
    del kept.graph.node[:]
    for node in model.graph.node:
        kept.graph.node.append(node)
        node = kept.graph.node[-1]
        for i, name in enumerate(node.output):
            if known.get(name, (0, None))[0] == TensorProto.FLOAT16:
                node.output[i] = f"{name}/unrounded"
                kept.graph.node.append(helper.make_node("Identity", [node.output[i]], [name], f"{name}/Identity"))
    return kept


@typed
def postprocess(path: PathLike, out: PathLike | None = None, functions: bool = True) -> Path:
    """Prepare a graph with custom operators for ONNX Runtime and plugins; returns the path of `*_post.onnx` (or `out`).

    Finds the custom nodes whatever domain they came in, moves them to `trt.plugins` (opset import 1), and fills the
    types and shapes of all tensors, by onnx-graphsurgeon. With `functions` the bodies stay attached, so that ONNX
    Runtime can run the file on a CPU; without them the plugin library has to be there.

    Raises: BadInput naming the first node of an operator that nothing defines, or an `out` that is `path`.
    """
    import onnx_graphsurgeon as gs

    path = Path(path)
    out = Path(out or path.parent / f"{path.stem}_post.onnx")
    check_output(out, path)
    model = parse(path)
    check_known(model, path)
    moved = copy(model)
    for node in moved.graph.node:
        if node.op_type in FUNCTIONS:
            node.domain = DOMAIN
    others = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    del moved.opset_import[:]
    moved.opset_import.extend([*others, helper.make_opsetid(DOMAIN, 1)])
    if functions:
        with located(path):
            attach_functions(moved)
    known = tensor_types(moved, path)
    with foreign(path, "a graph that onnx-graphsurgeon takes", "correct what is named, or export again"):
        surgeon = gs.import_onnx(drop_functions(moved))
        tensors = surgeon.tensors()
        for name, (dtype, shape) in known.items():
            if isinstance(tensor := tensors.get(name), gs.Variable) and dtype:
                tensor.dtype, tensor.shape = helper.tensor_dtype_to_np_dtype(dtype), shape
        finished = gs.export_onnx(surgeon.toposort(), ir_version=model.ir_version)
    if functions:
        finished.functions.extend(moved.functions)
        present = {entry.domain for entry in finished.opset_import}
        finished.opset_import.extend(entry for entry in moved.opset_import if entry.domain not in present)
    return save(finished, out)
