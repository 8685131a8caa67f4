"""Tables of what is in an ONNX graph: operators, custom operators, shapes, cost by block. No torch.

Every function takes a path or an `onnx.ModelProto` and returns a list of dicts, one per row.
"""

from collections import Counter
from math import prod

import numpy as np
import onnx
import onnx.inliner
from onnx import helper, shape_inference

from helpers.errors import BadInput
from helpers.graph.file import custom_nodes, is_defined, is_known, read, with_functions
from helpers.graph.session import open_session, run
from helpers.graph.walk import inputs, is_float, others

PASSED_ON = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape", "Cast", "Identity"}


def op_table(model):
    """Operators by count: op, domain, count, kind (`onnx`, `function` for a custom one with its body, `plugin`
    without).
    """
    model = read(model)
    custom = {(node.domain, node.op_type): is_defined(node, model) for node in custom_nodes(model)}
    kinds = {None: "onnx", True: "function", False: "plugin"}
    counts = Counter((node.domain, node.op_type) for node in model.graph.node)
    return [
        {"op": op, "domain": domain, "count": count, "kind": kinds[custom.get((domain, op))]}
        for (domain, op), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def custom_ops(model):
    """Custom nodes one by one: node, op, domain, inputs and outputs as `name[shape]`, attributes, defined, known."""
    model = read(model)
    known = tensor_types(model)

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
            "defined": is_defined(node, model),
            "known": is_known(node, model),
        }
        for node in custom_nodes(model)
    ]


def shapes(model):
    """All tensors of the main graph: tensor, shape (list; None where unknown), dtype, role, producer (node name).

    Shapes behind custom nodes come from their function bodies; whatever static inference leaves open is read off
    one run of ONNX Runtime on zeros, which needs static input shapes.
    """
    model = read(model)
    known = tensor_types(model)
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

    A block is the first `depth` parts of the module path in the node names (`/head/decoder/layers.0/MatMul`).
    A weight counts once, at its first user; folded constants count with the weights. FLOPs are 2 per
    multiply-accumulate of Conv, Gemm, MatMul and their transposes; bilinear sampling counts 8 per value and
    channel; MSDA 10 per sampling point and channel; other functions cost what their body costs. Element-wise
    operators count as 0.
    """
    model = read(model)
    known = tensor_types(model)
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
        if tensor.name in users and (is_float(tensor.data_type) or tensor.data_type == onnx.TensorProto.INT8):
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
    if is_defined(node, model):
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
    types = tensor_types(inlined)
    return sum(_flops(inner, types, inlined) for inner in inlined.graph.node)


def tensor_types(model):
    """tensor -> (ONNX element type, shape list or None) for all tensors of the main graph; sequences are none."""
    whole = with_functions(model)
    whole = shape_inference.infer_shapes(whole, data_prop=True)
    graph = whole.graph
    skipped = others(whole)
    values = [*graph.value_info, *graph.output, *graph.input]
    known = {value.name: _type(value) for value in values if value.name not in skipped}
    known |= {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
    produced = [name for node in graph.node for name in node.output if name and name not in skipped]
    missing = [name for name in produced if known.get(name, (0, None))[1] is None]
    runnable = all(is_defined(node, whole) for node in custom_nodes(whole))
    if missing and runnable and all(known.get(value.name, (0, None))[1] is not None for value in graph.input):
        known |= _types_by_running(whole, missing)
    return known


def _type(value):
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    return tensor.elem_type, dims if tensor.HasField("shape") and None not in dims else None


def _types_by_running(model, names):
    """What one run on zeros tells of the tensors `names`; nothing of a graph that does not run on zeros."""
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    zeros = {
        value.name: np.zeros(_type(value)[1], helper.tensor_dtype_to_np_dtype(_type(value)[0]))
        for value in inputs(model)
    }
    try:
        arrays = run(open_session(model, "disable"), names, zeros)
    except BadInput:
        return {}
    return {n: (helper.np_dtype_to_tensor_dtype(a.dtype), list(a.shape)) for n, a in zip(names, arrays, strict=True)}


def _dtype_name(data_type):
    return helper.tensor_dtype_to_np_dtype(data_type).name if data_type else None
