"""Network, moving average and optimizer, one step at a time."""

from typing import Any

import torch

from data_scripts.train import recipe
from data_scripts.train.openvla.losses import ACTION, acting, loss, patch_loss, telling
from data_scripts.train.openvla.samples import Samples, pixel_values
from helpers import models

WARM_UP = 300  # steps
EVERY = 4  # steps, after which the average takes in the weights
PLACE = 0.5  # of a patch's features at the beginning, how much tells where it lies


@torch.no_grad()
def initialize(model):
    """Small embeddings, and places of patches as sines and cosines of their rows and columns, to be learned on."""
    torch.nn.init.normal_(model.language_model.model.embed_tokens.weight, std=0.05)
    for tower in model.vision_backbone.children():
        rows, columns = torch.meshgrid(*map(torch.arange, model.config.grid), indexing="ij")
        width = tower.config.width // 4
        steps = torch.pi / 2 ** (torch.arange(width) * 5 / width)
        angles = torch.cat([place.reshape(-1, 1) * steps for place in (rows, columns)], 1)
        tower.pos_embed.copy_(PLACE * torch.cat([angles.sin(), angles.cos()], 1)[None])


class Trainer(recipe.Resumable):
    """Steps on batches that are given; on a GPU in bfloat16 where PyTorch's autocast holds that to be enough."""

    parts = ("model", "average", "teller", "optimizer")

    def __init__(self, config, lr: float, seed: int, device: torch.device | str = "cpu") -> None:
        torch.manual_seed(seed)
        self.config, self.lr, self.step, self.device = config, lr, 0, torch.device(device)
        self.model = models.create("openvla", config, seed).train()
        self.average = models.create("openvla", config, seed)
        initialize(self.model)
        self.average.load_state_dict(self.model.state_dict())
        self.teller = torch.nn.Linear(config.language["hidden_size"], 21)  # trained along, and not kept
        for part in (self.model, self.average, self.teller):
            part.to(self.device)
        self.parameters = [*self.model.parameters(), *self.teller.parameters()]
        decayed = [each for each in self.parameters if each.ndim > 1]
        others = [each for each in self.parameters if each.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=self.device.type == "cuda")

    def logits(self, model, samples: Samples):
        """[B, T - 1, vocab_size] of what follows each token but BOS, where the picture stands; and the patches."""
        (patches,) = model(pixel_values(samples.pictures, self.config))
        read = model.language_model.model(model.embeddings(patches, samples.ids[:, :-1]))
        return model.language_model.lm_head(read[:, self.config.patches :]), patches

    def train_step(self, batch: Samples, progress: float) -> torch.Tensor:
        """One step; returns the losses of text, actions and patches. progress: 0..1 of the schedule."""
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.lr, self.step, progress, WARM_UP)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, patches = self.logits(self.model, batch)
        told = self.teller(patches.float()).unflatten(-1, (7, 3))
        text, action = loss(logits, batch, self.config)
        seen = patch_loss(told, batch, self.config)
        self.optimizer.zero_grad(set_to_none=True)
        (text + action + seen).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        if self.step % EVERY == 0:
            known = self.step // EVERY
            recipe.update_average(self.average, self.model, min(0.99, (known + 1) / (known + 10)))
        self.step += 1
        return torch.stack([text, action, seen]).detach()

    @torch.no_grad()
    def evaluate(self, samples: Samples) -> dict[str, Any]:
        """Losses of the averaged weights, and the share of tokens of text and the bins' error given all before."""
        self.average.eval()
        logits, _ = self.logits(self.average, samples)
        text, action = loss(logits, samples, self.config)
        found, target, places = logits.argmax(-1), samples.ids[:, 1:], acting(samples)
        right = (found == target)[telling(samples, self.config)].float().mean()
        off = (found - target).gather(1, places).abs().clamp(max=self.config.bins).float().mean(0)
        assert off.shape == (ACTION,)
        return {"step": self.step, "text": text.item(), "action": action.item(), "right": right.item(),
                "bins": off.tolist()}  # fmt: skip

    def start_from(self, weights):
        """Take the weights of a network that was trained before; the optimizer begins anew."""
        self.model.load_state_dict(weights)
        self.average.load_state_dict(weights)
