"""Brings an ONNX graph into the form that the installed TensorRT reads rightly. Needs only onnx and NumPy.

Custom operators are inlined by the functions that define them, or left to the plugin library with their definitions
dropped. What is constant is computed. Where the parser would make a loop of a cumulative sum, it becomes a sum. For
TensorRT 8.6 the forms of later opsets are written as opset 17 has them (`helpers.engine.tensorrt.opset17`), because its
parser reads them without a word and computes something else. Of a language model's plugins in half precision a builder
that chooses types is left no other (`keep_half`).
"""

import difflib
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from helpers.engine.tensorrt import opset17, versions
from helpers.engine.tensorrt.decompose import decompose_operators, without_loops
from helpers.engine.tensorrt.view import LARGEST, View
from helpers.errors import BadInput
from helpers.graph import drop_functions
from helpers.graph.edit import inlined
from helpers.graph.functions import DOMAIN, add_rms_norm, cached_attention, matvec, matvec_int4
from helpers.graph.inference import infer, sizes_of_one
from helpers.graph.types import COUNTING
from helpers.graph.walk import STANDARD, attributes, node_inputs

LARGEST_OUTPUT = 1 << 20  # elements; larger constants are TensorRT's to fold
NOT_FOLDED = {"QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomUniform", "RandomNormalLike",
              "RandomUniformLike", "Bernoulli", "Multinomial", "If", "Loop", "Scan"}  # fmt: skip
FLOAT16 = onnx.TensorProto.FLOAT16
HALF = "half"  # the attribute of a plugin that takes half precision alone, see plugins/tensorrt/operator.h
TAKES_HALF = {
    name
    for operator in (matvec, matvec_int4, add_rms_norm, cached_attention)
    for name in (operator.OP_TYPE, operator.OP_TYPE.removesuffix("2"))
}


def for_version(
    model: onnx.ModelProto,
    version: str,
    plugins: bool = False,
    decompose: Sequence[str] = (),
    outputs: Sequence[str] = (),
    where: object = "the model",
) -> onnx.ModelProto:
    """A copy of an ONNX model that TensorRT `version` reads as it was meant.

    Args:
        model: ModelProto; external weights need not be loaded.
        version: such as "8.6.0".
        plugins: whether the plugin library implements the custom operators; if not, they are inlined.
        decompose: operators to write in simpler ones: "LayerNormalization", "GridSample".
        outputs: names of tensors to add to the graph's outputs.
        where: what errors of its shapes call the model.

    Raises:
        BadInput: a form that this version has no equal of, an unknown tensor name.
    """
    known = versions.facts(version)
    copy = drop_functions(model) if plugins else inlined(model)
    _name_nodes(copy.graph)
    copy = _fold(copy, {*outputs, *(value.name for value in copy.graph.output)}, where)
    _add_outputs(copy, outputs)
    view = View(copy)
    view.replace({"CastLike": opset17.cast_like, "LayerNormalization": opset17.with_bias})
    decompose_operators(view, decompose)
    if not known.cumulative_layer:
        without_loops(view)
    if known.opset is not None and view.opset > known.opset:
        opset17.rewrite(view)
    elif known.opset is not None:
        opset17.within(view)
    view.write()
    _name_nodes(copy.graph)
    if not any(tensor.external_data for tensor in copy.graph.initializer):  # the checker would look for the files here
        _check(copy, version)
    if known.opset is not None:
        _drop_domains(copy)
    return copy


