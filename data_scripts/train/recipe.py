"""What the trainings of all systems share: options, schedule, moving average, frames read in parallel, checkpoints."""

import argparse
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import cv2
import torch
from torch import Tensor, nn
from tqdm import tqdm

from helpers import files, processes
from helpers.cli import numbers
from helpers.errors import BadInput, foreign
from helpers.models.checkpoints import write_tensors
from helpers.processes import die_with

LEFT, OTHER_STATE = "what a training of this kind left", "name another --state, or a file that is not there yet"


def options(name: str, description: str, batch: int, lr: float, reads: bool = True) -> argparse.ArgumentParser:
    """The options that every training has; the checkpoint is that of the mini of the system `name`.

    reads: whether it reads data roots; one that makes its data as it goes has no option for them.
    """
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        f"python -m data_scripts.train.{name}", description=description, formatter_class=form
    )
    if reads:
        parser.add_argument("--dataroot", nargs="+", default=["data/minidrive_train"], help="one or more data roots")
        parser.add_argument("--val", default="data/minidrive", help="MiniDrive whose mini_val is evaluated")
    parser.add_argument("--out", type=Path, default=files.ROOT / f"checkpoints/{name}_mini.safetensors")
    parser.add_argument("--steps", type=numbers.whole(1, 10**8), default=12000, help="length of the schedule in steps")
    parser.add_argument("--minutes", type=minutes, default=math.inf, help="length of the schedule in time, if shorter")
    parser.add_argument("--batch", type=numbers.whole(1, 10**6), default=batch)
    parser.add_argument("--lr", type=numbers.real(1e-12, 1e3), default=lr)
    parser.add_argument("--seed", type=numbers.whole(0, 2**32 - 1), default=0)
    parser.add_argument("--workers", type=numbers.whole(1, 10_000), default=None)
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def minutes(text: str) -> float:
    """The `type=` of a time in minutes; "inf" is no limit."""
    return math.inf if text == "inf" else numbers.real(1e-3, 1e6)(text)


def device(text: str) -> str:
    """The `type=` of a device of PyTorch, such as cpu or cuda:1."""
    try:
        return str(torch.device(text))
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no device: cpu, or cuda and its number") from error


def parsed(parser: argparse.ArgumentParser, argv: list[str] | None, folder: bool = False) -> argparse.Namespace:
    """The options of a training, after what would end it only when it has run: where it writes, and on what it runs.

    folder: whether --out is one; else it is a file with a card beside it.

    Raises:
        BadInput: a file to write that cannot be, or a device that is not here.
    """
    args = parser.parse_args(argv)
    files.check_target(args.out, folder)
    others = (
        getattr(args, "state", None),
        getattr(args, "tell", None),
        None if folder else args.out.with_suffix(".json"),
    )
    for path in filter(None, others):
        files.check_target(path)
    with foreign(f"--device {args.device}", "a device of this machine", "leave it out, or pass --device cpu"):
        torch.empty(0, device=args.device)
    return args


def left(path: Path | None, device: str | torch.device, *names: str) -> dict[str, Any] | None:
    """What an earlier piece of a training left in a file, by these names; None if there is no file.

    Raises:
        BadInput: the file holds something else.
    """
    if path is None or not path.exists():
        return None
    with foreign(path, LEFT, OTHER_STATE):
        content = torch.load(path, weights_only=True, map_location=device)
    if not isinstance(content, dict) or set(names) - content.keys():
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise BadInput(path, f"{found or 'nothing':.80}", f"{LEFT}: {', '.join(names)}", OTHER_STATE)
    return content


class Resumable:
    """A trainer that goes on where another one was left. parts: names of what has a state_dict, in order."""

    parts: ClassVar[tuple[str, ...]] = ("model", "average", "optimizer")
    step: int

    def state_dict(self) -> dict[str, Any]:
        """What a further piece of the training needs; where it draws its data begins anew."""
        return {"step": self.step} | {part: getattr(self, part).state_dict() for part in self.parts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for part in self.parts:
            getattr(self, part).load_state_dict(state[part])
        self.step = state["step"]
        torch.manual_seed(self.step)


def program(main: Callable[[], int | None]) -> int:
    """The exit code of a training as a program: 2 with what is wrong, where its input is."""
    return processes.program(lambda: main() or 0)


def learning_rate(lr: float, step: int, progress: float, warm_up: int) -> float:
    """Linear warm-up over `warm_up` steps, then a cosine down to 1 % of `lr` as `progress` goes from 0 to 1."""
    warm = min(1.0, (step + 1) / warm_up)
    return lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the weights and statistics of `average` towards those of `model`; what only counts is copied.

    A tensor that has several names moves once.
    """
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    for mean, value in {mean.data_ptr(): (mean, value) for mean, value in pairs}.values():
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def varied(images: Tensor, jitter: float) -> Tensor:
    """Normalized pictures [B, N, 3, H, W] of other contrast and light, by up to `jitter`."""
    gain, shift = (torch.empty(len(images), 1, 1, 1, 1, device=images.device).uniform_(-jitter, jitter) for _ in "ab")
    return images * (1 + gain) + shift


def in_processes(load: Callable[..., dict], jobs: list[tuple], workers: int | None) -> list[list[dict]]:
    """`load(*job)` of every job in worker processes of one thread each; the results by their `scene`, in order."""
    spawn = get_context("spawn")  # a fork of a process with threads may wait forever for a lock that one of them held
    with ProcessPoolExecutor(workers, spawn, begin_worker, (os.getpid(),)) as pool:
        running = pool.map(load, *zip(*jobs, strict=True), chunksize=4)
        loaded = list(tqdm(running, total=len(jobs), desc="reading frames", mininterval=5))
    scenes: dict[str, list[dict]] = {}
    for item in loaded:
        scenes.setdefault(item.pop("scene"), []).append(item)
    return list(scenes.values())


def begin_worker(parent: int) -> None:
    """What a worker process starts with: it dies with its parent and has one thread."""
    die_with(parent)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def save(
    args: argparse.Namespace,
    weights: Mapping[str, Tensor],
    step: int,
    scenes: Iterable[list],
    progress: float,
    evaluate: Callable[[], Mapping[str, float]],
) -> dict[str, Any]:
    """Write the weights, then evaluate them and write a summary of how they came about; returns the summary."""
    with files.atomic(args.out) as part:
        write_tensors(weights, part)
    lengths = [len(scene) for scene in scenes]
    summary = {
        "step": step,
        "batch": args.batch,
        "lr": args.lr,
        "seed": args.seed,
        "scenes": len(lengths),
        "frames": sum(lengths),
        "progress": round(progress, 3),
        "metrics": evaluate(),
    }
    with files.atomic(args.out.with_suffix(".json")) as part:
        part.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary
