"""Network, moving average and optimizer, one step at a time; and the network as the metrics drive it."""

import numpy as np
import torch

from data_scripts.train import recipe
from data_scripts.train.fbocc.frames import Streams, collate
from data_scripts.train.fbocc.loss import DEPTH_WEIGHT, class_weights, depth_loss, occupancy_loss
from helpers import dataset, models
from helpers.metrics import occupancy
from helpers.models.runner import runner

WARM_UP = 200  # steps


class Trainer:
    """Training streams: every element of the batch walks through a scene and carries its own volumes, detached."""

    def __init__(self, config, scenes, batch, lr, seed, device):
        torch.manual_seed(seed)
        self.config, self.lr, self.device, self.step = config, lr, device, 0
        self.model = models.create("fbocc", config, seed).to(device).train()
        self.average = models.create("fbocc", config, seed).to(device)
        self.streams = Streams(scenes, batch, device, seed)
        self.weights = class_weights(self.streams.scenes, device)
        self.parameters = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=0.01)
        self.states = {
            name: torch.from_numpy(array).to(device).repeat_interleave(batch, 0)
            for name, array in config.initial_states().items()
        }

    def train_step(self, progress):
        """One step on the next frame of every stream; returns the two parts of the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.lr, self.step, progress, WARM_UP)
        items, fresh = self.streams.next()
        depths = []
        hook = self.model.depth_net.register_forward_hook(lambda module, inputs, outputs: depths.append(outputs[1]))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, volumes, _, times = self.model(**collate(items, fresh, self.config), **self.states)
        hook.remove()
        voxels = occupancy_loss(logits, torch.stack([item["labels"] for item in items]), self.weights)
        depth = depth_loss(depths[0], torch.cat([item["depth"] for item in items]))
        self.optimizer.zero_grad(set_to_none=True)
        (voxels + DEPTH_WEIGHT * depth).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()
        self.states = {"history_bev": volumes.detach().float(), "history_sweep_time": times}
        recipe.update_average(self.average, self.model, min(0.999, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return torch.stack([voxels.detach(), depth.detach()])


def evaluate(model, dataroot, config, device):
    """Metrics on mini_val with the history, and both mIoU without: every frame then starts a sequence."""
    data = dataset.open_dataset(dataroot, split="mini_val")
    run = runner(model, device)
    alone = (
        step._replace(feeds=step.feeds | {"start_of_sequence": np.array([True])})
        for step in dataset.stream(data, config)
    )
    metrics = occupancy.evaluate(run, data, config, progress=False)
    without = occupancy.evaluate(run, data, config, alone, progress=False, rays=False)
    return metrics | {f"{name}_without_history": without[name] for name in ("mIoU", "mIoU/labeled")}
