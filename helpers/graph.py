"""Reads and edits ONNX graphs: load with care, tables of what is inside, subgraphs, post-processing for plugins. No
torch.

Every function takes a path or an `onnx.ModelProto`; every table is a list of dicts, one per row. A *custom* node is
one that no ONNX schema defines. It is *defined* when the model carries a local function of its domain and name.
"""

import argparse
import difflib
import hashlib
from collections import Counter
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
from onnx import helper, numpy_helper, shape_inference

from helpers.errors import BadInput
from helpers.files import atomic

DOMAIN = "trt.plugins"
PLUGINS = ("MultiScaleDeformableAttnTRT2", "RotateTRT2")  # what helpers.ops defines and the plugin library implements
DIGEST = "onramp.sha256"
STANDARD = {"", "ai.onnx"}
PASSED_ON = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Cast", "Identity"}
EXPORT_AGAIN = "export or copy the file again"


# ---------------------------------------------------------------------------------------------------- load and save


def digest(model):
    """SHA-256 over the deterministic serialization of `model`, its own digest entry left out."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    kept = [entry for entry in model.metadata_props if entry.key != DIGEST]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def save(model, path):
    """Check `model`, write its digest into `metadata_props`, and write one file, whole or not at all. Returns the
    path.
    """
    entries = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, entries | {DIGEST: digest(model)})
    _check(model, path)
    with atomic(path) as part:
        onnx.save(model, part)
    return Path(path)


def load(path):
    """Read an ONNX file that can be trusted: parses, keeps its digest, passes onnx.checker, no unknown operator, no
    NaN.

    Raises: BadInput for a missing, truncated, damaged or foreign file, an operator nobody defines, or a NaN weight.
    """
    model = parse(path)
    for node in custom_nodes(model):
        if not _known(node, model):
            raise _unknown(path, node)
        if node.domain in STANDARD:
            fix = f"python -m helpers graph {path} --postprocess puts it into the domain {DOMAIN}"
            raise BadInput(f"{path}: node {node.name}", f"{node.op_type} in ONNX's own domain", DOMAIN, fix)
    _check(model, path)
    for tensor in model.graph.initializer:
        if _is_float(tensor.data_type) and np.isnan(numpy_helper.to_array(tensor).astype(np.float32)).any():
            raise BadInput(
                f"{path}: tensor {tensor.name}", "NaN", "finite weights", "check the checkpoint, " + EXPORT_AGAIN
            )
    return model


def parse(path):
    """Read a file as ONNX and compare its digest when it carries one. BadInput for anything that is not a whole
    ONNX file.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(path, "no such file", "an ONNX file", "check the path, or export the model first")
    size = f"{path.stat().st_size} bytes that"
    try:
        model = onnx.load(path)
    except Exception as error:
        raise BadInput(path, f"{size} do not parse as ONNX ({error})", "a whole ONNX file", EXPORT_AGAIN) from None
    if not model.graph.node or not model.opset_import:
        raise BadInput(path, f"{size} hold no ONNX graph", "a whole ONNX file", EXPORT_AGAIN)
    written = {entry.key: entry.value for entry in model.metadata_props}.get(DIGEST)
    if written is not None and written != (found := digest(model)):
        fix = f"{EXPORT_AGAIN}; if a tool edited it on purpose, seal it: graph.save(onnx.load(path), path)"
        raise BadInput(
            path, f"content of SHA-256 {found[:12]}… (changed bits)", f"{written[:12]}…, as it was written", fix
        )
    return model


def _check(model, where):
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise BadInput(
            where, str(error).strip().splitlines()[0], "a graph that passes onnx.checker", EXPORT_AGAIN
        ) from None


def _read(model):
    return model if isinstance(model, onnx.ModelProto) else parse(model)


# ------------------------------------------------------------------------------------------------- custom operators


def custom_nodes(model):
    """The nodes of the main graph that no ONNX schema defines, in graph order."""
    return [node for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)]


def drop_functions(model):
    """A copy of `model` without function bodies: custom nodes are left to a runtime's plugins."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    return bare


def with_functions(model):
    """A copy of `model` that defines the known plugins it uses, with the function bodies of `helpers.ops` (imports
    torch).
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    if any(
        node.domain == DOMAIN and node.op_type in PLUGINS and not _defined(node, model) for node in custom_nodes(model)
    ):
        from helpers.onnx_functions import attach_functions

        attach_functions(whole)
    return whole


def _defined(node, model):
    return any((function.domain, function.name) == (node.domain, node.op_type) for function in model.functions)


def _known(node, model):
    plugin = node.op_type in PLUGINS and node.domain in STANDARD | {DOMAIN}
    return plugin or _defined(node, model) or node.domain.startswith("com.microsoft")


def _unknown(path, node):
    found = f"operator {node.op_type} of domain {node.domain or 'ai.onnx'!r}, which nothing defines"
    fix = "attach a function that defines it (model.functions), or replace it with known operators"
    return BadInput(
        f"{path}: node {node.name or node.output[0]}", found, f"ONNX operators or {', '.join(PLUGINS)}", fix
    )


