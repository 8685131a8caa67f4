"""Ends for a graph: pictures come in as bytes, and boxes leave it, so that little crosses to a GPU and back; and what
has room for so many rows takes and gives as many as there are.

They go onto any graph of a system, one with Q/DQ nodes too; what lies between stays as it is. TensorRT takes bytes as
input from 8.5 on where a Cast is all that reads them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from helpers.arguments import typed
from helpers.errors import BadInput, check_config
from helpers.files import PathLike, check_distinct, check_target
from helpers.graph.edit import subgraph
from helpers.graph.file import load, save
from helpers.graph.functions.body import Body
from helpers.graph.types import tensor_types, type_of
from helpers.graph.walk import copy, initializers, node_inputs, opset

PICTURES, BOXES, ROWS = "pictures", "boxes", "rows"
SOURCE = (900, 1600)  # of nuScenes' cameras, height and width


@typed
def add_ends(
    source: PathLike,
    out: PathLike,
    config: Any,
    pictures: tuple[int, int] | None = SOURCE,
    boxes: bool = True,
    rows: bool = False,
) -> PathLike:
    """Write the graph of the file `source` with the ends to `out`; returns `out`. See `with_pictures`, `with_boxes` and
    `with_rows`.

    Args:
        pictures: (height, width) of the cameras' pictures, None to leave this end as it is.
        boxes, rows: False leaves that end as it is.

    Raises:
        BadInput: as those; an output that is the input.
    """
    check_distinct(out, source)
    check_config(config, "pictures", "decoded")
    model = load(source)
    if pictures is not None:
        model = with_pictures(model, config, pictures)
    if boxes:
        model = with_boxes(model, config)
    return save(with_rows(model, config) if rows else model, out)


@typed
def cut_ends(source: PathLike, pictures: PathLike, boxes: PathLike) -> None:
    """Write what the pictures and what the boxes of the graph of the file `source` go through to files of their own.

    Before and after the graph that the ends were put on, each in an engine of its own (option `before`), they compute
    what `source` does. Pixel values and meters are so kept from the precisions that the network between is built for.

    Raises:
        BadInput: a graph without both ends; two files that are one.
    """
    for out, others in ((pictures, (source, boxes)), (boxes, (source,))):
        check_distinct(out, *others)
        check_target(out)
    model = load(source)
    (made, _), (chosen, read) = (_passed(model, end) for end in (PICTURES, BOXES))
    if not made or not chosen:
        raise BadInput(source, f"no nodes of the {BOXES if made else PICTURES}", "a graph with both ends",
                       "put them on with helpers.graph.ends.add_ends")  # fmt: skip
    subgraph(model, pictures, [PICTURES], made)
    subgraph(model, boxes, read, [value.name for value in model.graph.output if value.name in chosen])


def with_pictures(model: onnx.ModelProto, config: Any, source: tuple[int, int] = SOURCE) -> onnx.ModelProto:
    """A copy of `model` that takes the cameras' pictures as they were decoded and prepares them itself.

    In the place of the input `config.pictures`, float32 [B,N,3,H,W], comes `pictures`, uint8 [B,N,h,w,3] RGB. The
    arithmetic is that of `helpers.dataset.preparation.Preparation`.

    Args:
        source: (h, w), the size of a camera's picture.

    Raises:
        BadInput: a system whose pictures are prepared otherwise, a model without that input, with free sizes of it or
            of another type, with the names of these ends, or pictures that do not fit the network's.
    """
    check_config(config, "pictures", "preparation")
    made = copy(model)
    check_pictures(source)
    wanted = next((value for value in made.graph.input if value.name == config.pictures), None)
    if wanted is None:
        found = f"none of {', '.join(value.name for value in made.graph.input)}" if config.pictures else "no such input"
        raise BadInput(f"input {config.pictures or 'for pictures'} of the graph", found, "one that a Preparation makes",
                       "prepare the pictures on the host, or export the graph without these ends")  # fmt: skip
    kind, (batch, cameras, *rest) = wanted.type.tensor_type.elem_type, _fixed(type_of(wanted), config.pictures, 5)
    how = config.preparation()
    (height, width), (small_height, small_width) = how.size, how.resized(*source)
    if kind != TensorProto.FLOAT or rest != [3, height, width]:
        raise BadInput(f"input {config.pictures}", f"{TensorProto.DataType.Name(kind)} {rest}",
                       f"FLOAT [3, {height}, {width}], as its configuration says",
                       "pass the configuration that the graph was exported from")  # fmt: skip
    body = _Named(made, PICTURES)
    flat = body.Reshape(body.float(PICTURES), body.whole(batch * cameras, *source, 3))
    sizes = body.whole(batch * cameras, small_height, small_width, 3)
    small = body.Resize(flat, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    normal = body.Mul(body.Sub(small, body.constant(how.offset)), body.constant(how.factor))
    planes = body.Transpose(normal, perm=[0, 3, 1, 2])
    padding = body.whole(0, 0, 0, 0, 0, 0, height - small_height, width - small_width)
    padded = body.Pad(planes, padding)
    body.Reshape(padded, body.whole(batch, cameras, 3, height, width), output=config.pictures)
    wanted.CopyFrom(helper.make_tensor_value_info(PICTURES, TensorProto.UINT8, [batch, cameras, *source, 3]))
    nodes = [*body.nodes, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def check_pictures(source: Any) -> None:
    """BadInput unless `source` is the (height, width) of pictures."""
    if not (isinstance(source, Sequence) and len(source) == 2 and all(type(n) is int and n > 0 for n in source)):
        raise BadInput("pictures", repr(source), "(height, width), whole numbers above 0", "correct it")


def with_boxes(model: onnx.ModelProto, config: Any) -> onnx.ModelProto:
    """A copy of `model` that chooses and decodes its boxes itself: `config.choose` in the place of `config.decoded`.

    Raises:
        BadInput: a system that has no boxes, or a model without the outputs that they are made of, with free sizes of
            them, or with the names of this end.
    """
    check_config(config, "decoded", "choose")
    made = copy(model)
    kept = [value for value in made.graph.output if value.name not in config.decoded]
    if len(kept) + len(config.decoded) != len(made.graph.output):
        raise BadInput("outputs of the graph", [value.name for value in made.graph.output],
                       f"among them {', '.join(config.decoded)}", "pass the graph of this configuration")  # fmt: skip
    types, body = tensor_types(made), _Named(made, BOXES)
    chosen = config.choose(body, {name: _fixed(types[name], name) for name in config.decoded})
    del made.graph.output[:]
    made.graph.output.extend([*kept, *(helper.make_tensor_value_info(n, *given) for n, given in chosen.items())])
    made.graph.node.extend(body.nodes)
    return made


def with_rows(model: onnx.ModelProto, config: Any) -> onnx.ModelProto:
    """A copy of `model` that takes the rows of `config.empty` that are full and gives as many as are, however many.

    The graph inside stays as it is: the inputs' rows are filled up to its room, `config.full` tells which rows leave.

    Raises:
        BadInput: a system without such rows, or a model without those inputs, with free sizes of them, or with the
            names of this end.
    """
    check_config(config, "empty", "full")
    made = copy(model)
    body = _Named(made, ROWS)
    inputs = {value.name: value for value in made.graph.input if value.name in config.empty}
    if not config.empty or inputs.keys() != config.empty.keys():
        expected = ", ".join(config.empty) or "a system whose inputs have rows that may be empty"
        raise BadInput("inputs of the graph", ", ".join(inputs) or "none with such rows", expected,
                       "pass the graph and the configuration that it was exported from")  # fmt: skip
    outputs = {value.name: value for value in made.graph.output}
    inside = {name: f"/{ROWS}/{name}" for name in (*inputs, *outputs)}
    for name, value in inputs.items():
        _fill(body, value, inside[name], config.empty[name].value, _fixed(type_of(value), name))
    first = len(body.nodes)
    told = config.full(body, inside)
    names = {name: inside[name] for name in (*inputs, *told)}
    _move(made.graph, names, inputs | {name: outputs[name] for name in told})
    for name, value in inputs.items():
        value.type.tensor_type.shape.dim[0].dim_param = config.empty[name].dimension
    for name, dimension in told.items():
        if dimension:
            outputs[name].type.tensor_type.shape.dim[0].dim_param = dimension
    nodes = [*body.nodes[:first], *made.graph.node, *body.nodes[first:]]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def _passed(model, end):
    """What the nodes of an end make for others or as outputs, and what they read of others; constants left out."""
    own, rest = ([n for n in model.graph.node if n.name.startswith(f"/{end}/") == mine] for mine in (True, False))
    made = dict.fromkeys(name for node in own for name in node.output)
    wanted = {name for node in rest for name in node_inputs(node)} | {value.name for value in model.graph.output}
    read = dict.fromkeys(name for node in own for name in node_inputs(node))
    inside = made.keys() | initializers(model).keys()
    return [name for name in made if name in wanted], [name for name in read if name not in inside]


def _fixed(known, name, rank=None):
    """The shape of a tensor's (element type, shape); BadInput unless all sizes are fixed, `rank` of them if given."""
    shape = known[1]
    right = shape is not None and rank in (None, len(shape)) and all(isinstance(n, int) and n > 0 for n in shape)
    if not right:
        raise BadInput(f"tensor {name!r} of the graph", f"the shape {shape}", f"{rank or 'some'} fixed sizes",
                       "export the graph with fixed sizes")  # fmt: skip
    return shape


