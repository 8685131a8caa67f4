"""What a model has to be before anything works with it: of sizes and types that exist, whole, all weights numbers."""

import collections
import graphlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from helpers.errors import BadInput, foreign
from helpers.files import PathLike
from helpers.graph.walk import all_attributes, all_nodes, all_tensors, all_types, captured, is_float, nested

EXPORT_AGAIN = "export or copy the file again"
LARGEST = 2 << 30  # bytes; a protobuf message is smaller
MOST_ELEMENTS = 1 << 40  # of a tensor, in a file that can be meant
MOST_NODES, DEEPEST = 1 << 20, 100  # of a graph with its functions written out, and of calls one in another
MESSAGES = {AttributeProto.TENSOR: "t", AttributeProto.GRAPH: "g", AttributeProto.SPARSE_TENSOR: "sparse_tensor",
            AttributeProto.TYPE_PROTO: "tp"}  # fmt: skip
TYPES = set(TensorProto.DataType.values())
BITS = {
    kind: 4 if name.endswith("INT4") or name == "FLOAT4E2M1" else 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize
    for name, kind in TensorProto.DataType.items()
    if name not in ("UNDEFINED", "STRING")
}


def check_structure(model: onnx.ModelProto, path: object) -> None:
    """BadInput for what a protobuf message can hold and no graph can mean: names that are no text, tensors that
    nothing makes (of which the inference of onnx 1.21 ends the process), nodes that make nothing, attributes without a
    value, functions that call themselves or unfold without measure, element types that do not exist, sizes below 0 (but
    for -1, a free one) or beyond what any machine holds.
    """
    check_names(model, path)
    for node in all_nodes(model):
        if not any(node.output):
            where = f"{path}: node {node.name or '(without a name)'}"
            raise BadInput(where, f"{node.op_type or 'no operator'} without an output", "a node that makes something",
                           EXPORT_AGAIN)  # fmt: skip
    functions = {f"function {function.name}": _as_graph(function) for function in model.functions}
    for place, graph in ({"the graph": model.graph} | functions).items():
        if names := captured(graph):
            found = f"{names[0]!r:.80}, which nothing makes"
            raise BadInput(f"{path}: {place}", found, "tensors that a node makes", EXPORT_AGAIN)
    _check_functions(model, path)
    for attribute in all_attributes(model):
        field = MESSAGES.get(attribute.type)
        if not attribute.ref_attr_name and (not attribute.type or (field and not attribute.HasField(field))):
            where = f"{path}: attribute {attribute.name}"
            raise BadInput(where, "no value", "an attribute with a value of its type", EXPORT_AGAIN)
    for name, tensor in all_types(model):
        sizes = [size.dim_value for size in tensor.shape.dim]
        _check_type(f"{path}: {name}", tensor.elem_type, [0 if size == -1 else size for size in sizes])
    for tensor in all_tensors(model):
        _check_type(f"{path}: tensor {tensor.name or '(of a node)'}", tensor.data_type, tensor.dims)


def check_names(model: onnx.ModelProto, path: object) -> None:
    """BadInput for a name of anything in `model`, also of a file of weights, that is no text."""
    if text := next(_garbled(model), None):
        raise BadInput(path, f"the name {text!r:.80}", "names in UTF-8", EXPORT_AGAIN)


def _check_functions(model, path):
    """Whoever runs a graph writes its functions out, however much that becomes: onnx, ONNX Runtime, TensorRT."""
    calls = {(part.domain, part.name): collections.Counter(map(_called, nested(part.node))) for part in model.functions}
    inner = {name: counts.keys() & calls.keys() for name, counts in calls.items()}
    sizes, depths = {}, {}
    try:
        for name in graphlib.TopologicalSorter(inner).static_order():
            sizes[name] = sum(count * sizes.get(called, 1) for called, count in calls[name].items())
            depths[name] = 1 + max([depths[called] for called in inner[name]], default=0)
    except graphlib.CycleError as error:
        ring = " > ".join(name for _, name in error.args[1])
        found = f"a ring of calls: {ring:.200}"
        raise BadInput(f"{path}: functions", found, "functions that end", EXPORT_AGAIN) from error
    nodes = sum(sizes.get(_called(node), 1) for node in nested(model.graph.node))
    expected = f"at most {MOST_NODES:,} nodes, and {DEEPEST} calls one in another"
    if nodes > MOST_NODES:
        raise BadInput(f"{path}: functions", "more nodes, when they are written out", expected, EXPORT_AGAIN)
    if (deepest := max(depths.values(), default=0)) > DEEPEST:
        raise BadInput(f"{path}: functions", f"{deepest} calls one in another", expected, EXPORT_AGAIN)