# ------------------------------------------------------------------------------------------------------------ tables


def op_table(model):
    """Operators by count: op, domain, count, kind (`onnx`, `function` for a custom one with its body, `plugin`
    without).
    """
    model = _read(model)
    custom = {(node.domain, node.op_type): _defined(node, model) for node in custom_nodes(model)}
    kinds = {None: "onnx", True: "function", False: "plugin"}
    counts = Counter((node.domain, node.op_type) for node in model.graph.node)
    return [
        {"op": op, "domain": domain, "count": count, "kind": kinds[custom.get((domain, op))]}
        for (domain, op), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def custom_ops(model):
    """Custom nodes one by one: node, op, domain, inputs and outputs as `name[shape]`, attributes, defined, known."""
    model = _read(model)
    known = _types(model)

    def named(names):
        return [f"{name}{known.get(name, (0, None))[1] or '[?]'}" for name in names]

    return [
        {
            "node": node.name,
            "op": node.op_type,
            "domain": node.domain,
            "inputs": named(node.input),
            "outputs": named(node.output),
            "attributes": {a.name: helper.get_attribute_value(a) for a in node.attribute},
            "defined": _defined(node, model),
            "known": _known(node, model),
        }
        for node in custom_nodes(model)
    ]


def shapes(model):
    """All tensors of the main graph: tensor, shape (list; None where unknown), dtype, role, producer (node name).

    Shapes behind custom nodes come from their function bodies; whatever static inference leaves open is read off
    one run of ONNX Runtime on zeros, which needs static input shapes.
    """
    model = _read(model)
    known = _types(model)
    initializers = {tensor.name for tensor in model.graph.initializer}
    rows = [(value.name, "input", "") for value in model.graph.input if value.name not in initializers]
    rows += [(name, "initializer", "") for name in initializers]
    rows += [(name, "output", node.name) for node in model.graph.node for name in node.output if name]
    outputs = {value.name for value in model.graph.output}
    rows = [(name, "tensor" if role == "output" and name not in outputs else role, by) for name, role, by in rows]
    return [
        {"tensor": name, "shape": shape, "dtype": _dtype_name(dtype), "role": role, "producer": by}
        for name, role, by in rows
        for dtype, shape in [known.get(name, (0, None))]
    ]


def cost_by_block(model, depth=3):
    """Parameters and FLOPs by block: block, nodes, parameters, flops; in graph order.

    A block is the first `depth` parts of the module path in the node names (`/pts_bbox_head/transformer/…/MatMul`).
    A weight counts once, at its first user. FLOPs are 2 per multiply-accumulate of Conv, Gemm, MatMul and their
    transposes; bilinear sampling counts 8 per value and channel; MSDA 10 per sampling point and channel; other
    functions cost what their body costs. Element-wise operators count as 0.
    """
    model = _read(model)
    known = _types(model)
    users = {}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if not (position and node.op_type in ("QuantizeLinear", "DequantizeLinear")):
                users.setdefault(name, node)
    rows = {}
    for node in model.graph.node:
        block = _block(_owner(node, users).name, depth)
        row = rows.setdefault(block, {"nodes": 0, "parameters": 0, "flops": 0})
        row["nodes"] += 1
        row["flops"] += _flops(node, known, model)
    for tensor in model.graph.initializer:
        if tensor.name in users and (_is_float(tensor.data_type) or tensor.data_type == onnx.TensorProto.INT8):
            rows[_block(_owner(users[tensor.name], users).name, depth)]["parameters"] += prod(tensor.dims)
    return [{"block": block} | row for block, row in rows.items()]


def _block(name, depth):
    scope = name.strip("/").split("/")[:-1] if name.startswith("/") else []
    return "/".join(scope[:depth]) or "(top)"


def _owner(node, users):
    while node.op_type in PASSED_ON and not node.name.startswith("/") and node.output[0] in users:
        node = users[node.output[0]]
    return node


def _flops(node, known, model):
    """FLOPs of one node; `known` maps tensor -> (dtype, shape)."""
    inputs = [known.get(name, (0, None))[1] or [] for name in node.input]
    out = known.get(node.output[0], (0, None))[1] or []
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Conv":
        return 2 * prod(out) * prod(inputs[1][1:])
    if node.op_type == "ConvTranspose":
        return 2 * prod(inputs[0]) * prod(inputs[1][1:])
    if node.op_type == "MatMul":
        return 2 * prod(out) * inputs[0][-1]
    if node.op_type == "Gemm":
        return 2 * prod(out) * inputs[0][0 if attributes.get("transA") else 1]
    if node.op_type == "GridSample":
        return 0 if attributes.get("mode") == b"nearest" else 8 * prod(out)
    if node.op_type == "MultiScaleDeformableAttnTRT2":
        return 10 * prod(inputs[4]) * inputs[0][3]
    if node.op_type == "RotateTRT2":
        return 0 if attributes.get("interpolation") == 1 else 8 * prod(out)
    if _defined(node, model):
        return _function_flops(node, known, model)
    return 0


def _function_flops(node, known, model):
    """FLOPs of a node through the body of its local function, made a small model of its own and inlined."""
    inputs = [helper.make_tensor_value_info(name, *known[name]) for name in node.input if name]
    outputs = [helper.make_tensor_value_info(name, *known[name]) for name in node.output if name]
    alone = helper.make_model(helper.make_graph([node], "one", inputs, outputs), functions=model.functions)
    alone.ir_version = model.ir_version
    del alone.opset_import[:]
    alone.opset_import.extend(model.opset_import)
    inlined = onnx.inliner.inline_local_functions(alone)
    types = _types(inlined)
    return sum(_flops(inner, types, inlined) for inner in inlined.graph.node)


# ------------------------------------------------------------------------------------------------- types and shapes


def _types(model):
    """tensor -> (ONNX element type, shape list or None) for all tensors of the main graph."""
    whole = with_functions(model)
    whole = shape_inference.infer_shapes(whole, data_prop=True)
    graph = whole.graph
    known = {value.name: _type(value) for value in [*graph.value_info, *graph.output, *graph.input]}
    known |= {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
    produced = [name for node in graph.node for name in node.output if name]
    missing = [name for name in produced if known.get(name, (0, None))[1] is None]
    runnable = all(_defined(node, whole) for node in custom_nodes(whole))
    if missing and runnable and all(known[value.name][1] is not None for value in graph.input):
        known |= _types_by_running(whole, missing)
    return known


def _type(value):
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    return tensor.elem_type, dims if tensor.HasField("shape") and None not in dims else None


def _types_by_running(model, names):
    import onnxruntime

    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    initializers = {tensor.name for tensor in model.graph.initializer}
    zeros = {
        value.name: np.zeros(_type(value)[1], helper.tensor_dtype_to_np_dtype(_type(value)[0]))
        for value in model.graph.input
        if value.name not in initializers
    }
    arrays = session.run(names, zeros)
    return {n: (helper.np_dtype_to_tensor_dtype(a.dtype), list(a.shape)) for n, a in zip(names, arrays, strict=True)}


def _dtype_name(data_type):
    return helper.tensor_dtype_to_np_dtype(data_type).name if data_type else None


def _is_float(data_type):
    kinds = onnx.TensorProto
    return data_type in (kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE)


# ------------------------------------------------------------------------------------------------------------- edits


def subgraph(path, out, inputs, outputs):
    """Write the part of a graph between the tensors `inputs` and `outputs` to `out`, with its functions. Returns `out`.

    Raises: BadInput for a tensor that does not exist, or outputs that need an input which is not listed.
    """
    model = _read(path)
    known = _types(model)
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
    made = {name for node in part.graph.node for name in node.output} | {t.name for t in part.graph.initializer}
    needed = {name for node in part.graph.node for name in node.input if name} | set(outputs)
    if open_ends := sorted(needed - made - set(inputs)):
        raise BadInput(
            f"{path}: outputs {list(outputs)}", f"need {open_ends} too", "all inputs listed", "add them to inputs"
        )
    return save(part, out)


def postprocess(path, out=None, functions=True):
    """Prepare a graph with custom operators for ONNX Runtime and plugins; writes `*_post.onnx` (or `out`), returns
    its path.

    Finds the custom nodes whatever domain they came in, moves them to `trt.plugins` (opset import 1), and fills the
    types and shapes of all tensors, by onnx-graphsurgeon. With `functions` the bodies stay attached, so that ONNX
    Runtime can run the file on a CPU; without them the plugin library has to be there.

    Raises: BadInput naming the first node of an operator that nothing defines.
    """
    import onnx_graphsurgeon as gs

    path = Path(path)
    model = parse(path)
    for node in custom_nodes(model):
        if not _known(node, model):
            raise _unknown(path, node)
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
    for name, (dtype, shape) in _types(whole).items():
        if isinstance(tensor := tensors.get(name), gs.Variable):
            tensor.dtype, tensor.shape = helper.tensor_dtype_to_np_dtype(dtype), shape
    finished = gs.export_onnx(surgeon.toposort(), ir_version=model.ir_version)
    if functions:
        finished.functions.extend(whole.functions)
        present = {entry.domain for entry in finished.opset_import}
        finished.opset_import.extend(entry for entry in whole.opset_import if entry.domain not in present)
    return save(finished, out or path.with_name(f"{path.stem}_post.onnx"))


# ----------------------------------------------------------------------------------------------------- command line


def _print(rows, columns=None):
    columns = columns or list(rows[0]) if rows else []
    cells = [columns, *([f"{row[c]:,}" if isinstance(row[c], int) else str(row[c]) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print()


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
        _print(custom, ["node", "op", "inputs", "outputs", "attributes", "defined"])
    if arguments.shapes:
        _print(shapes(model))
    if arguments.blocks:
        blocks = cost_by_block(model, arguments.depth)
        total = {key: sum(row[key] for row in blocks) for key in ("nodes", "parameters", "flops")}
        _print([*blocks, {"block": "total"} | total])
    return 0
