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
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from data_scripts.train.gathered_attention import gather_visible
from helpers import dataset, files, models
from helpers.metrics import detection as metrics
from helpers.systems.bevformer.config import CONFIGS
from helpers.systems.bevformer.decode import encode_boxes

CODE_WEIGHTS = torch.tensor([1.0] * 8 + [0.2] * 2)
CLASS_WEIGHT, BOX_WEIGHT, HEATMAP_WEIGHT = 2.0, 0.25, 1.0


# ---------------------------------------------------------------------------------------------------------------- data
def load_frame(frame, previous, config):
    """The network inputs of one frame (images float16, without the padding) and its targets in box code."""
    inputs = config.inputs(frame, previous)
    height, width = int(900 * config.image_scale), int(1600 * config.image_scale)
    low, high = np.array(config.pc_range[:3]), np.array(config.pc_range[3:])
    centers = frame.boxes.centers
    targets = frame.boxes[(frame.num_lidar_pts > 0) & ((centers > low) & (centers < high)).all(1)]
    return {
        "scene": frame.scene,
        "images": inputs["image"][0, :, :, :height, :width].astype(np.float16),
        "can_bus": inputs["can_bus"],
        "lidar2img": inputs["lidar2img"][0],
        "boxes": encode_boxes(targets),
        "labels": targets.labels,
    }


def _load(job):
    cv2.setNumThreads(1)
    return load_frame(*job)


def load_scenes(dataroot, config, workers):
    """Every scene of a data set as a list of frames (see `load_frame`), in time order."""
    data = dataset.open_dataset(dataroot, split="all")
    frames = list(data.frames)
    previous = [None, *frames[:-1]]
    jobs = [(frame, before, config) for frame, before in zip(frames, previous, strict=True)]
    with ProcessPoolExecutor(workers) as pool:
        loaded = list(tqdm(pool.map(_load, jobs, chunksize=4), total=len(jobs), desc="reading frames"))
    scenes = {}
    for item in loaded:
        scenes.setdefault(item["scene"], []).append(item)
    return list(scenes.values())


class Streams:
    """`batch` independent walks through the scenes; `next()` gives the next frame of each walk."""

    def __init__(self, scenes, batch, device, seed):
        self.scenes, self.device = scenes, device
        self.random = np.random.default_rng(seed)
        self.images = [torch.from_numpy(np.stack([f["images"] for f in scene])).to(device) for scene in scenes]
        self.walks = [self._start() for _ in range(batch)]
        self.fresh = [True] * batch

    def _start(self):
        scene = int(self.random.integers(len(self.scenes)))
        return [scene, int(self.random.integers(len(self.scenes[scene])))]

    def next(self):
        items, images, fresh = [], [], []
        for i, walk in enumerate(self.walks):
            if walk[1] >= len(self.scenes[walk[0]]):
                self.walks[i] = walk = [int(self.random.integers(len(self.scenes))), 0]
                self.fresh[i] = True
            items.append(self.scenes[walk[0]][walk[1]])
            images.append(self.images[walk[0]][walk[1]])
            fresh.append(self.fresh[i] or walk[1] == 0 or self.random.random() < 0.03)
            walk[1] += 1
            self.fresh[i] = False
        return items, torch.stack(images), torch.tensor(fresh, device=self.device)


def can_bus_batch(items, fresh):
    """Concatenated can_bus vectors [B*18]; a walk without history gets no motion, as on a scene's first frame."""
    vectors = np.stack([item["can_bus"] for item in items])
    vectors[np.asarray(fresh.cpu())[:, None] & np.isin(np.arange(18), [0, 1, 2, 17])] = 0
    return torch.from_numpy(vectors).reshape(-1).to(fresh.device)


def prepare_images(images, config, jitter=0.2):
    """float16 [B, 6, 3, h, w] normalised -> float32 padded to `image_size`; `jitter` varies contrast and light."""
    x = images.float()
    gain, shift = (torch.empty(len(x), 1, 1, 1, 1, device=x.device).uniform_(-jitter, jitter) for _ in range(2))
    x = x * (1 + gain) + shift
    height, width = config.image_size
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))


# ---------------------------------------------------------------------------------------------------------------- loss
def sigmoid_focal(logits, targets, alpha=0.25, gamma=2.0):
    """Focal loss per element (arXiv 1708.02002)."""
    p = logits.sigmoid()
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weight = (alpha * targets + (1 - alpha) * (1 - targets)) * (p * (1 - targets) + (1 - p) * targets) ** gamma
    return weight * ce


def match_costs(logits, boxes, items):
    """Matching cost of every query with every target, as in the paper: list of [L, Q, G] arrays, one per element."""
    p = logits.float().sigmoid()
    positive = -(p + 1e-12).log() * 0.25 * (1 - p) ** 2
    negative = -(1 - p + 1e-12).log() * 0.75 * p**2
    class_cost = CLASS_WEIGHT * (positive - negative)
    costs = []
    for b, item in enumerate(items):
        target = torch.from_numpy(item["boxes"]).to(boxes.device)
        labels = torch.from_numpy(item["labels"]).to(boxes.device)
        box_cost = BOX_WEIGHT * torch.cdist(boxes[:, b, :, :8].float(), target[None, :, :8].float(), p=1)
        costs.append(torch.nan_to_num(class_cost[:, b][:, :, labels] + box_cost, 1e4, 1e4, -1e4))
    return [cost.cpu().numpy() for cost in costs]


