"""What is in an ONNX graph and what depends on what: nodes, names, constants, ancestors. No torch."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import onnx
from onnx import helper, numpy_helper

from helpers.arguments import typed

STANDARD = {"", "ai.onnx"}


@typed
def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model`, to be changed."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def attributes(node: onnx.NodeProto) -> dict:
    """Attribute name -> value; of a body the `onnx.GraphProto`. What a function takes from its caller is left out."""
    own = (attribute for attribute in node.attribute if not attribute.ref_attr_name)
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in own}


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node: branches of an If, the body of a Loop or a Scan."""
    if not node.attribute:
        return []
    single = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return single + [body for attribute in node.attribute for body in attribute.graphs]


def node_inputs(node: onnx.NodeProto) -> list[str]:
    """The names that a node reads, those that its bodies capture from outside included; each once."""
    outside = [name for body in bodies(node) for name in captured(body)] if node.attribute else []
    return list(filter(None, dict.fromkeys((*node.input, *outside))))


def captured(body: onnx.GraphProto) -> list[str]:
    """The names that a graph reads or gives and that nothing in it makes: a body takes them from outside."""
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    own |= {tensor.values.name for tensor in body.sparse_initializer}
    own |= {name for node in body.node for name in node.output}
    read = [name for node in body.node for name in node_inputs(node)] + [value.name for value in body.output]
    return [name for name in read if name not in own]


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node: of the main graph, of bodies, of local functions, and of what is kept for training."""
    return nested(_outer_nodes(model))


def _outer_nodes(model):
    """The nodes that are in no body."""
    return chain.from_iterable(part.node for part in (*_roots(model), *model.functions))


def nested(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """These nodes, and those of bodies in them at every depth."""
    todo = list(nodes)
    for node in todo:
        yield node
        if node.attribute:  # most nodes of a graph with very many have none
            todo += chain.from_iterable(body.node for body in bodies(node))


def _roots(model):
    """The graphs that are in no other: the main one, and those that training starts from and repeats."""
    trained = (part for info in model.training_info for part in (info.initialization, info.algorithm))
    return [model.graph, *trained]


def _all_parts(model):
    """(every graph, every attribute) of a model, of one walk over its nodes."""
    graphs, found, todo = list(_roots(model)), [], list(_outer_nodes(model))
    for node in todo:
        if held := node.attribute:
            found += held
            graphs += (inside := bodies(node))
            todo += chain.from_iterable(body.node for body in inside)
    return graphs, [*found, *(attribute for function in model.functions for attribute in function.attribute_proto)]


def inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The graph's inputs without constants, which older files list among them."""
    constants = initializers(model)
    return [value for value in model.graph.input if value.name not in constants]


def initializers(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Name -> constant of the main graph."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Name -> array of the main graph's initializers and Constant nodes."""
    found = {name: numpy_helper.to_array(tensor) for name, tensor in initializers(model).items()}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD:
            ((kind, value),) = attributes(node).items()
            if kind == "value":
                found[node.output[0]] = numpy_helper.to_array(value)
            elif kind in ("value_float", "value_floats"):
                found[node.output[0]] = np.array(value, np.float32)
            elif kind in ("value_int", "value_ints"):
                found[node.output[0]] = np.array(value, np.int64)
    return found


def producers(model: onnx.ModelProto) -> dict[str, int]:
    """Tensor -> index of the node that makes it."""
    return {name: index for index, node in enumerate(model.graph.node) for name in node.output if name}


def users(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Tensor -> indices of the nodes that read it, in graph order."""
    found: dict[str, list[int]] = {}
    for index, node in enumerate(model.graph.node):
        for name in node_inputs(node):
            found.setdefault(name, []).append(index)
    return found


def opset(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators; 0 if the model imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in STANDARD), 0)


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Shape of a value; a free dimension is None, also one that the file writes as 0 or -1."""
    return tuple(d.dim_value if d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim)


def ancestors(model: onnx.ModelProto, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Name -> those of `names` that it is computed from, itself included."""
    names, above, nothing = list(names), {}, frozenset()
    wanted = set(names)
    for node in model.graph.node:
        before = nothing.union(*(above.get(name, nothing) for name in node_inputs(node)))
        for name in node.output:
            above[name] = before | {name} if name in wanted else before
    return {name: above[name] for name in names}


def all_attributes(model: onnx.ModelProto) -> Iterator[onnx.AttributeProto]:
    """Every attribute of every node, at every depth, and what functions take for one that is not given."""
    yield from _all_parts(model)[1]


def all_types(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TypeProto.Tensor]]:
    """(name of the value, type) of every tensor that the file states, also of those in a sequence or an optional."""
    graphs, held = _all_parts(model)
    for part in graphs:
        for value in (*part.input, *part.output, *part.value_info):
            yield from ((value.name, tensor) for tensor in _tensor_types(value.type))
    for function in model.functions:
        for value in function.value_info:
            yield from ((value.name, tensor) for tensor in _tensor_types(value.type))
    for attribute in held:
        for stated in (attribute.tp, *attribute.type_protos):
            yield from ((attribute.name, tensor) for tensor in _tensor_types(stated))


def _tensor_types(stated):
    kind = stated.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        yield getattr(stated, kind)
    elif kind in ("sequence_type", "optional_type"):
        yield from _tensor_types(getattr(stated, kind).elem_type)
    elif kind == "map_type":
        yield from _tensor_types(stated.map_type.value_type)


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that the file holds: initializers and tensor attributes, of functions and bodies too."""
    graphs, held = _all_parts(model)
    for graph in graphs:
        yield from graph.initializer
        yield from _dense(graph.sparse_initializer)
    for attribute in held:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        yield from _dense(attribute.sparse_tensors)
        if attribute.HasField("sparse_tensor"):
            yield from _dense([attribute.sparse_tensor])


def _dense(sparse):
    return (tensor for item in sparse for tensor in (item.values, item.indices))


def is_float(data_type: int) -> bool:
    """Whether an ONNX element type is a floating-point type of 16 bits or more."""
    kinds = onnx.TensorProto
    return data_type in (kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the graph has Q/DQ nodes."""
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in all_nodes(model))


def has_half(model: onnx.ModelProto) -> bool:
    """Whether anything in the graph is of a 16-bit floating-point type."""
    return not element_types(model).isdisjoint({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})


def uses_fp8(model: onnx.ModelProto) -> bool:
    """Whether anything in the graph is of an FP8 type."""
    fp8 = {value for name, value in onnx.TensorProto.DataType.items() if name.startswith("FLOAT8")}
    return not element_types(model).isdisjoint(fp8)


def element_types(model: onnx.ModelProto) -> set[int]:
    """Element types of constants, inputs and outputs, of values the file states, and those that nodes convert to."""
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    types = {tensor.data_type for tensor in all_tensors(model)}
    types |= {attribute.i for attribute in all_attributes(model) if attribute.name in ("to", "output_dtype", "dtype")}
    return types | {value.type.tensor_type.elem_type for value in values}
