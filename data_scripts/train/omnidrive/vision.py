"""Train the mini OmniDrive's vision part on ever new MiniDrive scenes and write its checkpoint with a card.

    python -m data_scripts.train.omnidrive vision --minutes 15 --workers 14 --tell build/omnidrive_told.pt

Scenes are rendered by worker processes while the training goes on. Streams walk through them frame by frame and carry
the memory of both heads. Losses: focal and L1 after Hungarian matching on every decoder layer, for boxes and for lanes
(one to one, and one to many in a group of queries that is in training only); and hints to patches and to the extra
queries, by layers that are not kept. `--tell` leaves what the language model is trained on. A run goes on where
`--state` was left. Written for one GPU; a CPU works and is slow.
"""

import json
import time
from pathlib import Path

import torch

from data_scripts.train import recipe
from data_scripts.train.omnidrive import told
from data_scripts.train.omnidrive.stream import Store, Stream
from data_scripts.train.omnidrive.trainer import Trainer, evaluate, steps_of
from helpers import cores, dataset, files
from helpers.cli import numbers
from helpers.errors import foreign
from helpers.systems.omnidrive.config import CONFIGS


def parse(argv):
    parser = recipe.options("omnidrive", __doc__, batch=48, lr=6e-4, reads=False)
    parser.set_defaults(seed=1, steps=10**6)
    parser.add_argument("--val", default="data/minidrive", help="MiniDrive that is evaluated")
    parser.add_argument("--split", default="mini_val", help="of it (mini_val)")
    parser.add_argument("--frames", type=numbers.whole(2, 1000), default=20, help="of each scene (20)")
    parser.add_argument("--keep", type=numbers.whole(1, 10**6), default=1200, help="scenes, the newest ones")
    parser.add_argument("--least", type=numbers.whole(1, 10**6), default=16, help="scenes before the first step")
    parser.add_argument("--report", type=numbers.real(0, 1e6), default=20, help="seconds from report to report")
    parser.add_argument("--every", type=numbers.real(0, 1e6), default=180, help="seconds between evaluations")
    parser.add_argument("--state", type=Path, help="file to go on from, and to leave for the next piece")
    parser.add_argument("--tell", type=Path, help="file to write at the end, for the language model")
    return recipe.parsed(parser, argv)


class Run:
    """A training with its reports, evaluations and files."""

    def __init__(self, args):
        self.args, self.config, self.spent, first = args, CONFIGS["mini"], 0.0, 0
        self.data = dataset.open_dataset(args.val, split=args.split)
        left = recipe.left(args.state, args.device, "trainer", "spent", "scenes")
        if left:
            with foreign(args.state, recipe.LEFT, recipe.OTHER_STATE):
                self.spent, first = float(left["spent"]), int(left["scenes"])
        self.first, self.began = first, time.time() - self.spent
        self.stream = Stream(self.config, args.workers or max(1, cores.count() - 2), args.seed, args.frames, first)
        self.steps = steps_of(self.data, self.config)  # while the workers are at their first scenes
        self.store = Store(args.keep, args.device)
        while self.store.held < min(args.least, args.keep):
            self.take(block=True)
        self.trainer = Trainer(self.config, self.store, args.batch, args.lr, args.seed)
        if left:
            with foreign(args.state, recipe.LEFT, recipe.OTHER_STATE):
                self.trainer.load_state_dict(left["trainer"])

    def progress(self):
        """0..1 of the schedule, by steps or by time."""
        return max(self.trainer.step / self.args.steps, (time.time() - self.began) / (60 * self.args.minutes))

    def take(self, block=False):
        """Bring what the workers have made into the store."""
        for scene in self.stream.ready(block):
            self.store.add(scene)

    def train(self):
        """Steps until the schedule ends."""
        report_at = evaluate_at = time.time()
        sums, counted = {}, 0
        while (progress := self.progress()) < 1:
            for name, part in self.trainer.train_step(progress).items():
                sums[name] = sums.get(name, 0) + part
            counted += 1
            if self.trainer.step % 5 == 0:
                self.take()
            if time.time() > report_at + self.args.report:
                self.report(sums, counted, counted / (time.time() - report_at), progress)
                sums, counted, report_at = {}, 0, time.time()
            if time.time() > evaluate_at + self.args.every:
                self.evaluate(progress)
                evaluate_at = time.time()
        self.stream.close()
        self.evaluate(1.0)
        if self.args.tell:
            told.write(self.args.tell, self.trainer.average, self.store, self.data, self.steps)

    def report(self, sums, counted, rate, progress):
        """One line: the parts of the loss since the last one."""
        parts = "  ".join(f"{name} {float(value) / counted:.3f}" for name, value in sums.items())
        print(f"{time.time() - self.began:5.0f} s  step {self.trainer.step}  progress {progress:.3f}  {parts}  "
              f"{rate:.2f} steps/s  {self.first + self.stream.taken} scenes", flush=True)  # fmt: skip

    def evaluate(self, progress):
        """Write the checkpoint and its figures, and what the next piece goes on from."""
        network = self.trainer.average
        lengths = [[None] * self.args.frames] * (self.first + self.stream.taken)
        summary = recipe.save(self.args, halves(network), self.trainer.step, lengths, progress,
                              lambda: evaluate(network, self.data, self.steps, self.trainer.device))  # fmt: skip
        print(json.dumps(summary | {"seconds": round(time.time() - self.began)}), flush=True)
        if self.args.state:
            left = {"trainer": self.trainer.state_dict(), "spent": time.time() - self.began,
                    "scenes": self.first + self.stream.taken}  # fmt: skip
            with files.atomic(self.args.state) as part:
                torch.save(left, part)


def halves(network):
    """The weights by name, float16; what is not learned, such as ranges in m, stays as it is."""
    learned = {name for name, each in network.named_parameters(remove_duplicate=False) if each.requires_grad}
    return {name: value.half() if name in learned else value for name, value in network.state_dict().items()}


def main(argv):
    """Train; returns 0."""
    run = Run(parse(argv))
    try:
        run.train()
    finally:
        run.stream.close()
    return 0
