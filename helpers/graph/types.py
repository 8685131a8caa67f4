"""Types and shapes of what is in a graph: what the file states, what inference adds, what a run on zeros tells."""

import os
from collections.abc import Sequence
from functools import partial
from math import ceil, prod

import numpy as np
import onnx
from onnx import helper

from helpers import processes
from helpers.arguments import typed
from helpers.graph.functions import custom_nodes, definitions, is_defined
from helpers.graph.inference import inferred
from helpers.graph.session import open_session, run
from helpers.graph.walk import inputs, node_inputs

Shape = list[int | str | None] | None  # sizes; a free dimension is its name, or None; None where the rank is unknown
COUNTING = {"Compress", "NonMaxSuppression", "NonZero", "Unique"}  # what they make is as long as the values say
MOST_BYTES = 2 << 30  # of zeros that a graph is run on
MOST_SECONDS = 10  # of such a run


@typed
def tensor_types(model: onnx.ModelProto, where: object = "the model") -> dict[str, tuple[int, Shape]]:
    """Tensor -> (ONNX element type, shape) for all tensors of the main graph; what is no tensor is left out.

    A shape is a list of sizes, in which a free dimension is its name, or None; it is None where the rank is unknown.
    Shapes behind custom operators come from their definitions. What inference leaves open is read off one run on zeros,
    if all inputs have fixed shapes and the graph runs on zeros.

    Raises: BadInput that names `where`, for a model whose inference crashes or does not end.
    """
    return types_of(inferred(model, where))


def types_of(whole: onnx.ModelProto) -> dict[str, tuple[int, Shape]]:
    """`tensor_types` of what `inferred` made of a model."""
    return {name: type_of(value) for name, value in _values(whole).items() if kind_of(value) == "tensor"}


@typed
def values(model: onnx.ModelProto, where: object = "the model") -> dict[str, onnx.ValueInfoProto]:
    """Name -> what is known of every value of the main graph, as `tensor_types` finds it out."""
    return _values(inferred(model, where))


def _values(whole):
    found = stated(whole.graph)
    produced = {name: found.get(name) for node in whole.graph.node for name in node.output if name}
    unsure = _depend_on_values(whole)
    missing = [name for name, value in produced.items() if name not in unsure and not _is_settled(value)]
    if missing and _runs_on_zeros(whole):
        found |= _by_running(whole, missing)
    return {name: onnx.ValueInfoProto(name=name) for name in produced} | found


def stated(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    """Name -> what a graph, or a body, states of its values and constants."""
    found = {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}
    for tensor in graph.initializer:
        found[tensor.name] = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
    return found


def kind_of(value: onnx.ValueInfoProto) -> str:
    """ "tensor", "sequence", "optional", "map" or "sparse_tensor"; what is not known is taken for a tensor."""
    return (value.type.WhichOneof("value") or "tensor_type").removesuffix("_type")


def non_tensors(model: onnx.ModelProto, where: object = "the model") -> dict[str, str]:
    """Name -> kind of what is no tensor in the main graph: sequences and optionals."""
    kinds = {name: kind_of(value) for name, value in stated(inferred(model, where).graph).items()}
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
    defined = definitions(model)
    return all(is_defined(node, defined) for node in custom_nodes(model))


def _zeros(value):
    dtype, shape = type_of(value)
    sizes = [size for size in shape or () if isinstance(size, int)]
    return np.zeros(sizes, helper.tensor_dtype_to_np_dtype(dtype))


def _by_running(model: onnx.ModelProto, names: Sequence[str]):
    """What one run on zeros tells of the tensors `names`; nothing of a graph that does not run on zeros.

    It is run in a process of its own, for what it computes may be larger than the memory.
    """
    with open(os.memfd_create("shapes"), "w+b") as answer:
        processes.run_forked(partial(_run, model, names, answer), 4 * ceil(MOST_SECONDS), 2 * MOST_BYTES)
        answer.seek(0)
        return {value.name: value for value in onnx.GraphProto.FromString(answer.read()).value_info}


def _run(model, names, answer):
    """Write into a file the types of the tensors `names` in a run on zeros."""
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    feeds = {value.name: _zeros(value) for value in inputs(model)}
    arrays = run(open_session(model, "disable"), list(names), feeds, seconds=MOST_SECONDS)
    made = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, arrays, strict=True)
        if isinstance(array, np.ndarray)
    ]
    answer.write(onnx.GraphProto(value_info=made).SerializeToString())
    answer.flush()
