"""Train the mini BEVFormer on MiniDrive scenes and write its checkpoint with a card.

    python -m data_scripts.make_minidrive --out data/minidrive_train --scenes 400 --seed 1
    python -m data_scripts.train.bevformer --dataroot data/minidrive_train --val data/minidrive --minutes 20

Training streams: every element of the batch walks through a scene frame by frame and carries its own `prev_bev`,
detached, exactly as inference does. Loss: focal and L1 after Hungarian matching on every decoder layer, with the
weights of the BEVFormer paper (arXiv 2203.17270), plus a bird's-eye heatmap on `bev_embed` (CenterPoint, arXiv
2006.11275) that exists only during training. Written for one GPU; a CPU works and is slow.
"""

import json
import time
from functools import partial
from pathlib import Path

import torch

from data_scripts.train import recipe
from data_scripts.train.bevformer.frames import load_scenes
from data_scripts.train.bevformer.trainer import Trainer, evaluate
from helpers import files
from helpers.systems.bevformer.config import CONFIGS


def save(trainer, args, scenes, progress):
    """Write the training state, the averaged weights and their figures on mini_val; returns the summary."""
    with files.atomic(args.state) as part:
        torch.save(trainer.state(), part)
    evaluated = partial(evaluate, trainer.average, args.val, trainer.config, trainer.device)
    return recipe.save(args, trainer.average.state_dict(), trainer.step, scenes, progress, evaluated)


def parse(argv=None):
    parser = recipe.options("bevformer", __doc__, batch=32, lr=6e-4)
    parser.add_argument("--state", type=Path, default=Path("build/train_state.pt"), help="resumed from if it exists")
    parser.add_argument("--save-every", type=int, default=2000, help="steps between evaluations")
    return recipe.parsed(parser, argv)


def main(argv=None):
    args = parse(argv)
    config, device = CONFIGS["mini"], torch.device(args.device)
    scenes = [scene for root in args.dataroot for scene in load_scenes(root, config, args.workers)]
    torch.set_float32_matmul_precision("high")
    trainer = Trainer(config, scenes, args.batch, args.lr, args.seed, device)
    trainer.restore(args.state)
    started = clock = time.time()
    running, progress = 0.0, 0.0
    while progress < 1:
        running += trainer.train_step(progress)
        progress = max(trainer.step / args.steps, (time.time() - started) / (60 * args.minutes))
        if trainer.step % 250 == 0:
            rate = 250 / (time.time() - clock)
            print(f"step {trainer.step}  loss {running.item() / 250:.3f}  {rate:.1f} steps/s", flush=True)
            running, clock = 0.0, time.time()
        if progress >= 1 or trainer.step % args.save_every == 0:
            print(json.dumps(save(trainer, args, scenes, progress)), flush=True)
            clock = time.time()
    return 0


if __name__ == "__main__":
    raise SystemExit(recipe.program(main))
