"""The vision part on the next frame while the language model answers for this one: both compute, neither waits.

What the network sees of a frame hangs on the frame before, never on an answer. So a frame's answer may still be
generated when the next frame's pictures are there: frames come as fast as the slower of the two parts, not as fast as
both one after the other. An answer is not there sooner for it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from helpers import signals
from helpers.arguments import typed
from helpers.errors import BadInput, check_config
from helpers.llm.generate import GREEDY, Sampling
from helpers.planner import Answer, Planner
from helpers.sequence import Arrays, Step, rollout


class Planned(NamedTuple):
    """step: the frame. outputs: of the network. answer: of the planner."""

    step: Step
    outputs: Arrays
    answer: Answer


@typed
def drive(
    run: Callable[[Arrays], Arrays],
    steps: Iterable[Step],
    config: Any,
    planner: Planner,
    ahead: int = 1,
    sampling: Sampling = GREEDY,
) -> Iterator[Planned]:
    """Run the network over `steps` with its memory, ask for the path of every frame, yield frames in order.

    Args:
        run: input name -> array to output name -> array, such as an engine's `run`, which lets other threads compute.
        config: of a system with a table for a language model.
        planner: asked in one thread of its own, one frame after the other.
        ahead: frames that the network may be ahead of the answers; 0 does one after the other. An answer is yielded
            when the network has seen `ahead` frames more.

    Raises:
        BadInput: a configuration without a table, or `ahead` below 0; what `run` or the planner raise, at its frame.
    """
    check_config(config, "states", "initial_states")
    if not getattr(config, "table", ""):
        raise BadInput("config", "no table for a language model", "a system that has one", "take OmniDrive's")
    if ahead < 0:
        raise BadInput("ahead", ahead, "0 or more frames", "correct it")
    return _driven(run, steps, config, planner, ahead, sampling)


def _driven(run, steps, config, planner, ahead, sampling):
    def answer(step, outputs):
        return planner.answer(outputs[config.table][0], step.frame.location, sampling=sampling)

    waiting: deque = deque()
    worker = ThreadPoolExecutor(1)
    try:
        for step, _, outputs in rollout(run, steps, config.states, config.initial_states()):
            waiting.append((step, outputs, worker.submit(answer, step, outputs)))
            while len(waiting) > ahead:
                yield _finished(waiting)
        while waiting:
            yield _finished(waiting)
    finally:  # the caller stopped, or a frame failed: nothing more is asked, and no answer outlives its engine
        with signals.deferred():
            worker.shutdown(cancel_futures=True)


def _finished(waiting):
    step, outputs, later = waiting.popleft()
    return Planned(step, outputs, later.result())
