"""Train the mini OmniDrive's vision part on ever new MiniDrive scenes and write its checkpoint with a card.

    python -m data_scripts.train.omnidrive vision --minutes 15 --workers 14 --tell build/omnidrive_told.pt

Scenes are rendered by worker processes while the training goes on. Streams walk through them frame by frame and carry
the memory of both heads. Losses: focal and L1 after Hungarian matching on every decoder layer, for boxes and for lanes
(one to one, and one to many in a group of queries that is in training only); and hints to patches and to the extra
queries, by layers that are not kept. `--tell` leaves what the language model is trained on. A run goes on where
`--state` was left. Written for one GPU; a CPU works and is slow.
"""

from pathlib import Path

from data_scripts.train import endless, recipe
from data_scripts.train.omnidrive import told
from data_scripts.train.omnidrive.stream import Stream
from data_scripts.train.omnidrive.trainer import Trainer, evaluate, steps_of
from helpers.systems.omnidrive.config import CONFIGS


def parse(argv):
    parser = endless.options("omnidrive", __doc__, batch=48, lr=6e-4, keep=1200, every=180)
    parser.add_argument("--tell", type=Path, help="file to write at the end, for the language model")
    return recipe.parsed(parser, argv)


class Run(endless.Run):
    """The training of the vision part."""

    often = 5

    def open_stream(self, workers):
        return Stream(self.config, workers, self.args.seed, self.args.frames, self.first)

    def read_steps(self):
        return steps_of(self.data, self.config)

    def make_trainer(self):
        return Trainer(self.config, self.store, self.args.batch, self.args.lr, self.args.seed)

    def weights(self, network):
        return halves(network)

    def scored(self, network):
        return evaluate(network, self.data, self.steps, self.trainer.device)

    def train(self):
        """Steps until the schedule ends, and what is told of the scenes then."""
        super().train()
        if self.args.tell:
            told.write(self.args.tell, self.trainer.average, self.store, self.data, self.steps)


def halves(network):
    """The weights by name, float16; what is not learned, such as ranges in m, stays as it is."""
    learned = {name for name, each in network.named_parameters(remove_duplicate=False) if each.requires_grad}
    return {name: value.half() if name in learned else value for name, value in network.state_dict().items()}


def main(argv):
    """Train; returns 0."""
    Run(parse(argv), CONFIGS["mini"]).train()
    return 0
