"""Two engines that run as one: the first is the option `before` with which the second is loaded."""

from collections.abc import Mapping
from pathlib import Path

from helpers.engine.base import Engine, Tensor
from helpers.errors import BadInput


def without(inputs: Mapping[str, Tensor], before: Engine | None, kind: type, path: Path) -> dict[str, Tensor]:
    """What must be given to two engines that run as one: the inputs of `before`, and those that it does not make.

    Args:
        inputs: of the second engine, the file at `path`.
        before: an engine of the class `kind`; None leaves `inputs` as they are.

    Raises:
        BadInput: another kind of engine, one with states, or an output of it that does not fit.
    """
    if before is None:
        return dict(inputs)
    where, fix = f"option before of {path}", "cut one graph in two with helpers.graph.split"
    if not isinstance(before, kind) or before.states:
        found = f"{type(before).__name__}{' with states' if isinstance(before, Engine) else ''}"
        raise BadInput(where, found, f"a loaded {kind.__name__} without states", "load it with the same runtime")
    for name, tensor in before.outputs.items():
        if inputs.get(name) != tensor:
            raise BadInput(f"{where}: {name}", tensor, f"{inputs.get(name, 'no such input')}", fix)
    both = before.inputs.keys() & inputs
    if both:
        raise BadInput(where, f"{', '.join(both)} in both", "inputs of one of the two", fix)
    return before.inputs | {name: tensor for name, tensor in inputs.items() if name not in before.outputs}


def alone(before: Engine | None) -> None:
    """BadInput for the profile of an engine that another runs before."""
    if before is not None:
        raise BadInput("profile", "two engines that run as one", "one engine", "load and profile each of them")
