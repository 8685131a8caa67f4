"""Train the mini FB-OCC on MiniDrive scenes and write its checkpoint with a card.

    python -m data_scripts.make_minidrive --out data/minidrive_train --scenes 200 --seed 1
    python -m data_scripts.train.fbocc --dataroot data/minidrive_train --val data/minidrive --minutes 6

Training streams: every element of the batch walks through a scene frame by frame and carries its own volumes, detached,
exactly as inference does. Loss: cross entropy with class weights and Lovász softmax (arXiv:1705.08790) over the voxels
that cameras see, and cross entropy of the depth distribution against the LiDAR (BEVDepth, arXiv:2206.10092). Written
for one GPU; a CPU works and is slow.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from data_scripts.train.fbocc.frames import load_scenes
from data_scripts.train.fbocc.trainer import Trainer, evaluate
from helpers import files
from helpers.systems.fbocc.config import CONFIGS

REPORT = 50  # steps


def save(trainer, args, scenes, progress):
    """Write the averaged weights, float16, and their figures on mini_val; returns the summary."""
    weights = trainer.average.state_dict()
    halves = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    with files.atomic(args.out) as part:
        save_file({name: value.contiguous().cpu() for name, value in halves.items()}, part)
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
    parser = argparse.ArgumentParser("python -m data_scripts.train.fbocc", description=__doc__, formatter_class=form)
    parser.add_argument("--dataroot", nargs="+", default=["data/minidrive_train"], help="one or more data roots")
    parser.add_argument("--val", default="data/minidrive", help="MiniDrive whose mini_val is evaluated")
    parser.add_argument("--out", type=Path, default=files.ROOT / "checkpoints/fbocc_mini.safetensors")
    parser.add_argument("--steps", type=int, default=12000, help="length of the schedule in steps")
    parser.add_argument("--minutes", type=float, default=math.inf, help="length of the schedule in time, if shorter")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
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
    raise SystemExit(main())