def _fill(body, value, target, empty, shape):
    """Empty rows behind an input's own, so that it has as many as the graph has room for."""
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    whole = body.Concat(value.name, body.constant(np.full(shape, empty, dtype)), axis=0)
    room = body.Slice(whole, *(body.whole(number) for number in (0, shape[0], 0)))
    body.Reshape(room, body.whole(*shape), output=target)  # says the shape, which a slice of what is free does not


def _move(part, names, values):
    """Rename tensors of a graph, whose nodes keep their order; the shapes of the old ones are told under the new."""
    for node in part.node:
        for listed in (node.input, node.output):
            listed[:] = [names.get(name, name) for name in listed]
    for name, value in values.items():
        part.value_info.add().CopyFrom(value)
        part.value_info[-1].name = names[name]


class _Named(Body):
    """Nodes `/pictures/Cast` and so on, with constants beside the graph's own weights; BadInput if there are such."""

    def __init__(self, model: onnx.ModelProto, prefix: str) -> None:
        super().__init__(opset(model))
        made = [name for node in model.graph.node for name in (node.name, *node.output)]
        made += [value.name for value in (*model.graph.initializer, *model.graph.input)]
        if taken := [name for name in made if name == prefix or name.startswith(f"/{prefix}/")]:
            found = f"{taken[0]!r} and {len(taken) - 1} more names of this end"
            raise BadInput("the graph", found, "a graph without this end", "pass the graph as it was exported")
        self.model, self.prefix = model, prefix

    def node_name(self, op_type):
        return f"/{self.prefix}/{op_type}_{len(self.nodes)}"

    def tensor_name(self, op_type, position):
        return f"{self.node_name(op_type)}_output_{position}"

    def constant(self, value: np.ndarray) -> str:
        """An array as a constant."""
        name = f"/{self.prefix}/constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def whole(self, *values: int) -> str:
        """Whole numbers [len(values)] as a constant."""
        return self.constant(np.array(values, np.int64))
