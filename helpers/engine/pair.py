"""Engines that run as one: the first is the option `before` with which the second is loaded, and may have one too."""

from collections.abc import Mapping
from pathlib import Path

from helpers.engine.base import Engine, Tensor
from helpers.errors import BadInput

Tensors = dict[str, Tensor]


def joined(
    inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], before: Engine | None, kind: type, path: Path
) -> tuple[Tensors, Tensors]:
    """(inputs, outputs) of two engines that run as one: what must be given to them, and what they give.

    These are the inputs of `before` and those of the second that it does not make, and the outputs of the second behind
    those of `before` that it does not take.

    Args:
        inputs, outputs: of the second engine, the file at `path`.
        before: an engine of the class `kind`; None leaves them as they are.

    Raises:
        BadInput: another kind of engine, one with states, none of whose outputs the second takes, an output that does
            not fit, or a name that both have.
    """
    if before is None:
        return dict(inputs), dict(outputs)
    where, fix = f"option before of {path}", "cut one graph in two with helpers.graph.split"
    if not isinstance(before, kind) or before.states:
        found = f"{type(before).__name__}{' with states' if isinstance(before, Engine) else ''}"
        expected = f"a loaded {kind.__name__} without states"
        raise BadInput(where, found, expected, "load it with the same runtime, and the second one with the states")
    passed = {name: tensor for name, tensor in before.outputs.items() if name in inputs}
    if not passed:
        raise BadInput(where, f"outputs {', '.join(before.outputs)}", f"one of {', '.join(inputs)}", fix)
    for name, tensor in passed.items():
        if inputs[name] != tensor:
            raise BadInput(f"{where}: {name}", tensor, f"{inputs[name]}", fix)
    kept = {name: tensor for name, tensor in before.outputs.items() if name not in passed}
    for what, both in (("inputs", before.inputs.keys() & inputs), ("outputs", kept.keys() & outputs)):
        if both:
            raise BadInput(where, f"{', '.join(sorted(both))} in both", f"{what} of one of the two", fix)
    return before.inputs | {name: t for name, t in inputs.items() if name not in passed}, kept | dict(outputs)


def alone(before: Engine | None) -> None:
    """BadInput for the profile of an engine that another runs before."""
    if before is not None:
        raise BadInput("profile", "engines that run as one", "one engine", "load and profile each of them")
