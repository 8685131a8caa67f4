"""Types and shapes of what is in a graph: what the file states, what inference adds, what a run on zeros tells."""

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from helpers.errors import BadInput
from helpers.graph.functions import custom_nodes, is_defined, with_functions
from helpers.graph.session import open_session, run
from helpers.graph.walk import all_nodes, attributes, bodies, copy, inputs, node_inputs

Shape = list[int | str | None] | None  # sizes; a free dimension is its name, or None; None where the rank is unknown
COUNTING = {"Compress", "NonMaxSuppression", "NonZero", "Unique"}  # what they make is as long as the values say
KERNELS = {"Conv": 1, "ConvInteger": 1, "ConvTranspose": 1, "DeformConv": 1, "QLinearConv": 3}  # where a weight is
MOST_BYTES = 2 << 30  # of zeros that a graph is run on
MOST_SECONDS = 10  # of such a run
FEW = 64  # elements of a tensor of sizes
WHOLE = {onnx.TensorProto.INT64, onnx.TensorProto.INT32}
LIMITED = {"Clip", "Slice"}  # they take numbers beyond all sizes for "to the end"
LONGEST_VECTOR = 1 << 20  # onnx's propagation of values makes a dimension of every element of a vector


def tensor_types(model: onnx.ModelProto) -> dict[str, tuple[int, Shape]]:
    """Tensor -> (ONNX element type, shape) for all tensors of the main graph; what is no tensor is left out.

    A shape is a list of sizes, in which a free dimension is its name, or None; it is None where the rank is unknown.
    Shapes behind custom operators come from their definitions. What inference leaves open is read off one run on zeros,
    if all inputs have fixed shapes and the graph runs on zeros.
    """
    return {name: type_of(value) for name, value in values(model).items() if kind_of(value) == "tensor"}


def values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Name -> what is known of every value of the main graph, as `tensor_types` finds it out."""
    whole = inferred(model)
    found = stated(whole.graph)
    produced = {name: found.get(name) for node in whole.graph.node for name in node.output if name}
    unsure = _depend_on_values(whole)
    missing = [name for name, value in produced.items() if name not in unsure and not _is_settled(value)]
    if missing and _runs_on_zeros(whole):
        found |= _by_running(whole, missing)
    return {name: onnx.ValueInfoProto(name=name) for name in produced} | found


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` with its custom operators' definitions, where it can have them, and all types it implies."""
    try:
        whole = with_functions(model)
    except BadInput:  # nodes that disagree, an old opset: their types stay unknown
        whole = copy(model)
    for value in (*whole.graph.input, *whole.graph.output, *whole.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.HasField("dim_value") and size.dim_value <= 0:  # so some exporters write a free dimension
                size.ClearField("dim_value")
    state_kernels(whole)
    try:
        return infer(whole)
    except Exception:  # its exceptions have no class in common; what the file states remains
        return whole


def infer(model: onnx.ModelProto) -> onnx.ModelProto:
    """onnx's inference of types and shapes; it follows the values of tensors where no vector can be longer than
    `LONGEST_VECTOR`, as far as the shapes that are stated and the whole numbers that are constant tell.

    Raises: what onnx raises for a graph in which types do not fit.
    """
    vectors = [count(type_of(value)[1]) or 0 for value in stated(model.graph).values() if kind_of(value) == "tensor"
               and len(value.type.tensor_type.shape.dim) == 1]  # fmt: skip
    longest = max([*vectors, *_numbers(model)], default=0)
    return shape_inference.infer_shapes(model, data_prop=longest <= LONGEST_VECTOR)


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
        given = attributes(node)
        if node.op_type == "Constant" and isinstance(given.get("value"), onnx.TensorProto):
            sizes[node.output[0]] = list(given["value"].dims)
        elif node.op_type == "DequantizeLinear" and node.input and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
        weight = dict(enumerate(node.input)).get(KERNELS.get(node.op_type, -1))
        if weight in sizes and "kernel_shape" not in given:
            kernel = helper.make_attribute("kernel_shape", sizes[weight][2:], attr_type=onnx.AttributeProto.INTS)
            node.attribute.append(kernel)


def stated(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    """Name -> what a graph, or a body, states of its values and constants."""
    found = {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}
    for tensor in graph.initializer:
        found[tensor.name] = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
    return found


def kind_of(value: onnx.ValueInfoProto) -> str:
    """ "tensor", "sequence", "optional", "map" or "sparse_tensor"; what is not known is taken for a tensor."""
    return (value.type.WhichOneof("value") or "tensor_type").removesuffix("_type")


def non_tensors(model: onnx.ModelProto) -> dict[str, str]:
    """Name -> kind of what is no tensor in the main graph: sequences and optionals."""
    kinds = {name: kind_of(value) for name, value in stated(inferred(model).graph).items()}
    return {name: kind for name, kind in kinds.items() if kind != "tensor"}


def type_of(value: onnx.ValueInfoProto) -> tuple[int, Shape]:
    """(ONNX element type, shape) of a tensor."""
    tensor = value.type.tensor_type
    return tensor.elem_type, [_size(dim) for dim in tensor.shape.dim] if tensor.HasField("shape") else None


def _size(dim):
    if dim.HasField("dim_value"):
        return dim.dim_value
    return None if dim.dim_param.startswith("unk__") else dim.dim_param or None  # a name that inference made up


def count(shape: Shape) -> int | None:
    """Number of elements; None if it is not known."""
    sizes = [size for size in shape or () if isinstance(size, int)]
    return prod(sizes) if shape is not None and len(sizes) == len(shape) else None


def text(shape: Shape) -> str:
    """A shape as a reader wants it, such as "[N, 3]", "[?, 3]" or "[?]"."""
    sizes = ["?"] if shape is None else ["?" if size is None else str(size) for size in shape]
    return f"[{', '.join(sizes)}]"


def _is_settled(value):
    return value is not None and (kind_of(value) != "tensor" or count(type_of(value)[1]) is not None)


def _depend_on_values(model):
    """Names of what is computed from the result of an operator that counts: zeros would not tell its shape."""
    found = set()
    for node in model.graph.node:
        if node.op_type in COUNTING or not found.isdisjoint(node_inputs(node)):
            found.update(node.output)
    return found


def _runs_on_zeros(model):
    given = inputs(model)
    counts = [count(type_of(value)[1]) for value in given if kind_of(value) == "tensor" and type_of(value)[0]]
    sizes = [elements for elements in counts if elements is not None]
    if len(sizes) < len(given) or 8 * sum(sizes) > MOST_BYTES:
        return False
    return all(is_defined(node, model) for node in custom_nodes(model))


def _zeros(value):
    dtype, shape = type_of(value)
    sizes = [size for size in shape or () if isinstance(size, int)]
    return np.zeros(sizes, helper.tensor_dtype_to_np_dtype(dtype))


def _by_running(model: onnx.ModelProto, names: Sequence[str]):
    """What one run on zeros tells of the tensors `names`; nothing of a graph that does not run on zeros."""
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    feeds = {value.name: _zeros(value) for value in inputs(model)}
    try:
        arrays = run(open_session(model, "disable"), list(names), feeds, seconds=MOST_SECONDS)
    except BadInput:
        return {}
    return {
        name: helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, arrays, strict=True)
        if isinstance(array, np.ndarray)
    }
