"""Train the mini OpenVLA on a tabletop and write its checkpoint as a folder in the public form.

    python -m data_scripts.make_tabletop --out data/tabletop_train --episodes 3000 --seed 1
    python -m data_scripts.train.openvla --dataroot data/tabletop_train --val data/tabletop --steps 6000

Cross entropy of the reasoning's tokens and of the action's, all parameters from scratch. Written for one core of a CPU;
a run can be made in pieces of some minutes, each of which goes on where `--state` was left.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from data_scripts.tabletop import render, world
from data_scripts.tabletop.vocabulary import vocabulary
from data_scripts.train import recipe
from data_scripts.train.openvla import samples
from data_scripts.train.openvla.trainer import Trainer
from helpers import files, policy, processes
from helpers.dataset.tabletop import open_tabletop
from helpers.llm.tokenizer import Tokenizer, table_of
from helpers.metrics import actions
from helpers.systems.openvla.config import CONFIGS

REPORT = 100  # steps
SCENES = 7  # of the seeds of episodes that only the evaluation sees


def parse(argv=None):
    parser = recipe.options("openvla", __doc__, batch=16, lr=2.5e-3)
    parser.set_defaults(dataroot=["data/tabletop_train"], val="data/tabletop", steps=6000, device="cpu")
    parser.set_defaults(out=files.ROOT / "checkpoints/openvla_mini")
    parser.add_argument("--state", type=Path, help="file to go on from, and to leave for the next piece")
    return parser.parse_args(argv)


def train(trainer, args):
    """Steps until the schedule ends or the minutes of this piece are over; prints the losses."""
    started = clock = time.time()
    running = torch.zeros(3)
    while trainer.step < args.steps and time.time() - started < 60 * args.minutes:
        running += trainer.train_step(trainer.step / args.steps)
        if trainer.step % REPORT == 0:
            text, action, seen = (running / REPORT).tolist()
            rate = REPORT / (time.time() - clock)
            print(
                f"step {trainer.step}  text {text:.3f}  action {action:.3f}  patches {seen:.3f}  {rate:.2f} steps/s",
                flush=True,
            )
            running, clock = running * 0, time.time()


def main(argv=None):
    args = parse(argv)
    config, data, checked = CONFIGS["mini"], open_tabletop(args.dataroot[0]), open_tabletop(args.val)
    statistics = next(iter(data.statistics.values()))["action"]
    tokenizer = Tokenizer(*vocabulary())
    trainer = Trainer(config, samples.load(data, statistics, tokenizer, config), args.batch, args.lr, args.seed)
    if args.state and args.state.exists():
        trainer.load_state_dict(torch.load(args.state, weights_only=True))
    train(trainer, args)
    if args.state:
        with files.atomic(args.state) as part:
            torch.save(trainer.state_dict(), part)
    print(json.dumps(trainer.evaluate(samples.load(checked, statistics, tokenizer, config))), flush=True)
    save(args.out, trainer.average, data.statistics)
    print(json.dumps(figures(policy.load(args.out), checked)), flush=True)
    return 0


def save(out, network, statistics):
    """Write the weights, float16, with configuration, statistics of actions and tokenizer."""
    with tempfile.TemporaryDirectory() as words:
        (Path(words) / "tokenizer.json").write_text(json.dumps(table_of(*vocabulary())) + "\n", encoding="utf-8")
        policy.save(out, network.half(), statistics, words)


def figures(loaded, data, observations=200, episodes=50):
    """Mean error of each dimension of actions, share that was refused, and share of arms that arrive."""

    def act(pictures, instructions):
        return [found and found.action for found in loaded.predict_each(pictures, instructions)]

    seen = data.observations[:observations]
    found = act([each.image() for each in seen], [each.instruction for each in seen])
    error = actions.errors(found, np.array([each.action for each in seen]))
    scenes = [world.drawn(np.random.default_rng([SCENES, number])) for number in range(episodes)]
    arrived = actions.reach(act, scenes, render.render).success.mean()
    return {"l1": error.l1.round(4).tolist(), "refused": error.refused, "success": float(arrived)}


if __name__ == "__main__":
    raise SystemExit(processes.program(main))
