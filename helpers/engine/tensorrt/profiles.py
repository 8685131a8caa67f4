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
            raise BadInput(f"option shapes[{name!r}]", three, expected, "correct it")
    return profile


def add(onnx_path: PathLike, builder: Any, network: Any, config: Any, shapes: Mapping[str, Any]) -> Any:
    """Add a profile for the network's free inputs; returns it, or None if no input has a free dimension.

    Raises:
        BadInput: a free input without shapes, shapes of an unknown input or one of fixed shape, or that do not fit.
    """
    inputs = {tensor.name: tuple(tensor.shape) for tensor in map(network.get_input, range(network.num_inputs))}
    free = {name: shape for name, shape in inputs.items() if -1 in shape}
    for name, three in shapes.items():
        _check(f"option shapes[{name!r}] for {onnx_path}", name, three, inputs)
    for name, shape in free.items():
        if name not in shapes:
            fix = "pass shapes, or --minShapes, --optShapes and --maxShapes"
            raise BadInput(f"input {name!r} of {onnx_path}", f"free dimensions {shape} and no shapes",
                           "min, opt and max shapes", fix)  # fmt: skip
    if not free:
        return None
    profile = builder.create_optimization_profile()
    for name in free:
        profile.set_shape(name, *shapes[name])
    config.add_optimization_profile(profile)
    return profile


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
