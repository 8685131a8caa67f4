"""Network, heatmap head, moving average and optimizer, one step at a time; and the network as `evaluate` drives it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from data_scripts.train import recipe
from data_scripts.train.bevformer.frames import Streams, can_bus_batch, prepare_images
from data_scripts.train.bevformer.gathered_attention import gather_visible
from data_scripts.train.bevformer.loss import detection_loss, heatmap_loss, heatmap_target
from helpers import dataset, models
from helpers.errors import foreign
from helpers.metrics import detection
from helpers.models.runner import runner

PARTS = ("model", "heatmap", "average", "optimizer")  # of a state, beside the step

HEATMAP_WEIGHT = 1.0
WARM_UP = 500  # steps


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

    def train_step(self, progress):
        """One step on the next frame of every stream; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.lr, self.step, progress, WARM_UP)
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
        recipe.update_average(self.average, self.model, min(0.9995, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return loss.detach()

    def state(self):
        return {"step": self.step, **{part: getattr(self, part).state_dict() for part in PARTS}}

    def restore(self, path):
        """Go on from a file of `state`, if there is one."""
        if state := recipe.left(path, self.device, "step", *PARTS):
            self.step = state["step"]
            with foreign(path, recipe.LEFT, recipe.OTHER_STATE):
                for part in PARTS:
                    getattr(self, part).load_state_dict(state[part])


def evaluate(model, dataroot, config, device):
    data = dataset.open_dataset(dataroot, split="mini_val")
    return detection.evaluate(runner(model, device), data, config, progress=False)
