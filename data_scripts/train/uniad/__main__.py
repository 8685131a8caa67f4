"""Train the mini UniAD on ever new MiniDrive scenes, in stages, and write its checkpoint with a card.

    python -m data_scripts.train.uniad --stage tracks --minutes 15 --workers 14 --state build/uniad.state
    python -m data_scripts.train.uniad --stage all --minutes 15 --workers 14 --state build/uniad_all.state \\
        --from checkpoints/uniad_mini.safetensors

First tracks and map, then all that drives. Scenes are rendered by worker processes while the training goes on. Streams
walk through them frame by frame and carry their tracks: a row keeps the object that it found, by its number. Losses:
focal and L1 of boxes and of lanes after Hungarian matching on every decoder layer, dice of masks, likelihood of paths,
cells, and the distance of the plan. A run goes on where `--state` was left. Written for one GPU; a CPU is slow.
"""

import functools
import json
import sys
import time
from pathlib import Path

import torch

from data_scripts.train import recipe
from data_scripts.train.ahead import Ahead
from data_scripts.train.omnidrive.stream import Store
from data_scripts.train.uniad.samples import scene
from data_scripts.train.uniad.trainer import STAGES, Trainer
from helpers import cores, dataset, evaluate, files, models
from helpers.cli import numbers
from helpers.errors import BadInput
from helpers.metrics.driven import decoded
from helpers.models.runner import runner
from helpers.systems.uniad.config import CONFIGS


def parse(argv):
    parser = recipe.options("uniad", __doc__, batch=8, lr=4e-4, reads=False)
    parser.set_defaults(seed=1, steps=10**6)
    parser.add_argument("--stage", choices=list(STAGES), default="all", help="what is learned (all)")
    parser.add_argument("--from", dest="start", type=Path, help="checkpoint to begin with")
    parser.add_argument("--val", default="data/minidrive", help="MiniDrive that is evaluated")
    parser.add_argument("--split", default="mini_val", help="of it (mini_val)")
    parser.add_argument("--frames", type=numbers.whole(2, 1000), default=20, help="of each scene (20)")
    parser.add_argument("--keep", type=numbers.whole(1, 10**6), default=1000, help="scenes, the newest ones")
    parser.add_argument("--least", type=numbers.whole(1, 10**6), default=16, help="scenes before the first step")
    parser.add_argument("--report", type=numbers.real(0, 1e6), default=20, help="seconds from report to report")
    parser.add_argument("--every", type=numbers.real(0, 1e6), default=240, help="seconds between evaluations")
    parser.add_argument("--state", type=Path, help="file to go on from, and to leave for the next piece")
    return parser.parse_args(argv)


class Run:
    """A training with its reports, evaluations and files."""

    def __init__(self, args, config=CONFIGS["mini"]):
        self.args, self.config, self.spent, self.first = args, config, 0.0, 0
        self.data = dataset.open_dataset(args.val, split=args.split)
        left = torch.load(args.state, weights_only=True, map_location=args.device) if self.goes_on() else None
        if left:
            if left["stage"] != args.stage:
                fix = "name another --state; --from begins a stage with the weights of another"
                raise BadInput(args.state, f"stage {left['stage']}", args.stage, fix)
            self.spent, self.first = left["spent"], left["scenes"]
        self.began = time.time() - self.spent
        workers = args.workers or max(1, cores.count() - 2)
        make = functools.partial(scene, seed=args.seed, frames=args.frames, config=config)
        self.stream = Ahead(make, workers, self.first)
        self.steps = list(dataset.stream(self.data, config))  # while the workers are at their first scenes
        self.store = Store(args.keep, args.device)
        while self.store.held < min(args.least, args.keep):
            self.take(block=True)
        self.trainer = Trainer(config, self.store, args.batch, args.lr, args.seed, args.stage)
        if left:
            self.trainer.load_state_dict(left["trainer"])
        elif args.start:
            for network in (self.trainer.model, self.trainer.average):
                models.load_checkpoint(network, args.start)

    def goes_on(self):
        """Whether there is a state."""
        return self.args.state is not None and self.args.state.exists()

    def progress(self):
        """0..1 of the schedule, by steps or by time."""
        return max(self.trainer.step / self.args.steps, (time.time() - self.began) / (60 * self.args.minutes))

    def take(self, block=False):
        """Bring what the workers have made into the store."""
        for each in self.stream.ready(block):
            self.store.add(each)

    def train(self):
        """Steps until the schedule ends."""
        report_at = evaluate_at = time.time()
        sums, counted = {}, 0
        while (progress := self.progress()) < 1:
            for name, part in self.trainer.train_step(progress).items():
                sums[name] = sums.get(name, 0) + part
            counted += 1
            self.take()
            if time.time() > report_at + self.args.report:
                self.report(sums, counted, counted / (time.time() - report_at), progress)
                sums, counted, report_at = {}, 0, time.time()
            if time.time() > evaluate_at + self.args.every:
                self.evaluate(progress)
                evaluate_at = time.time()
        self.stream.close()
        self.evaluate(1.0)

    def report(self, sums, counted, rate, progress):
        """One line: the parts of the loss since the last one."""
        parts = "  ".join(f"{name} {float(value) / counted:.3f}" for name, value in sums.items())
        print(f"{time.time() - self.began:5.0f} s  step {self.trainer.step}  progress {progress:.3f}  {parts}  "
              f"{rate:.2f} steps/s  {self.first + self.stream.taken} scenes", flush=True)  # fmt: skip

    def evaluate(self, progress):
        """Write the checkpoint and its figures, and what the next piece goes on from."""
        network, scenes = self.trainer.average, self.first + self.stream.taken
        lengths = [[None] * self.args.frames] * scenes
        summary = recipe.save(self.args, network.state_dict(), self.trainer.step, lengths, progress,
                              lambda: scored(network, self.data, self.steps, self.trainer.device))  # fmt: skip
        print(json.dumps(summary | {"seconds": round(time.time() - self.began)}), flush=True)
        if self.args.state:
            left = {"trainer": self.trainer.state_dict(), "spent": time.time() - self.began, "scenes": scenes,
                    "stage": self.args.stage}  # fmt: skip
            with files.atomic(self.args.state) as part:
                torch.save(left, part)


def scored(network, data, steps, device):
    """Every measure of driving over `steps`, which were read once."""
    task = evaluate.task_of(network.config)
    found = decoded(runner(network, device), steps, network.config, progress=False)
    return task.total([(frame.token, task.keep(frame, one, data)) for frame, one in found], data)


def main(argv):
    """Train; returns 0."""
    run = Run(parse(argv))
    try:
        run.train()
    finally:
        run.stream.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(recipe.program(lambda: main(sys.argv[1:])))
