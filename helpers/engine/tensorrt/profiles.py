"""Optimization profiles: min, opt and max shapes of every input with free dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.errors import BadInput
from helpers.files import PathLike

Profile = dict[str, list[list[int]]]


def checked(shapes: Mapping[str, Sequence[Sequence[int]]] | None) -> Profile:
    """{input: [min, opt, max]} as lists; BadInput unless they are of one rank and in this order."""
    profile = {name: [list(shape) for shape in three] for name, three in (shapes or {}).items()}
    for name, three in profile.items():
        ordered = len(three) == 3 and len(set(map(len, three))) == 1
        if not ordered or any(not a <= b <= c for a, b, c in zip(*three, strict=True)):
            expected = "(min, opt, max) of one rank, in this order"
            fix = "pass three shapes with as many dimensions as the input has"
            if ordered:
                fix = f"pass {[list(shape) for shape in zip(*map(sorted, zip(*three, strict=True)), strict=True)]}"
            raise BadInput(f"option shapes[{name!r}]", three, expected, fix)
    return profile


def check(onnx_path: PathLike, model: Any, shapes: Mapping[str, Any]) -> None:
    """BadInput unless `shapes` has what every input with free dimensions needs, and nothing else.

    Args:
        model: ModelProto, read from `onnx_path`.
    """
    from helpers.graph import walk  # onnx, which running an engine does without

    known = {value.name: tuple(size or -1 for size in walk.shape_of(value)) for value in walk.inputs(model)}
    for name, three in shapes.items():
        _check(f"option shapes[{name!r}] for {onnx_path}", name, three, known)
    for name, shape in known.items():
        if -1 in shape and name not in shapes:
            fix = "pass shapes, or --minShapes, --optShapes and --maxShapes"
            raise BadInput(f"input {name!r} of {onnx_path}", f"free dimensions {shape} and no shapes",
                           "min, opt and max shapes", fix)  # fmt: skip


def _check(where, name, three, inputs):
    if name not in inputs:
        raise BadInput(where, "no such input", f"one of {list(inputs)}", "correct the name")
    known = inputs[name]
    if -1 not in known:
        raise BadInput(where, f"an input of the fixed shape {known}", "inputs with free dimensions",
                       "leave it out, or export the graph with free dimensions")  # fmt: skip
    for shape in three:
        if len(shape) != len(known) or any(a not in (-1, b) for a, b in zip(known, shape, strict=True)):
            raise BadInput(where, tuple(shape), f"a shape that fits {known}", "correct the shape")


def add(builder: Any, network: Any, config: Any, shapes: Mapping[str, Any]) -> Any:
    """Add a profile for the network's free inputs; returns it, or None if no input has a free dimension."""
    inputs = map(network.get_input, range(network.num_inputs))
    free = [tensor.name for tensor in inputs if -1 in tensor.shape and tensor.name in shapes]
    if not free:
        return None
    profile = builder.create_optimization_profile()
    for name in free:
        profile.set_shape(name, *shapes[name])
    config.add_optimization_profile(profile)
    return profile
