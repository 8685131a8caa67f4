"""A training on ever new scenes, which workers render meanwhile: its options, reports, evaluations and files."""

import abc
import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from data_scripts.train import recipe
from data_scripts.train.ahead import Ahead
from data_scripts.train.omnidrive.stream import Store
from helpers import cores, dataset, files
from helpers.cli import numbers
from helpers.errors import BadInput, foreign


def options(name: str, description: str, batch: int, lr: float, keep: int, every: int) -> argparse.ArgumentParser:
    """The options of such a training. keep: scenes. every: seconds between evaluations."""
    parser = recipe.options(name, description, batch=batch, lr=lr, reads=False)
    parser.set_defaults(seed=1, steps=10**6)
    parser.add_argument("--val", default="data/minidrive", help="MiniDrive that is evaluated")
    parser.add_argument("--split", default="mini_val", help="of it (mini_val)")
    parser.add_argument("--frames", type=numbers.whole(2, 1000), default=20, help="of each scene (20)")
    parser.add_argument("--keep", type=numbers.whole(1, 10**6), default=keep, help="scenes, the newest ones")
    parser.add_argument("--least", type=numbers.whole(1, 10**6), default=16, help="scenes before the first step")
    parser.add_argument("--report", type=numbers.real(0, 1e6), default=20, help="seconds from report to report")
    parser.add_argument("--every", type=numbers.real(0, 1e6), default=every, help="seconds between evaluations")
    parser.add_argument("--state", type=Path, help="file to go on from, and to leave for the next piece")
    return parser


class Run(abc.ABC):
    """A training of the network of `config`, which goes on where `--state` was left.

    Attributes:
        often: steps from one look for new scenes to the next.
        anew: whether there was no state to go on from.
    """

    often: ClassVar[int] = 1

    def __init__(self, args: argparse.Namespace, config: Any, **about: tuple[str, str]) -> None:
        """Begin, or go on. about: what a state has to agree in, name -> (value, how to mend another).

        Raises:
            BadInput: a state of another training.
        """
        self.args, self.config, self.spent, self.first = args, config, 0.0, 0
        self.about = {name: value for name, (value, _) in about.items()}
        self.data = dataset.open_dataset(args.val, split=args.split)
        left = recipe.left(args.state, args.device, "trainer", "spent", "scenes", *about)
        if left:
            for name, (value, fix) in about.items():
                if left[name] != value:
                    raise BadInput(args.state, f"{name} {left[name]}", value, fix)
            with foreign(args.state, recipe.LEFT, recipe.OTHER_STATE):
                self.spent, self.first = float(left["spent"]), int(left["scenes"])
        self.began = time.time() - self.spent
        self.stream = self.open_stream(args.workers or max(1, cores.count() - 2))
        self.steps = self.read_steps()  # while the workers are at their first scenes
        self.store = Store(args.keep, args.device)
        while self.store.held < min(args.least, args.keep):
            self.take(block=True)
        self.trainer, self.anew = self.make_trainer(), not left
        if left:
            with foreign(args.state, recipe.LEFT, recipe.OTHER_STATE):
                self.trainer.load_state_dict(left["trainer"])

    @abc.abstractmethod
    def open_stream(self, workers: int) -> Ahead:
        """Ever new scenes, from number `first` on."""

    @abc.abstractmethod
    def make_trainer(self) -> Any:
        """What takes steps on the store: `train_step`, `average`, `step`, and as `recipe.Resumable`."""

    @abc.abstractmethod
    def scored(self, network: nn.Module) -> Mapping[str, float]:
        """The metrics of a network over `steps`."""

    def read_steps(self) -> list:
        """The steps of `data`, read once."""
        return list(dataset.stream(self.data, self.config))

    def weights(self, network: nn.Module) -> dict[str, Tensor]:
        """What the checkpoint holds."""
        return network.state_dict()

    def progress(self) -> float:
        """0..1 of the schedule, by steps or by time."""
        return max(self.trainer.step / self.args.steps, (time.time() - self.began) / (60 * self.args.minutes))

    def take(self, block: bool = False) -> None:
        """Bring what the workers have made into the store."""
        for scene in self.stream.ready(block):
            self.store.add(scene)

    def train(self) -> None:
        """Steps until the schedule ends; the workers end with it, however it ends."""
        try:
            self._train()
        finally:
            self.stream.close()
        self.evaluate(1.0)

    def _train(self):
        report_at = evaluate_at = time.time()
        sums, counted = {}, 0
        while (progress := self.progress()) < 1:
            for name, part in self.trainer.train_step(progress).items():
                sums[name] = sums.get(name, 0) + part
            counted += 1
            if self.trainer.step % self.often == 0:
                self.take()
            if time.time() > report_at + self.args.report:
                self.report(sums, counted, counted / (time.time() - report_at), progress)
                sums, counted, report_at = {}, 0, time.time()
            if time.time() > evaluate_at + self.args.every:
                self.evaluate(progress)
                evaluate_at = time.time()

    def report(self, sums: Mapping[str, Any], counted: int, rate: float, progress: float) -> None:
        """One line: the parts of the loss since the last one."""
        parts = "  ".join(f"{name} {float(value) / counted:.3f}" for name, value in sums.items())
        print(f"{time.time() - self.began:5.0f} s  step {self.trainer.step}  progress {progress:.3f}  {parts}  "
              f"{rate:.2f} steps/s  {self.first + self.stream.taken} scenes", flush=True)  # fmt: skip

    def evaluate(self, progress: float) -> None:
        """Write the checkpoint and its figures, and what the next piece goes on from."""
        network, scenes = self.trainer.average, self.first + self.stream.taken
        lengths = [[None] * self.args.frames] * scenes
        summary = recipe.save(self.args, self.weights(network), self.trainer.step, lengths, progress,
                              lambda: self.scored(network))  # fmt: skip
        print(json.dumps(summary | {"seconds": round(time.time() - self.began)}), flush=True)
        if self.args.state:
            left = {"trainer": self.trainer.state_dict(), "spent": time.time() - self.began, "scenes": scenes}
            with files.atomic(self.args.state) as part:
                torch.save(left | self.about, part)
