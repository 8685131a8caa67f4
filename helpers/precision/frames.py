"""What both runners are fed: the frames, checked, with the states as the reference has them."""

from collections.abc import Mapping

import numpy as np

from helpers.errors import BadInput
from helpers.npz import check_numbers
from helpers.precision.runners import Arrays, Runner
from helpers.sequence import Step, rollout


def feeds_of(reference: Runner, steps: list[Step], states: Mapping[str, str]) -> list[Arrays]:
    """All inputs of every one of the `steps`: its own, and those of `states` as the runner `reference` has them."""
    if not steps:
        raise BadInput("frames", "none", "at least one dict of arrays", "pass a list of frames")
    given = {name for step in steps for name in step.feeds}
    carried = {name: source for name, source in states.items() if name in reference.inputs and name not in given}
    initial = {name: _zeros(reference, name) for name in carried}
    for index, step in enumerate(steps):
        _check_frame(initial | step.feeds, reference, f"frame {index}")
    if not carried or len(steps) == 1:
        return [initial | step.feeds for step in steps]
    return [feeds for _, feeds, _ in rollout(reference.probe(list(carried.values())), steps, carried, initial)]


def _zeros(reference, name):
    shape = reference.inputs[name]
    if None in shape:
        raise BadInput(f"state {name}", f"free dimensions in {shape}", "a shape", "give the frames an array for it")
    return np.zeros(shape, reference.types.get(name, np.float32))


def _check_frame(feeds, reference, where):
    """BadInput unless there is an array of numbers for every input, of its shape and of a type that converts to its."""
    shapes, found = reference.inputs, {name: np.shape(array) for name, array in feeds.items()}
    fits = found.keys() == shapes.keys() and all(
        len(found[name]) == len(shape) and all(s in (f, None) for f, s in zip(found[name], shape, strict=True))
        for name, shape in shapes.items()
    )
    if not fits:
        raise BadInput(where, found, shapes, "pass an array of this shape for every input")
    for name, array in feeds.items():
        dtype, wanted = np.asarray(array).dtype, np.dtype(reference.types.get(name, np.float32))
        if not np.can_cast(dtype, wanted, "same_kind"):
            raise BadInput(f"{where}: input {name}", dtype, wanted, f"convert with array.astype(np.{wanted})")
        check_numbers(f"{where}: input {name}", np.asarray(array), wanted)
