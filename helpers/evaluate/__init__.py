"""A network evaluated over a split by any number of processes and hosts, which may be interrupted at any moment.

Scenes are shared out, since a network remembers within a scene; the result of every frame is a file that is whole or
absent (`helpers.evaluate.store`). Whoever runs the same evaluation in the same folder again goes on: frames that have a
file are not saved a second time, and of a scene that was broken off the frames before are driven again, for the memory.
What is made of all frames is read from the files in the order of the split, so that it is the same for any number of
processes, in one run or in many. No torch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from helpers.arguments import typed
from helpers.dataset import Dataset, stream
from helpers.errors import BadInput, check_config
from helpers.evaluate.driving import Driving
from helpers.evaluate.share import Worker
from helpers.evaluate.store import Store
from helpers.evaluate.tasks import Detection, Occupancy, Task
from helpers.metrics.driven import Run, decoded

__all__ = ["TASKS", "Outcome", "Store", "Task", "Worker", "evaluate", "task_of", "work"]

TASKS: dict[str, type[Task]] = {"detection": Detection, "occupancy": Occupancy, "driving": Driving}


class Outcome(NamedTuple):
    """metrics: of the whole split, None while frames are missing. missing: frames that have no result yet. driven:
    frames whose result this call has saved.
    """

    metrics: dict[str, float] | None
    missing: int
    driven: int


def evaluate(
    open_run: Callable[[], Run],
    dataset: Dataset,
    config: Any,
    store: Store,
    worker: Worker | None = None,
    task: Task | None = None,
    progress: bool = True,
) -> Outcome:
    """Drive this process's share of the scenes, as far as it is not done, and make the metrics if all is done then.

    Args:
        open_run: gives what runs a frame: input name -> array to output name -> array. Called if there is work.
        config: of the system: its states, `inputs`, `decode` and `task`.
        store: the folder of this evaluation.
        worker: which process this is; by default what torchrun says, or the only one.
        task: what is kept of a frame and made of all; by default that of `config`.

    Returns:
        Outcome. Of several processes, that which sees the last frame done has the metrics and writes metrics.json; a
        call when all is done has them at once.

    Raises:
        BadInput: as the metrics of the task, and for a result that is damaged.
    """
    check_config(config, "states", "inputs", "decode", *(() if task else ("task",)))
    if not callable(open_run) or not hasattr(dataset, "tokens") or not isinstance(store, Store):
        found = ", ".join(f"a {type(one).__name__}" for one in (open_run, dataset, store))
        raise BadInput("arguments of evaluate", found, "a function, a Dataset and a Store", "pass them in this order")
    task = task or task_of(config)
    driven = work(open_run, dataset, config, store, worker or Worker.from_environment(), task, progress)
    missing = len(store.frames) - store.done()
    if missing:
        return Outcome(None, missing, driven)
    store.tidy()
    metrics = task.total(store.results(), dataset)
    store.save_metrics(metrics)
    return Outcome(metrics, 0, driven)


@typed
def task_of(config: Any) -> Task:
    """The task that a configuration names; BadInput where it names none of `TASKS`."""
    if config.task not in TASKS:
        fix = f"evaluate a system whose task is one of {', '.join(TASKS)}, or pass a Task"
        raise BadInput(f"config {config.name!r}", f"task {config.task!r}", f"one of {', '.join(TASKS)}", fix)
    return TASKS[config.task]()


def work(
    open_run: Callable[[], Run],
    dataset: Dataset,
    config: Any,
    store: Store,
    worker: Worker,
    task: Task,
    progress: bool = True,
) -> int:
    """Drive a process's share of the scenes, as far as it is not done; returns how many frames it has saved.

    Where it fails before anything is saved, the folder is left as it was, unless other processes share the work.
    """
    try:
        return _driven(open_run, dataset, config, store, worker, task, progress)
    except BaseException:
        if worker.count == 1:
            store.release()
        raise


def _driven(open_run, dataset, config, store, worker, task, progress):
    scenes = worker.share(store.scenes())
    todo = {scene: tokens for scene in scenes if (tokens := store.missing(scene))}
    if not todo:
        return 0
    run, saved, number = open_run(), 0, {token: i for i, token in enumerate(dataset.tokens)}
    with tqdm(desc=str(worker), total=sum(map(len, todo.values())), unit="frame", disable=not progress) as bar:
        for scene, tokens in todo.items():
            first, last = (number[token] for token in (store.scenes()[scene][0], tokens[-1]))
            steps = stream((dataset[i] for i in range(first, last + 1)), config)
            for frame, found in decoded(run, steps, config, progress=False):
                if frame.token in tokens:
                    store.save(scene, frame.token, task.keep(frame, found, dataset))
                    saved += 1
                    bar.update()
    return saved
