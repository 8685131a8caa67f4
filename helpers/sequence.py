"""Frames in the order of time, and the one loop that runs a network over them and carries its state. NumPy only."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput

Arrays = dict[str, np.ndarray]


class Step(NamedTuple):
    """One frame of a sequence.

    feeds: input name -> array, without the network's states. first: whether a sequence begins here, so that nothing is
    remembered. frame: what the feeds were made of, such as a `helpers.dataset.Frame`, or None.
    """

    feeds: Arrays
    first: bool
    frame: object = None


@typed
def zeros(inputs: Mapping[str, tuple[Any, Any]], names: Iterable[str]) -> Arrays:
    """Zeros for these of an engine's inputs, name -> (shape, dtype), such as its states where a sequence begins.

    Raises:
        BadInput: a name that is none of them.
    """
    names = list(names)
    if lacking := [name for name in names if name not in inputs]:
        raise BadInput(f"state {lacking[0]!r}", "no such input", f"one of {list(inputs)}",
                       "pass the configuration that the network was exported from")  # fmt: skip
    return {name: np.zeros(*inputs[name]) for name in names}


@typed
def beginning(
    inputs: Mapping[str, tuple[Any, Any]], names: Iterable[str], initial: Mapping[str, np.ndarray] | None = None
) -> Arrays:
    """These of an engine's inputs, name -> (shape, dtype), where a sequence begins.

    Args:
        names: of the states.
        initial: state -> array, such as `config.initial_states()`; zeros where it has none.

    Raises:
        BadInput: an array that is not all zeros, of another shape or kind of number than the input has.
    """
    found, begun = zeros(inputs, names), initial or {}
    for name in found.keys() & begun:
        array, (shape, dtype) = np.asarray(begun[name]), inputs[name]
        if not array.any():
            continue
        if array.shape != tuple(shape) or array.dtype.kind != np.dtype(dtype).kind:
            given, expected = f"{array.dtype}{list(array.shape)}", f"{np.dtype(dtype)}{list(shape)}"
            raise BadInput(f"initial state {name}", given, expected, "pass initial_states() of the configuration")
        found[name] = array.astype(dtype)
    return found


def as_steps(frames: Iterable[Step | Arrays]) -> Iterator[Step]:
    """Frames as steps: a `Step` stays as it is; of bare feeds in order, the first begins the sequence."""
    if isinstance(frames, Mapping):
        raise BadInput("frames", "the inputs of one frame", "a list of frames", "pass [inputs]")
    if not isinstance(frames, Iterable) or isinstance(frames, str):
        raise BadInput("frames", type(frames).__name__, "a list of frames", "pass one")
    for index, frame in enumerate(frames):
        if not isinstance(frame, Step | Mapping):
            raise BadInput(f"frame {index}", type(frame).__name__, "a Step, or a dict, name: array", "pass one")
        yield frame if isinstance(frame, Step) else Step(frame, index == 0)


def rollout(
    run: Callable[[Arrays], Arrays],
    steps: Iterable[Step],
    states: Mapping[str, str],
    initial: Mapping[str, np.ndarray],
    reset: bool = True,
    restart: Callable[[], None] | None = None,
) -> Iterator[tuple[Step, Arrays, Arrays]]:
    """Run a network over `steps` and yield (step, feeds, outputs) of each, as it is asked for.

    Args:
        run: input name -> array to output name -> array. States are handed on as copies.
        states: input name -> the output that feeds it on the next frame; empty for a runner that keeps its states.
        initial: input name -> array of every state where a sequence begins, such as `config.initial_states()`; a state
            keeps its dtype.
        reset: False carries the old states across `step.first` and starts from `initial` once: a calibration set then
            holds a state on every frame.
        restart: called where the states are `initial` again, for a runner that keeps its states itself.

    Raises:
        BadInput: a state without an initial value, or an output of `states` that `run` does not give, or gives in
            another shape or kind of number.
    """
    if not isinstance(states, Mapping):
        raise BadInput("states", type(states).__name__, "a dict, input: output", "pass config.states")
    if not isinstance(initial, Mapping) or not callable(run):
        found = f"run {type(run).__name__}, initial {type(initial).__name__}"
        raise BadInput("rollout", found, "a function, and a dict, state: array", "pass them")
    _check(states, initial, "initial states", "pass an array for every state, such as config.initial_states()")
    current = _copies(initial, states)
    for step in as_steps(steps):
        if step.first and reset:
            current = _copies(initial, states)
            if restart:
                restart()
        feeds = step.feeds | current
        outputs = run(feeds)
        if not isinstance(outputs, Mapping):
            raise BadInput("run", f"gave a {type(outputs).__name__}", "a dict, output: array", "return one")
        _check(states.values(), outputs, "outputs of the network", "let `states` name outputs that the network has")
        current = {name: _next(name, initial[name], source, outputs[source]) for name, source in states.items()}
        yield step, feeds, outputs


def _copies(initial, states):
    return {name: np.array(initial[name]) for name in states}


def _next(name, initial, source, output):
    """A copy of the output in the type of the state that it becomes."""
    state, output = np.asarray(initial), np.asarray(output)
    if output.shape != state.shape or output.dtype.kind != state.dtype.kind:
        found = f"{output.dtype}{list(output.shape)}, but {name} is {state.dtype}{list(state.shape)}"
        raise BadInput(f"output {source}", found, "the shape and kind of number of the state", "mend `states`")
    return output.astype(state.dtype)


def _check(names, present, where, fix):
    missing = [name for name in names if name not in present]
    if missing:
        raise BadInput(where, f"no {', '.join(missing)} among {', '.join(present) or 'none'}", "all states", fix)
