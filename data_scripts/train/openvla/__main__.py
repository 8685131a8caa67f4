"""Train the mini OpenVLA on ever new tables and write its checkpoint as a folder in the public form.

    python -m data_scripts.train.openvla --steps 15000 --minutes 12 --workers 14

Cross entropy of the reasoning's tokens and of the action's, all parameters from scratch. Tables are rendered by worker
processes while the training goes on; the arm is pushed off its way, so that there are states to recover from. `--out`
holds the newest weights and OUT_best those with which most arms arrived; a run goes on where `--state` was left.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from data_scripts import make_tabletop
from data_scripts.tabletop import render, world
from data_scripts.tabletop.vocabulary import vocabulary
from data_scripts.train import recipe
from data_scripts.train.openvla.samples import Task, fresh
from data_scripts.train.openvla.stream import Store, Stream
from data_scripts.train.openvla.trainer import Trainer
from helpers import cores, files, policy, temporary
from helpers.cli import numbers
from helpers.errors import foreign
from helpers.llm import folder as hugging_face
from helpers.llm.tokenizer import Tokenizer, table_of
from helpers.metrics import actions
from helpers.policy.folder import policy_of
from helpers.systems.openvla.config import CONFIGS

SCENES = 7  # of the seeds of episodes that only the evaluation sees
COUNTED = 3000  # episodes whose actions give the statistics


def parse(argv=None):
    parser = recipe.options("openvla", __doc__, batch=512, lr=2e-3, reads=False)
    parser.set_defaults(out=files.ROOT / "checkpoints/openvla_mini", steps=15000, seed=1)
    parser.add_argument(
        "--wander", type=numbers.real(0, 1), default=0.02, help="m, how far the arm is pushed off its way"
    )
    parser.add_argument(
        "--keep",
        type=numbers.whole(1, 10**8),
        default=400_000,
        help="pictures that batches are drawn of, the newest ones",
    )
    parser.add_argument(
        "--least", type=numbers.whole(1, 10**8), default=10_000, help="pictures there are when the first step is taken"
    )
    parser.add_argument("--report", type=numbers.real(0, 1e6), default=20, help="seconds from one report to the next")
    parser.add_argument(
        "--every", type=numbers.real(0, 1e6), default=90, help="seconds from one evaluation to the next"
    )
    parser.add_argument(
        "--scenes", type=numbers.whole(2, 10**6), default=100, help="held-out tables that an evaluation reaches on"
    )
    parser.add_argument("--state", type=Path, help="file to go on from, and to leave for the next piece")
    parser.add_argument("--start", type=Path, help="folder of a checkpoint whose weights are the first ones")
    return recipe.parsed(parser, argv, folder=True)


def statistics(seed, wander, episodes=COUNTED):
    """The statistics of the actions in the first episodes of the training, as make_tabletop writes them."""
    steps = [[state.expert() for state in make_tabletop.states(number, seed, wander)] for number in range(episodes)]
    return {make_tabletop.NAME: make_tabletop.statistics(np.concatenate(steps), steps)}


class Run:
    """A training with its reports, evaluations and files."""

    def __init__(self, args):
        self.args, self.config, self.best = args, CONFIGS["mini"], (-1.0, 0.0)
        self.norm_stats = statistics(args.seed, args.wander)
        self.task = Task(self.config, Tokenizer(*vocabulary()), self.norm_stats[make_tabletop.NAME]["action"])
        self.trainer, self.spent, first = Trainer(self.config, args.lr, args.seed, args.device), 0.0, 0
        if args.start:
            self.trainer.start_from({k: v.float() for k, v in hugging_face.read_weights(args.start).items()})
        if left := recipe.left(args.state, args.device, "trainer", "spent", "episodes", "best"):
            with foreign(args.state, recipe.LEFT, recipe.OTHER_STATE):
                self.trainer.load_state_dict(left["trainer"])
                self.spent, first, self.best = float(left["spent"]), int(left["episodes"]), tuple(left["best"])
        self.first, self.began = first, time.time() - self.spent
        self.stream = Stream(self.task, args.workers or max(1, cores.count() - 2), args.seed, args.wander, first)
        self.store = Store(args.keep, self.trainer.device)
        self.held_out = fresh(self.task, 0, args.scenes // 2, SCENES, args.wander).map(
            lambda tensor: tensor.to(args.device)
        )
        self.shown = list(observed(SCENES, args.scenes // 2))
        self.scenes = [world.drawn(np.random.default_rng([SCENES, number])) for number in range(args.scenes)]

    def progress(self):
        """0..1 of the schedule, by steps or by time."""
        return max(self.trainer.step / self.args.steps, (time.time() - self.began) / (60 * self.args.minutes))

    def train(self):
        """Steps until the schedule ends."""
        while self.store.held < self.args.least:
            self.take(block=True)
        self.report_after = self.evaluate_after = time.time()
        self.running, self.counted = torch.zeros(3, device=self.trainer.device), 0
        while (progress := self.progress()) < 1:
            self.running += self.trainer.train_step(self.store.batch(self.args.batch), progress)
            self.counted += 1
            if self.trainer.step % 10 == 0:
                self.take()
            if time.time() > self.report_after + self.args.report:
                self.report(progress)
            if time.time() > self.evaluate_after + self.args.every:
                self.evaluate()
                self.evaluate_after = time.time()
        self.evaluate()

    def take(self, block=False):
        """Bring what the workers have made into the store."""
        for samples in self.stream.ready(block):
            self.store.add(samples)

    def report(self, progress):
        """One line: the losses since the last one, and errors on held-out states given all tokens before."""
        mean = (self.running / max(1, self.counted)).tolist()
        rate = self.counted / (time.time() - self.report_after)
        found = self.trainer.evaluate(self.held_out)
        bins = " ".join(f"{value:.1f}" for value in found["bins"])
        print(f"{time.time() - self.began:5.0f} s  step {self.trainer.step}  progress {progress:.3f}  "
              f"text {mean[0]:.3f}  action {mean[1]:.3f}  patches {mean[2]:.3f}  {rate:.1f} steps/s  "
              f"pictures {self.store.held} of {self.stream.taken} episodes  held out: words {found['right']:.3f} "
              f"action {found['action']:.3f} bins {bins}", flush=True)  # fmt: skip
        self.running.zero_()
        self.counted, self.report_after = 0, time.time()

    def evaluate(self):
        """Write the checkpoint, let its arm reach, and keep the checkpoint if it is the best."""
        save(self.args.out, self.trainer.average, self.norm_stats)
        loaded = policy_of(self.trainer.average, self.task.tokenizer, self.norm_stats, "mini")
        found = figures(loaded, self.shown, self.scenes)
        found = {"step": self.trainer.step, "seconds": round(time.time() - self.began), **found}
        print(json.dumps(found), flush=True)
        if (rank := (found["success"], -float(np.mean((found["l1"] or [1.0])[:3])))) > self.best:
            self.best = rank
            save(self.args.out.with_name(self.args.out.name + "_best"), self.trainer.average, self.norm_stats)
        self.keep_state()

    def keep_state(self):
        """Leave what the next piece goes on from."""
        if self.args.state:
            left = {"trainer": self.trainer.state_dict(), "spent": time.time() - self.began, "best": list(self.best),
                    "episodes": self.first + self.stream.taken}  # fmt: skip
            with files.atomic(self.args.state) as part:
                torch.save(left, part)


def save(out, network, norm_stats):
    """Write the weights, float16, with configuration, statistics of actions and tokenizer."""
    with temporary.scratch() as words:
        (words / "tokenizer.json").write_text(json.dumps(table_of(*vocabulary())) + "\n", encoding="utf-8")
        half = type(network)(network.config)
        half.load_state_dict(network.state_dict())
        policy.save(out, half.half(), norm_stats, words)


def figures(loaded, observations, scenes):
    """Mean error of each dimension of actions, share that was refused, and share of arms that arrive.

    observations: pictures, instructions and right actions. scenes: states at the beginning of an episode.
    """

    def act(pictures, instructions):
        return [found and found.action for found in loaded.predict_each(pictures, instructions)]

    pictures, instructions, right = zip(*observations, strict=True)
    found = act(pictures, instructions)
    if all(action is None for action in found):  # in the first seconds of a training
        return {"l1": None, "refused": 1.0, "success": 0.0}
    error = actions.errors(found, np.array(right))
    arrived = actions.reach(act, scenes, render.render).success.mean()
    return {"l1": error.l1.round(4).tolist(), "refused": error.refused, "success": float(arrived)}


def observed(seed, episodes):
    """The observations of episodes that the expert walks undisturbed."""
    for number in range(episodes):
        for k, state in enumerate(make_tabletop.states(number, seed)):
            yield render.render(state, 10 * number + k), state.instruction, state.expert()


def main(argv=None):
    run = Run(parse(argv))
    try:
        run.train()
    finally:
        run.stream.close()
    return 0


if __name__ == "__main__":
    sys.exit(recipe.program(main))
