"""Network, moving average and optimizer, one step at a time; and the network as the metrics drive it."""

import math

import numpy as np
import torch

from data_scripts.train.fbocc.frames import Streams, collate
from data_scripts.train.fbocc.loss import DEPTH_WEIGHT, class_weights, depth_loss, occupancy_loss
from helpers import dataset, models
from helpers.metrics import occupancy

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

    def learning_rate(self, progress):
        """Linear warm-up, then a cosine down to 1 % as `progress` goes from 0 to 1."""
        warm = min(1.0, (self.step + 1) / WARM_UP)
        return self.lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))

    def train_step(self, progress):
        """One step on the next frame of every stream; returns the two parts of the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress)
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
        self._update_average(min(0.999, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return torch.stack([voxels.detach(), depth.detach()])

    @torch.no_grad()
    def _update_average(self, decay):
        for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def runner(model, device):
    """`model` as the function of NumPy dictionaries that the metrics drive."""

    @torch.inference_mode()
    def run(inputs):
        outputs = model(**{name: torch.from_numpy(np.asarray(array)).to(device) for name, array in inputs.items()})
        return {name: out.cpu().numpy() for name, out in zip(model.config.output_shapes(), outputs, strict=True)}

    return run


def evaluate(model, dataroot, config, device):
    """Metrics on mini_val with the history, and mIoU without: every frame then starts a sequence."""
    data = dataset.open_dataset(dataroot, split="mini_val")
    run = runner(model, device)
    alone = (
        step._replace(feeds=step.feeds | {"start_of_sequence": np.array([True])})
        for step in dataset.stream(data, config)
    )
    metrics = occupancy.evaluate(run, data, config, progress=False)
    without = occupancy.evaluate(run, data, config, alone, progress=False, rays=False)
    return metrics | {"mIoU_without_history": without["mIoU"]}
