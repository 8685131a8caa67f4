"""Train the mini BEVFormer on MiniDrive scenes and write its checkpoint with a card.

    python -m data_scripts.make_minidrive --out data/minidrive_train --scenes 400 --seed 1
    python -m data_scripts.train.bevformer --dataroot data/minidrive_train --val data/minidrive --minutes 20

Training streams: every element of the batch walks through a scene frame by frame and carries its own `prev_bev`,
detached, exactly as inference does. Loss: focal and L1 after Hungarian matching on every decoder layer, with the
weights of the BEVFormer paper (arXiv 2203.17270), plus a bird's-eye heatmap on `bev_embed` (CenterPoint, arXiv
2006.11275) that exists only during training. Written for one GPU; a CPU works and is slow.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from data_scripts.train.bevformer.frames import load_scenes
from data_scripts.train.bevformer.trainer import Trainer, evaluate
from helpers import files, processes
from helpers.systems.bevformer.config import CONFIGS


def save(trainer, args, scenes, progress):
    """Write the training state, the averaged weights and their figures on mini_val; returns the summary."""
    with files.atomic(args.state) as part:
        torch.save(trainer.state(), part)
    with files.atomic(args.out) as part:
        save_file({name: value.contiguous().cpu() for name, value in trainer.average.state_dict().items()}, part)
    summary = {
        "step": trainer.step,
        "batch": args.batch,
        "lr": args.lr,
        "seed": args.seed,
        "scenes": len(scenes),
        "frames": sum(map(len, scenes)),
        "progress": round(progress, 3),
        "metrics": evaluate(trainer.average, args.val, trainer.config, trainer.device),
    }
    with files.atomic(args.out.with_suffix(".json")) as part:
        part.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def parse(argv=None):
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m data_scripts.train.bevformer", description=__doc__, formatter_class=form
    )
    parser.add_argument("--dataroot", nargs="+", default=["data/minidrive_train"], help="one or more data roots")
    parser.add_argument("--val", default="data/minidrive", help="MiniDrive whose mini_val is evaluated")
    parser.add_argument("--out", type=Path, default=files.ROOT / "checkpoints/bevformer_mini.safetensors")
    parser.add_argument("--state", type=Path, default=Path("build/train_state.pt"), help="resumed from if it exists")
    parser.add_argument("--steps", type=int, default=12000, help="length of the schedule in steps")
    parser.add_argument("--minutes", type=float, default=math.inf, help="length of the schedule in time, if shorter")
    parser.add_argument("--save-every", type=int, default=2000, help="steps between evaluations")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    config, device = CONFIGS["mini"], torch.device(args.device)
    scenes = [scene for root in args.dataroot for scene in load_scenes(root, config, args.workers)]
    torch.set_float32_matmul_precision("high")
    trainer = Trainer(config, scenes, args.batch, args.lr, args.seed, device)
    if args.state.exists():
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
    raise SystemExit(processes.program(main))
