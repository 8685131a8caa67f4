"""Train the mini FB-OCC on MiniDrive scenes and write its checkpoint with a card.

    python -m data_scripts.make_minidrive --out data/minidrive_train --scenes 200 --seed 1
    python -m data_scripts.train.fbocc --dataroot data/minidrive_train --val data/minidrive --minutes 6

Training streams: every element of the batch walks through a scene frame by frame and carries its own volumes, detached,
exactly as inference does. Loss: cross entropy with class weights and Lovász softmax (arXiv:1705.08790) over the voxels
that cameras see, and cross entropy of the depth distribution against the LiDAR (BEVDepth, arXiv:2206.10092). Written
for one GPU; a CPU works and is slow.
"""

import json
import time
from functools import partial

import torch

from data_scripts.train import recipe
from data_scripts.train.fbocc.frames import load_scenes
from data_scripts.train.fbocc.trainer import Trainer, evaluate
from helpers.systems.fbocc.config import CONFIGS

REPORT = 50  # steps


def save(trainer, args, scenes, progress):
    """Write the averaged weights, float16, and their figures on mini_val; returns the summary."""
    weights = trainer.average.state_dict()
    halves = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    evaluated = partial(evaluate, trainer.average, args.val, trainer.config, trainer.device)
    return recipe.save(args, halves, trainer.step, scenes, progress, evaluated)


def parse(argv=None):
    return recipe.parsed(recipe.options("fbocc", __doc__, batch=16, lr=1e-3), argv)


def main(argv=None):
    args = parse(argv)
    config, device = CONFIGS["mini"], torch.device(args.device)
    scenes = [scene for root in args.dataroot for scene in load_scenes(root, config, args.workers)]
    torch.set_float32_matmul_precision("high")
    trainer = Trainer(config, scenes, args.batch, args.lr, args.seed, device)
    started = clock = time.time()
    running, progress = torch.zeros(2, device=device), 0.0
    while progress < 1:
        running += trainer.train_step(progress)
        progress = max(trainer.step / args.steps, (time.time() - started) / (60 * args.minutes))
        if trainer.step % REPORT == 0:
            voxels, depth = (running / REPORT).tolist()
            rate = REPORT / (time.time() - clock)
            print(f"step {trainer.step}  voxels {voxels:.3f}  depth {depth:.3f}  {rate:.1f} steps/s", flush=True)
            running, clock = running * 0, time.time()
    print(json.dumps(save(trainer, args, scenes, progress)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(recipe.program(main))
