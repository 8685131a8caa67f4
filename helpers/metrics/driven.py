"""A network driven over frames, its states carried: the one loop behind every metric. No torch."""

from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import Any

from tqdm.auto import tqdm

from helpers.dataset import Dataset, Frame, stream
from helpers.errors import check_config
from helpers.sequence import Arrays, Step, rollout

Run = Callable[[Arrays], Arrays]  # the inputs of one frame to its outputs


def decoded(
    run: Run, steps: Iterable[Step], config: Any, progress: bool = True, total: int | None = None
) -> Iterator[tuple[Frame, Any]]:
    """Run a network over frames in order, its states carried within a scene; yield (frame, what `config` decodes).

    Args:
        run: input name -> array to output name -> array, for example an engine's `run`.
        steps: of `helpers.dataset.stream(frames, config)`; a list of them serves several networks, read once.
        config: of the system: its states and `decode`.
        total: number of steps for the progress bar, where `steps` does not tell.
    """
    check_config(config, "states", "initial_states", "decode")
    running = rollout(run, steps, config.states, config.initial_states())
    total = total or length_hint(steps) or None
    for step, _, outputs in tqdm(running, "evaluate", total, disable=not progress, unit="frame"):
        yield step.frame, config.decode(outputs)


def driven(
    run: Run, dataset: Dataset, config: Any, steps: Iterable[Step] | None = None, progress: bool = True
) -> Iterator[tuple[Frame, Any]]:
    """`decoded` over a split, or over those `steps` of it that are given."""
    total = len(dataset) if steps is None else None
    return decoded(run, stream(dataset, config) if steps is None else steps, config, progress, total)
