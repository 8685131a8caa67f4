"""Train the mini UniAD on ever new MiniDrive scenes, in stages, and write its checkpoint with a card.

    python -m data_scripts.train.uniad --stage tracks --minutes 15 --workers 14 --state build/uniad.state
    python -m data_scripts.train.uniad --stage all --minutes 15 --workers 14 --state build/uniad_all.state \\
        --from checkpoints/uniad_mini.safetensors

First tracks and map, then all that drives; or the heads ahead alone (`ahead`, and of them `plan`). Scenes are rendered
by worker processes while the training goes on. Streams walk through them frame by frame and carry their tracks: a row
keeps the object that it found, by its number. Losses: focal and L1 of boxes and of lanes after Hungarian matching on
every decoder layer, dice of masks, likelihood of paths, cells, and the distance of the plan. A run goes on where
`--state` was left.

`--detector` begins with BEVFormer's mini: pictures, map and boxes are learned then. With `--frozen` what makes the map
stays, so that a frame's map is made once and a step costs the heads alone, which a CPU can do:

    python -m data_scripts.train.uniad --stage tracks --frozen --detector checkpoints/bevformer_mini.safetensors \\
        --kept build/uniad_scenes --keep 100 --workers 1 --device cpu
"""

import sys
from pathlib import Path

from data_scripts.train import endless, recipe
from data_scripts.train.ahead import Ahead
from data_scripts.train.bevformer.gathered_attention import gather_visible
from data_scripts.train.uniad import frozen
from data_scripts.train.uniad.source import Beginning, Source
from data_scripts.train.uniad.trainer import STAGES, WARM_UP, Trainer
from helpers import evaluate, files
from helpers.cli import numbers
from helpers.errors import BadInput
from helpers.metrics.driven import decoded
from helpers.models.runner import runner
from helpers.systems.uniad.config import CONFIGS

OTHER_STAGE = "name another --state; --from begins a stage with the weights of another"
BEGIN = "pass --detector checkpoints/bevformer_mini.safetensors, or --from"


def parse(argv):
    parser = endless.options("uniad", __doc__, batch=8, lr=4e-4, keep=1000, every=240)
    parser.add_argument("--stage", choices=list(STAGES), default="all", help="what is learned (all)")
    parser.add_argument("--from", dest="start", type=Path, help="checkpoint to begin with")
    parser.add_argument("--detector", type=Path, help="BEVFormer's checkpoint to begin with")
    parser.add_argument("--frozen", action="store_true", help="what makes the map of pictures learns nothing")
    parser.add_argument("--kept", type=Path, help="folder that keeps scenes, to be learned again")
    parser.add_argument("--warm-up", type=numbers.whole(1, 10**6), default=WARM_UP, help=f"steps ({WARM_UP})")
    args = recipe.parsed(parser, argv)
    if args.frozen and not (args.start or args.detector):
        raise BadInput("--frozen", "no weights to begin with", "weights whose map is worth to stay", BEGIN)
    if args.kept:
        files.check_target(args.kept / "scene.npz")
    return args


class Run(endless.Run):
    """The training of one stage."""

    def __init__(self, args, config=CONFIGS["mini"]):
        self.beginning = Beginning(config, args.seed, args.detector, args.start)
        self.beginning.check(frozen.PARTS if args.frozen else ())  # before any scene is made
        super().__init__(args, config, stage=(args.stage, OTHER_STAGE))
        if self.anew:
            for network in (self.trainer.model, self.trainer.average):
                taken, left = self.beginning.fill(network)
            if taken:
                print(f"taken of {args.detector}: {len(taken)}; left: {', '.join(left) or 'none'}", flush=True)

    def open_stream(self, workers):
        args = self.args
        self.first *= not args.kept  # what was kept is learned again
        return Ahead(Source(self.beginning, args.frames, args.frozen, args.kept), workers, self.first)

    def make_trainer(self):
        args = self.args
        fixed = frozen.PARTS if args.frozen else ()
        return Trainer(self.config, self.store, args.batch, args.lr, args.seed, args.stage, fixed, args.warm_up)

    def weights(self, network):
        """Float16: of half the size, and as good."""
        tensors = super().weights(network)
        return {name: each.half() if each.is_floating_point() else each for name, each in tensors.items()}

    def scored(self, network):
        return scored(network, self.data, self.steps, self.trainer.device)


def scored(network, data, steps, device):
    """Every measure of driving over `steps`, which were read once."""
    task = evaluate.task_of(network.config)
    gather_visible(network)
    found = decoded(runner(network, device), steps, network.config, progress=False)
    return task.total([(frame.token, task.keep(frame, one, data)) for frame, one in found], data)


def main(argv):
    """Train; returns 0."""
    Run(parse(argv)).train()
    return 0


if __name__ == "__main__":
    raise SystemExit(recipe.program(lambda: main(sys.argv[1:])))
