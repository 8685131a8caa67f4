"""Reads and edits ONNX graphs: load with care, tables of what is inside, subgraphs, post-processing for plugins. No
torch.

Loading and saving are in `helpers.graph.file`, the tables in `helpers.graph.tables`; all are reached from here.
"""

import argparse
import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
import onnx.inliner
from onnx import TensorProto, helper

from helpers.errors import BadInput
from helpers.graph.file import (
    DIGEST,
    DOMAIN,
    PLUGINS,
    custom_nodes,
    digest,
    drop_functions,
    is_known,
    load,
    parse,
    read,
    save,
    unknown_operator,
    with_functions,
)
from helpers.graph.tables import cost_by_block, custom_ops, op_table, shapes, tensor_types
from helpers.graph.walk import all_nodes, attributes, initializers, part

__all__ = [
    "DIGEST",
    "DOMAIN",
    "PLUGINS",
    "cost_by_block",
    "custom_nodes",
    "custom_ops",
    "digest",
    "drop_functions",
    "load",
    "main",
    "op_table",
    "parse",
    "postprocess",
    "save",
    "shapes",
    "subgraph",
    "tensor_types",
    "with_functions",
]


def subgraph(path, out, inputs, outputs):
    """Write the part of a graph between the tensors `inputs` and `outputs` to `out`, with its functions. Returns `out`.

    Raises: BadInput for a tensor that does not exist, or outputs that need an input which is not listed.
    """
    model = read(path)
    known = tensor_types(model)
    for name in [*inputs, *outputs]:
        if name not in known:
            close = difflib.get_close_matches(name, known, 3, 0.4)
            raise BadInput(
                f"{path}: tensor {name}", "no such tensor", f"e.g. {', '.join(close)}", "see graph.shapes(model)"
            )
    del model.graph.value_info[:]
    listed = {value.name for value in [*model.graph.input, *model.graph.output]}
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, *known[name])
        for node in model.graph.node
        for name in node.output
        if name in known and name not in listed
    )
    part = onnx.utils.Extractor(model).extract_model(list(inputs), list(outputs))
    part.graph.name = Path(out).stem
    made = {name for node in part.graph.node for name in node.output} | {t.name for t in part.graph.initializer}
    needed = {name for node in part.graph.node for name in node.input if name} | set(outputs)
    if open_ends := sorted(needed - made - set(inputs)):
        raise BadInput(
            f"{path}: outputs {list(outputs)}", f"need {open_ends} too", "all inputs listed", "add them to inputs"
        )
    return save(part, out)


