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
import sys
from pathlib import Path

from data_scripts.train import endless, recipe
from data_scripts.train.ahead import Ahead
from data_scripts.train.uniad.samples import scene
from data_scripts.train.uniad.trainer import STAGES, Trainer
from helpers import evaluate, models
from helpers.metrics.driven import decoded
from helpers.models.runner import runner
from helpers.systems.uniad.config import CONFIGS

OTHER_STAGE = "name another --state; --from begins a stage with the weights of another"


def parse(argv):
    parser = endless.options("uniad", __doc__, batch=8, lr=4e-4, keep=1000, every=240)
    parser.add_argument("--stage", choices=list(STAGES), default="all", help="what is learned (all)")
    parser.add_argument("--from", dest="start", type=Path, help="checkpoint to begin with")
    return recipe.parsed(parser, argv)


class Run(endless.Run):
    """The training of one stage."""

    def __init__(self, args, config=CONFIGS["mini"]):
        super().__init__(args, config, stage=(args.stage, OTHER_STAGE))
        if args.start and self.anew:
            for network in (self.trainer.model, self.trainer.average):
                models.load_checkpoint(network, args.start)

    def open_stream(self, workers):
        make = functools.partial(scene, seed=self.args.seed, frames=self.args.frames, config=self.config)
        return Ahead(make, workers, self.first)

    def make_trainer(self):
        args = self.args
        return Trainer(self.config, self.store, args.batch, args.lr, args.seed, args.stage)

    def scored(self, network):
        return scored(network, self.data, self.steps, self.trainer.device)


def scored(network, data, steps, device):
    """Every measure of driving over `steps`, which were read once."""
    task = evaluate.task_of(network.config)
    found = decoded(runner(network, device), steps, network.config, progress=False)
    return task.total([(frame.token, task.keep(frame, one, data)) for frame, one in found], data)


def main(argv):
    """Train; returns 0."""
    Run(parse(argv)).train()
    return 0


if __name__ == "__main__":
    raise SystemExit(recipe.program(lambda: main(sys.argv[1:])))