def keep_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let plugins that are FP16 in the graph take half precision alone, where a builder may choose; returns the model.

    Weakly typed TensorRT was seen to find them faster in FP32, on a GPU that others used too, and to keep their weights
    so. For a builder that may use half precision: any other would have nothing left to choose.

    Args:
        model: what `for_version` made with plugins; changed in place.
    """
    types = View(model).types
    for node in model.graph.node:
        plugin = node.op_type in TAKES_HALF and node.domain in STANDARD | {DOMAIN}
        if plugin and HALF not in attributes(node) and _is_half(node, types):
            node.attribute.append(helper.make_attribute(HALF, 1))
    return model


def _is_half(node, types):
    """Whether the first input is FP16. Behind a custom node its type is often unknown: what has to be of it tells."""
    kinds = [types.get(name) for name in node.input]
    return FLOAT16 in kinds and kinds[0] in (FLOAT16, 0, None)


def _check(model, version):
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        found = str(error).splitlines()[0]
        fix = "export it again; outputs, marked ones too, need a known rank"
        raise BadInput(f"the graph as rewritten for TensorRT {version}", found, "valid ONNX", fix) from error


def _name_nodes(graph):
    """A unique name for every node: layers, messages and precision patterns go by it."""
    seen = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.name or '/' + node.op_type}_{index}"
        seen.add(node.name)


def _drop_domains(model):
    """Custom nodes into ONNX's own domain: the parser of 8.6 looks up plugins by the operator's name there."""
    for node in model.graph.node:
        node.domain = ""
    standard = [entry for entry in model.opset_import if entry.domain in STANDARD]
    del model.opset_import[:]
    model.opset_import.extend(standard)


def _add_outputs(model, names):
    view = View(model)
    made = [name for node in model.graph.node for name in node.output]
    present = {value.name for value in model.graph.output}
    for name in names:
        if name not in made:
            close = difflib.get_close_matches(name, made, 3, 0.3)
            raise BadInput(f"output {name!r}", "no node makes such a tensor", f"such as {close}", "correct the name")
        if name not in present:
            kind = view.types.get(name, onnx.TensorProto.FLOAT)
            model.graph.output.append(helper.make_tensor_value_info(name, kind, view.shapes.get(name)))


def _fold(model, keep, where):
    """Compute what is constant, again and again, because shapes that become known make more constant."""
    noted = list(model.graph.value_info)
    while True:
        del model.graph.value_info[:]  # what was inferred with less known would stay
        model.graph.value_info.extend(noted)
        model = infer(model, where)
        if not _fold_once(model, keep):
            return model


def _fold_once(model, keep):
    view, nodes = View(model), []
    constants, added = dict(view.constants), {}
    for node in model.graph.node:
        values = None if keep & set(node.output) else _value(view, node, constants)
        if values is None:
            nodes.append(node)
        else:
            added.update(values)
            constants.update((name, array) for name, array in values.items() if array.size <= LARGEST)
    used = {name for node in nodes for name in node_inputs(node)}
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used | keep]
    weights += [numpy_helper.from_array(array, name) for name, array in added.items() if name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return bool(added)


def _value(view, node, constants):
    """dict of output name to array if `node` is constant and of moderate size, else None."""
    if node.domain not in STANDARD or node.op_type in NOT_FOLDED:
        return None
    if node.op_type == "Shape":
        given = attributes(node)
        shape = view.shapes.get(node.input[0])
        asked = shape and shape[given.get("start", 0) : given.get("end")]
        if shape is None or None in asked:
            return None
        return {node.output[0]: np.array(asked, np.int64)}
    inputs = [name for name in node.input if name]
    if any(name not in constants for name in inputs):
        return None
    return _evaluate(view, node, {name: constants[name] for name in inputs})


def _evaluate(view, node, given):
    """What a node makes of constants; None if that is not of moderate size, which is asked before it is made."""
    from onnx.reference import ReferenceEvaluator

    held = [numpy_helper.from_array(array, name) for name, array in given.items()]
    outputs = [helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name]
    graph = helper.make_graph([node], "constant", [], outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", view.opset)])
    if node.op_type not in COUNTING and not all(-1 < size <= LARGEST_OUTPUT for size in sizes_of_one(model)):
        return None
    values = ReferenceEvaluator(model).run(None, {})
    return {value.name: np.asarray(array) for value, array in zip(outputs, values, strict=True)}
