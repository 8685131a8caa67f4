"""MiniDrive in memory as training streams: frames, walks through the scenes, batches."""

import numpy as np
import torch
import torch.nn.functional as F

from data_scripts.train import recipe
from helpers import dataset
from helpers.systems.bevformer.decode import encode_boxes


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


def load_scenes(dataroot, config, workers):
    """Every scene of a data set as a list of frames (see `load_frame`), in time order."""
    data = dataset.open_dataset(dataroot, split="all")
    frames = list(data.frames)
    previous = [None, *frames[:-1]]
    jobs = [(frame, before, config) for frame, before in zip(frames, previous, strict=True)]
    return recipe.in_processes(load_frame, jobs, workers)


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
    """float16 [B, 6, 3, h, w] normalized -> float32 padded to `image_size`; `jitter` varies contrast and light."""
    x = recipe.varied(images.float(), jitter)
    height, width = config.image_size
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