def cut(
    model: onnx.ModelProto,
    inputs: Iterable[str],
    outputs: Iterable[str],
    types: Mapping[str, tuple[int, list[int]]] | None = None,
) -> onnx.ModelProto:
    """The part of `model` that computes the tensors `outputs` from those of `inputs` that they need, as a model.

    Args:
        inputs: the graph's own, or tensors inside it, which need their `types` (as of `graph.tensor_types`).

    Raises: BadInput if `outputs` need an input that is not listed.
    """
    inputs, outputs, types = list(inputs), list(outputs), types or {}
    indices, begins = part(model, outputs, inputs)
    held, own = initializers(model), {value.name: value for value in model.graph.input}
    if missing := sorted(set(begins) - set(inputs) - set(held)):
        raise BadInput(f"outputs {outputs}", f"need {missing} too", "all inputs listed", "add them to inputs")
    begin = [name for name in inputs if name in begins]
    made = helper.make_graph(
        [model.graph.node[index] for index in indices],
        model.graph.name or "part",
        [helper.make_tensor_value_info(n, *types[n]) if n in types else own[n] for n in begin],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [held[name] for name in begins if name in held and name not in inputs],
    )
    return helper.make_model(
        made, functions=model.functions, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model`, to be changed."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def with_outputs(
    model: onnx.ModelProto, names: Iterable[str], types: Mapping[str, tuple[int, list[int]]]
) -> onnx.ModelProto:
    """A copy of `model` with the tensors `names` as outputs beside its own; `types` as of `graph.tensor_types`."""
    whole = copy(model)
    present = {value.name for value in whole.graph.output}
    whole.graph.output.extend(helper.make_tensor_value_info(n, *types[n]) for n in names if n not in present)
    return whole


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with its local functions inlined; the nodes of a body are named `<caller>/<operator>_<position>`."""
    named = {name: node for node in model.graph.node for name in node.output if name}
    flat = onnx.inliner.inline_local_functions(model)
    callers, caller = [], None
    for node in reversed(flat.graph.node):  # a body ends with what its caller makes
        caller = next((named[name] for name in node.output if name in named), caller)
        callers.insert(0, caller)
    position = Counter()
    for node, caller in zip(flat.graph.node, callers, strict=True):
        if (node.op_type, node.domain, node.name) != (caller.op_type, caller.domain, caller.name):
            stem = caller.name or caller.output[0]
            node.name = f"{stem}/{node.op_type}_{position[stem]}"
            position[stem] += 1
    return flat


def rounding_kept(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` with an Identity behind every FP16 tensor; the model itself if it has none.

    ONNX Runtime computes an operator that has no FP16 kernel in FP32 and then drops the Casts to FP16 and back between
    two such operators, and with them the rounding and the overflow that other runtimes have. An Identity keeps them.
    """
    if TensorProto.FLOAT16 not in _element_types(model):
        return model
    known, kept = tensor_types(model), copy(model)
    del kept.graph.node[:]
    for node in model.graph.node:
        kept.graph.node.append(node)
        node = kept.graph.node[-1]
        for i, name in enumerate(node.output):
            if known.get(name, (0, None))[0] == TensorProto.FLOAT16:
                node.output[i] = f"{name}/unrounded"
                kept.graph.node.append(helper.make_node("Identity", [node.output[i]], [name], f"{name}/Identity"))
    return kept


def _element_types(model):
    """Element types of constants, inputs and outputs, and those that Casts give."""
    types = {tensor.data_type for tensor in model.graph.initializer}
    types |= {value.type.tensor_type.elem_type for value in [*model.graph.input, *model.graph.output]}
    return types | {attributes(node).get("to") for node in all_nodes(model) if node.op_type == "Cast"}


def postprocess(path, out=None, functions=True):
    """Prepare a graph with custom operators for ONNX Runtime and plugins; returns the path of `*_post.onnx` (or `out`).

    Finds the custom nodes whatever domain they came in, moves them to `trt.plugins` (opset import 1), and fills the
    types and shapes of all tensors, by onnx-graphsurgeon. With `functions` the bodies stay attached, so that ONNX
    Runtime can run the file on a CPU; without them the plugin library has to be there.

    Raises: BadInput naming the first node of an operator that nothing defines.
    """
    import onnx_graphsurgeon as gs

    path = Path(path)
    model = parse(path)
    for node in custom_nodes(model):
        if not is_known(node, model):
            raise unknown_operator(path, node)
    bodies = list(model.functions)
    surgeon = gs.import_onnx(drop_functions(model))
    for node in surgeon.nodes:
        if node.op in PLUGINS:
            node.domain = DOMAIN
    surgeon.import_domains = [d for d in surgeon.import_domains if d.domain != DOMAIN] + [
        helper.make_opsetid(DOMAIN, 1)
    ]
    moved = gs.export_onnx(surgeon)
    moved.functions.extend(bodies)
    whole = with_functions(moved)
    tensors = surgeon.tensors()
    for name, (dtype, shape) in tensor_types(whole).items():
        if isinstance(tensor := tensors.get(name), gs.Variable):
            tensor.dtype, tensor.shape = helper.tensor_dtype_to_np_dtype(dtype), shape
    finished = gs.export_onnx(surgeon.toposort(), ir_version=model.ir_version)
    if functions:
        finished.functions.extend(whole.functions)
        present = {entry.domain for entry in finished.opset_import}
        finished.opset_import.extend(entry for entry in whole.opset_import if entry.domain not in present)
    return save(finished, out or path.with_name(f"{path.stem}_post.onnx"))


def _print(rows):
    columns = list(rows[0])
    cells = [columns, *([f"{row[c]:,}" if type(row[c]) is int else str(row[c]) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print()


def _brief(row):
    """A row of `custom_ops` that fits a terminal: shapes without tensor names."""
    shapes_only = {
        side: " ".join(f"[{text.rpartition('[')[2]}" for text in row[side]) for side in ("inputs", "outputs")
    }
    return {"op": row["op"], "node": row["node"]} | shapes_only | {"defined": row["defined"]}


def main(argv):
    """`python -m helpers graph FILE`: operators and custom operators; options for shapes, blocks and
    post-processing.
    """
    parser = argparse.ArgumentParser("python -m helpers graph", description=main.__doc__)
    parser.add_argument("file")
    parser.add_argument("--shapes", action="store_true", help="every tensor with its shape")
    parser.add_argument("--blocks", action="store_true", help="parameters and FLOPs by block")
    parser.add_argument("--depth", type=int, default=3, help="parts of the module path that make a block")
    parser.add_argument(
        "--postprocess", action="store_true", help="write FILE's *_post.onnx for ONNX Runtime and plugins"
    )
    arguments = parser.parse_args(argv)
    if arguments.postprocess:
        print(postprocess(arguments.file))
        return 0
    model = load(arguments.file)
    table = op_table(model)
    print(f"{arguments.file}: {sum(row['count'] for row in table)} nodes\n")
    _print(table)
    if custom := custom_ops(model):
        _print([_brief(row) for row in custom])
    if arguments.shapes:
        _print(shapes(model))
    if arguments.blocks:
        blocks = cost_by_block(model, arguments.depth)
        total = {key: sum(row[key] for row in blocks) for key in ("nodes", "parameters", "flops")}
        _print([*blocks, {"block": "total"} | total])
    return 0