def _called(node):
    return node.domain, node.op_type


def _as_graph(function):
    inputs, outputs = (
        [onnx.ValueInfoProto(name=name) for name in names] for names in (function.input, function.output)
    )
    return onnx.GraphProto(node=function.node, input=inputs, output=outputs)


def _garbled(message: Message) -> Iterator[bytes]:
    """The texts in a protobuf message, at any depth, that are not UTF-8; the values of tensors are not looked at."""
    for field, value in [] if isinstance(message, onnx.TensorProto) else message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == field.TYPE_STRING:
            yield from (text for text in values if isinstance(text, bytes))
        elif field.message_type:
            yield from (text for inner in values for text in _garbled(inner))
    if isinstance(message, onnx.TensorProto):
        texts = [message.name, *(text for entry in message.external_data for text in (entry.key, entry.value))]
        yield from (text for text in texts if isinstance(text, bytes))


def _check_type(where, element_type, sizes):
    if element_type not in TYPES:
        raise BadInput(where, f"element type {element_type}", f"a type of ONNX {onnx.__version__}", EXPORT_AGAIN)
    if any(size < 0 for size in sizes) or prod(max(size, 1) for size in sizes) > MOST_ELEMENTS:
        expected = f"sizes from 0, at most {MOST_ELEMENTS:,} elements"
        raise BadInput(where, f"shape {list(sizes)}", expected, EXPORT_AGAIN)


def check_weights(model: onnx.ModelProto, path: PathLike) -> None:
    """BadInput naming the first constant that is not whole or no number, wherever it is: initializers, Constant nodes,
    functions, bodies and external files, which are read one tensor at a time.

    NaN is refused everywhere; so is infinity, but for a single value (a bound) and for 0 and -infinity (a mask).
    """
    root = str(Path(path).parent)
    for tensor in all_tensors(model):
        where = f"{path}: tensor {tensor.name or '(of a node)'}"
        array = _read(tensor, root, where)
        if is_float(tensor.data_type) or TensorProto.DataType.Name(tensor.data_type).startswith("FLOAT8"):
            _check_numbers(where, array)
    for attribute in all_attributes(model):
        if attribute.type in (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS):
            values = attribute.floats if attribute.type == onnx.AttributeProto.FLOATS else [attribute.f]
            _check_numbers(f"{path}: attribute {attribute.name}", np.array(values, np.float32))


def _read(tensor, root, where):
    """The array of a tensor, whose external weights are not kept in it."""
    own = tensor
    if tensor.external_data:
        own = TensorProto()
        own.CopyFrom(tensor)
    expected = f"values of shape {list(tensor.dims)}"
    with foreign(where, expected, EXPORT_AGAIN):
        array = numpy_helper.to_array(own, root)
    if array.shape != tuple(tensor.dims):
        raise BadInput(where, f"values of shape {list(array.shape)}", expected, EXPORT_AGAIN)
    return array


def _check_numbers(where, array):
    values = array if array.dtype.kind == "f" else array.astype(np.float32)
    finite = np.isfinite(values)
    if finite.all():
        return
    mask = not values[finite].any() and np.isneginf(values[~finite]).all()
    nan = np.isnan(values).any()
    if nan or not (mask or values.size == 1):
        found = f"{'NaN' if nan else 'infinity'} ({np.count_nonzero(~finite)} of {values.size} values)"
        raise BadInput(where, found, "finite weights", "check the checkpoint, " + EXPORT_AGAIN)


def check_size(model: onnx.ModelProto, where: object) -> None:
    """BadInput if `model` with all its weights, external ones too, is too large for one protobuf message."""
    size = sum(map(bytes_of, all_tensors(model)))
    if size >= LARGEST:
        raise too_large(where, size)


def bytes_of(tensor: TensorProto) -> int:
    """Bytes that the values of a tensor need, texts left out."""
    return (prod(tensor.dims) * BITS.get(tensor.data_type, 0) + 7) // 8


def too_large(where: object, size: int) -> BadInput:
    """The error for a model of `size` bytes."""
    expected = "less than 2 GiB with its weights, the limit of a protobuf message"
    fix = "keep the weights in external files, which python -m helpers engine build leaves there; or export it in parts"
    return BadInput(where, f"a model of {size / 2**30:.1f} GiB", expected, fix)


def check_model(model: onnx.ModelProto, where: object) -> None:
    """BadInput with the reason of onnx.checker if it refuses `model`."""
    with foreign(where, "a graph that passes onnx.checker", EXPORT_AGAIN):
        onnx.checker.check_model(model)