def detection_loss(logits, boxes, items, pool):
    """logits, boxes [L, B, Q, 10] -> scalar: focal and L1 over all layers, normalised by the number of targets."""
    with torch.no_grad():
        costs = match_costs(logits, boxes, items)
    matches = list(pool.map(lambda cost: [linear_sum_assignment(layer) for layer in cost], costs))
    labels, code, rows = torch.zeros_like(logits), [], []
    for b, per_layer in enumerate(matches):
        for layer, (query, target) in enumerate(per_layer):
            rows.append(
                np.stack([np.full_like(query, layer), np.full_like(query, b), query, items[b]["labels"][target]])
            )
            code.append(items[b]["boxes"][target])
    layer, b, query, label = torch.from_numpy(np.concatenate(rows, 1)).to(logits.device)
    labels[layer, b, query, label] = 1
    count = max(len(query) / len(logits), 1)
    classes = sigmoid_focal(logits.float(), labels.float()).sum() / count
    target = torch.from_numpy(np.concatenate(code)).to(logits.device)
    weight = CODE_WEIGHTS.to(logits.device)
    regression = ((boxes[layer, b, query].float() - target).abs() * weight).sum() / count
    return CLASS_WEIGHT * classes + BOX_WEIGHT * regression


def heatmap_target(items, config, device):
    """Gaussian bump of one cell at every target centre: [B, 10, bev_h, bev_w]."""
    low, high = (torch.tensor(config.pc_range[i : i + 2], device=device) for i in (0, 3))
    size = torch.tensor([config.bev_w, config.bev_h], device=device)
    boxes = torch.from_numpy(np.concatenate([item["boxes"] for item in items])).to(device)
    x, y = ((boxes[:, :2] - low) / (high - low) * size).split(1, 1)
    bump_x = torch.exp(-0.5 * (torch.arange(config.bev_w, device=device) + 0.5 - x) ** 2)
    bump_y = torch.exp(-0.5 * (torch.arange(config.bev_h, device=device) + 0.5 - y) ** 2)
    rows = np.concatenate([b * 10 + item["labels"] for b, item in enumerate(items)])
    heat = torch.zeros(len(items) * 10, config.bev_h, config.bev_w, device=device)
    bumps = bump_y[:, :, None] * bump_x[:, None]
    heat.scatter_reduce_(0, torch.from_numpy(rows).to(device)[:, None, None].expand_as(bumps), bumps, "amax")
    return heat.unflatten(0, (len(items), 10))


def heatmap_loss(logits, target):
    """Penalty-reduced focal loss of CenterPoint's heatmap; cells within half a cell of a centre count as positive."""
    p = logits.float().sigmoid().clamp(1e-4, 1 - 1e-4)
    positive = target > 0.75
    loss = -torch.where(positive, (1 - p) ** 2 * p.log(), (1 - target) ** 4 * p**2 * (1 - p).log())
    return loss.sum() / positive.sum().clamp(min=1)


# ------------------------------------------------------------------------------------------------------------ training
class Trainer:
    def __init__(self, config, scenes, batch, lr, seed, device):
        torch.manual_seed(seed)
        self.config, self.lr, self.device = config, lr, device
        self.model = gather_visible(models.create("bevformer", config.name, seed).to(device).train())
        dims = config.embed_dims
        self.heatmap = torch.nn.Sequential(
            torch.nn.Conv2d(dims, dims, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(dims, 10, 1)
        ).to(device)
        torch.nn.init.constant_(self.heatmap[2].bias, -4.0)
        self.average = models.create("bevformer", config.name, seed).to(device)
        self.parameters = [*self.model.parameters(), *self.heatmap.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=0.01)
        self.streams = Streams(scenes, batch, device, seed)
        self.pool = ThreadPoolExecutor(8)
        self.prev = torch.zeros(config.bev_h * config.bev_w, batch, dims, device=device)
        self.step = 0

    def learning_rate(self, progress):
        """Linear warm-up over 500 steps, then a cosine down to 1 % as `progress` goes from 0 to 1."""
        warm = min(1.0, (self.step + 1) / 500)
        return self.lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))

    def train_step(self, progress):
        """One step on the next frame of every stream; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress)
        items, images, fresh = self.streams.next()
        lidar2img = torch.from_numpy(np.stack([item["lidar2img"] for item in items])).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            bev, logits, boxes = self.model(
                prepare_images(images, self.config), self.prev, (~fresh).float(), can_bus_batch(items, fresh), lidar2img
            )
            grid = bev.permute(1, 2, 0).unflatten(2, (self.config.bev_h, self.config.bev_w))
            heat = self.heatmap(grid)
        loss = detection_loss(logits, boxes, items, self.pool)
        loss = loss + HEATMAP_WEIGHT * heatmap_loss(heat, heatmap_target(items, self.config, self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 35.0)
        self.optimizer.step()
        self.prev = bev.detach().float()
        self._update_average(min(0.9995, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def _update_average(self, decay):
        for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def state(self):
        parts = ("model", "heatmap", "average", "optimizer")
        return {"step": self.step, **{part: getattr(self, part).state_dict() for part in parts}}

    def restore(self, path):
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step = state.pop("step")
        for part, values in state.items():
            getattr(self, part).load_state_dict(values)


def runner(model, device):
    """`model` as the function of NumPy dictionaries that `metrics.evaluate` drives."""
    names, outputs_of = model.config.input_shapes(), model.config.output_shapes()

    @torch.inference_mode()
    def run(inputs):
        outputs = model(*(torch.from_numpy(np.asarray(inputs[name])).to(device) for name in names))
        return {name: output.cpu().numpy() for name, output in zip(outputs_of, outputs, strict=True)}

    return run


def evaluate(model, dataroot, config, device):
    data = dataset.open_dataset(dataroot, split="mini_val")
    return metrics.evaluate(runner(model, device), data, config, progress=False)


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
        part.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    raise SystemExit(main())
