"""What onnx infers of a graph's types and shapes. A process of its own asks it, for onnx crashes on some graphs, and on
others it computes without end: the sizes of a small file can be as large as numbers can be.
"""

import io
import os
from collections import deque
from collections.abc import Iterable
from functools import partial
from math import prod

import onnx
from onnx import helper, numpy_helper, shape_inference

from helpers import processes
from helpers.errors import BadInput, reason
from helpers.graph.checks import EXPORT_AGAIN
from helpers.graph.functions import with_functions
from helpers.graph.walk import all_nodes, all_tensors, attributes, bodies, copy

SECONDS, ROOM = 10, 1 << 30  # of the processor, and bytes, that one inference may need
LONGEST_VECTOR = 1 << 20  # onnx's propagation of values makes a dimension of every element of a vector
FEW = 64  # elements of a tensor of sizes
WHOLE = {onnx.TensorProto.INT64, onnx.TensorProto.INT32}
VALUES = [field.name for field in onnx.TensorProto.DESCRIPTOR.fields if field.name.endswith("_data")]
LIMITED = {"Clip", "Slice"}  # they take numbers beyond all sizes for "to the end"
KERNELS = {"Conv": 1, "ConvInteger": 1, "ConvTranspose": 1, "DeformConv": 1, "QLinearConv": 3}  # where a weight is
CARRIES = {"Constant", "DequantizeLinear", *KERNELS}  # operators that a weight comes from, passes through or goes into


def inferred(model: onnx.ModelProto, where: object = "the model") -> onnx.ModelProto:
    """A copy of `model` with its custom operators' definitions, where it can have them, and all types it implies.

    Of a model whose types do not fit each other, what the file states remains.

    Raises: BadInput that names `where`, for a model whose inference crashes or does not end.
    """
    whole = _defined(model)
    _infer(whole, where)
    return whole


def inferred_each(models: Iterable[onnx.ModelProto], where: object = "the model") -> list[onnx.ModelProto]:
    """What `inferred` makes of each of many small models, and raises; one process does for all that do not end it."""
    made = [_defined(model) for model in models]
    todo = deque(made)
    while todo:
        told = _told_each(todo)
        for graph in told:
            _take(todo.popleft().graph, graph)
        if todo and not told:
            _infer(todo.popleft(), where)
    return made


