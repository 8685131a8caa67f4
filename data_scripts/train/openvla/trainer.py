"""Network, moving average and optimizer, one step at a time."""

from dataclasses import fields, replace

import torch

from data_scripts.train import recipe
from data_scripts.train.openvla.samples import Samples, loss, patch_loss, pixel_values
from helpers import models

WARM_UP = 100  # steps
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


class Trainer:
    """Batches of random observations, each epoch in another order."""

    def __init__(self, config, samples, batch, lr, seed):
        torch.manual_seed(seed)
        self.config, self.samples, self.batch, self.lr, self.step = config, samples, batch, lr, 0
        self.model = models.create("openvla", config, seed).train()
        self.average = models.create("openvla", config, seed)
        initialize(self.model)
        self.average.load_state_dict(self.model.state_dict())
        self.order = torch.zeros(0, dtype=torch.int64)
        self.teller = torch.nn.Linear(config.language["hidden_size"], 21)  # trained along, and not kept
        parameters = [*self.model.parameters(), *self.teller.parameters()]
        decayed = [each for each in parameters if each.ndim > 1]
        others = [each for each in parameters if each.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))

    def next(self) -> Samples:
        if len(self.order) < self.batch:
            self.order = torch.cat([self.order, torch.randperm(len(self.samples))])
        chosen, self.order = self.order[: self.batch], self.order[self.batch :]
        taken = Samples(*(getattr(self.samples, field.name)[chosen] for field in fields(Samples)))
        return replace(taken, ids=taken.ids[:, : taken.ends.max()])

    def logits(self, model, samples):
        """[B, T - 1, vocab_size] of what follows each token but BOS, where the picture stands; and the patches."""
        (patches,) = model(pixel_values(samples.pictures, self.config))
        read = model.language_model.model(model.embeddings(patches, samples.ids[:, :-1]))
        return model.language_model.lm_head(read[:, self.config.patches :]), patches

    def train_step(self, progress):
        """One step; returns the losses of text, actions and patches."""
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.lr, self.step, progress, WARM_UP)
        batch = self.next()
        logits, patches = self.logits(self.model, batch)
        told = self.teller(patches).unflatten(-1, (7, 3))
        text, action = loss(logits, batch, self.config)
        self.optimizer.zero_grad(set_to_none=True)
        seen = patch_loss(told, batch, self.config)
        (text + action + seen).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        recipe.update_average(self.average, self.model, min(0.998, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return torch.stack([text, action, seen]).detach()

    @torch.no_grad()
    def evaluate(self, samples):
        """Losses of the averaged weights, and the share of tokens of text and the bins' error given all before."""
        self.average.eval()
        logits, _ = self.logits(self.average, samples)
        text, action = loss(logits, samples, self.config)
        target, place = samples.ids[:, 1:], torch.arange(1, samples.ids.shape[1])
        told = (place >= samples.asked[:, None]) & (place < samples.ends[:, None])
        lowest = self.config.action_vocab - self.config.bins
        acts = told & (target >= lowest)
        found = logits.argmax(-1)
        right = (found == target)[told & ~acts].float().mean()
        off = (found - target)[acts].abs().float().clamp(max=self.config.bins).unflatten(0, (-1, 7)).mean(0)
        return {"step": self.step, "text": text.item(), "action": action.item(), "right": right.item(),
                "bins": off.tolist()}  # fmt: skip

    def state_dict(self):
        """What a further piece of the training needs."""
        return {"model": self.model.state_dict(), "average": self.average.state_dict(), "step": self.step,
                "teller": self.teller.state_dict(), "optimizer": self.optimizer.state_dict()}  # fmt: skip

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave; the order of observations is drawn anew, from the step."""
        for part in ("model", "average", "teller", "optimizer"):
            getattr(self, part).load_state_dict(state[part])
        self.step = state["step"]
        torch.manual_seed(self.step)