def _defined(model):
    """A copy with the definitions of custom operators, and what an inference needs to be told."""
    try:
        whole = with_functions(model)
    except BadInput:  # nodes that disagree, an old opset: their types stay unknown
        whole = copy(model)
    for value in (*whole.graph.input, *whole.graph.output, *whole.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.HasField("dim_value") and size.dim_value <= 0:  # so some exporters write a free dimension
                size.ClearField("dim_value")
    state_kernels(whole)
    return whole


def infer(model: onnx.ModelProto, where: object = "the model") -> onnx.ModelProto:
    """A copy of `model` with the types and shapes that onnx infers.

    It follows the values of tensors where no vector can be longer than `LONGEST_VECTOR`, as far as the shapes that are
    stated and the whole numbers that are constant tell.

    Raises: BadInput that names `where`, for a model whose types do not fit, or whose inference crashes or does not end.
    """
    whole = copy(model)
    if refusal := _infer(whole, where):
        raise BadInput(where, refusal, "a graph whose types and shapes fit", EXPORT_AGAIN)
    return whole


def sizes_of_one(model: onnx.ModelProto) -> list[int]:
    """Number of elements of each output of a model of one node and its constants; -1 where onnx does not know it.

    The constants are of moderate size: nothing grows beyond them, and this process may ask.
    """
    try:
        outputs = shape_inference.infer_shapes(model).graph.output
    except Exception:  # its exceptions have no class in common
        return [-1]
    return [_elements(value.type.tensor_type) for value in outputs]


def _elements(kind):
    known = kind.HasField("shape") and all(size.HasField("dim_value") for size in kind.shape.dim)
    return prod(size.dim_value for size in kind.shape.dim) if known else -1


def check_inference(model: onnx.ModelProto, where: object) -> None:
    """BadInput that names `where`, for a model whose inference crashes or does not end: ONNX Runtime, TensorRT and
    ModelOpt infer too, each within the process that asks it.
    """
    _told(model, where)


def _infer(model, where):
    """Write into `model` what onnx infers; returns "", or why onnx refuses it."""
    graph, refusal = _told(model, where)
    if graph is not None:
        _take(model.graph, graph)
    return refusal


def _told(model, where):
    """(the graph as onnx infers it, without its weights, or None; why onnx refuses it, or "")."""
    follow = _may_follow(model)
    with open(os.memfd_create("inferred"), "w+b") as answer:
        ended = processes.run_forked(partial(_tell, model, follow, answer), SECONDS, ROOM)
        answer.seek(0)
        told = answer.read()
    if not ended:
        return onnx.GraphProto.FromString(told), ""
    if told and ended == "an exception":
        return None, told.decode()
    found = f"sizes on which the inference of onnx ends with {ended}"
    expected = f"shapes that it infers in {SECONDS} s and {ROOM >> 20} MiB"
    raise BadInput(where, found, expected, "correct the constants that its sizes are computed from, or export it again")


def _may_follow(model):
    """Whether onnx may follow the values of tensors without making vectors that fill the memory."""
    return max([*_vectors(model.graph), *_numbers(model)], default=0) <= LONGEST_VECTOR


def _told_each(models):
    """The graphs as onnx infers them, up to the first model that it refuses or that ends its process."""
    with open(os.memfd_create("inferred"), "w+b") as answer:
        processes.run_forked(partial(_tell_each, models, answer), SECONDS, ROOM)
        answer.seek(0)
        told = []
        while len(size := answer.read(8)) == 8:
            graph = answer.read(int.from_bytes(size))
            if len(graph) == int.from_bytes(size):
                told.append(onnx.GraphProto.FromString(graph))
        return told


def _tell_each(models, answer):
    """Write into a file the graph of each model as `_tell` does, and the number of its bytes before it."""
    for model in models:
        with io.BytesIO() as one:
            _tell(model, _may_follow(model), one)
            answer.write(len(one.getvalue()).to_bytes(8) + one.getvalue())
        answer.flush()


def _tell(model, follow, answer):
    """Write into a file the graph as onnx infers it, without its weights, or the reason why onnx refuses it."""
    for tensor in all_tensors(model):
        elements = prod(tensor.dims)
        if elements > LONGEST_VECTOR or (elements > FEW and tensor.data_type not in WHOLE):
            for field in VALUES:
                tensor.ClearField(field)
    try:
        answer.write(shape_inference.infer_shapes(model, data_prop=follow).graph.SerializeToString())
    except MemoryError:
        raise
    except Exception as error:  # its exceptions have no class in common
        answer.write(reason(error).encode())
        raise
    finally:
        answer.flush()


def _take(graph, told):
    """Write the types of `told` into `graph`, which is the same without them, and into the bodies in it."""
    for field in ("input", "output", "value_info"):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(getattr(told, field))
    for node, other in zip(graph.node, told.node, strict=True):
        if node.attribute:
            for body, inner in zip(bodies(node), bodies(other), strict=True):
                _take(body, inner)


def _vectors(graph):
    """The lengths of the vectors that a graph states."""
    types = (value.type.tensor_type for value in (*graph.input, *graph.output, *graph.value_info))
    yield from (kind.shape.dim[0].dim_value for kind in types if len(kind.shape.dim) == 1)
    yield from (tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 1)


def _numbers(model):
    """The whole numbers in constants that may become sizes, wherever they stand: ends of slices and limits do not."""
    nodes = list(all_nodes(model))
    limits = {name for node in nodes if node.op_type in LIMITED for name in node.input}
    limits -= {name for node in nodes if node.op_type not in LIMITED for name in node.input}
    graphs = [model.graph, *(body for node in nodes for body in bodies(node))]
    tensors = [(tensor.name, tensor) for graph in graphs for tensor in graph.initializer]
    made = [(node.output[0], field) for node in nodes if node.op_type == "Constant" for field in node.attribute]
    for name, tensor in (*tensors, *((name, field.t) for name, field in made if field.HasField("t"))):
        few = tensor.data_type in WHOLE and prod(tensor.dims) <= FEW and not tensor.external_data
        if few and name not in limits:
            yield from map(int, numpy_helper.to_array(tensor).reshape(-1))
    for name, field in made:
        if name not in limits:
            yield from (field.i, *field.ints)


def state_kernels(model: onnx.ModelProto) -> None:
    """Write the kernel's shape into the convolutions of `model` that leave it to a constant weight.

    Where it is not written, onnx 1.21 does not compare it with the rank of the image, and ends the process instead.
    """
    sizes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for node in all_nodes(model):
        if node.op_type not in CARRIES:
            continue
        given = attributes(node)
        if node.op_type == "Constant" and isinstance(given.get("value"), onnx.TensorProto):
            sizes[node.output[0]] = list(given["value"].dims)
        elif node.op_type == "DequantizeLinear" and node.input and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
        weight = dict(enumerate(node.input)).get(KERNELS.get(node.op_type, -1))
        if weight in sizes and "kernel_shape" not in given:
            kernel = helper.make_attribute("kernel_shape", sizes[weight][2:], attr_type=onnx.AttributeProto.INTS)
            node.attribute.append(kernel)
