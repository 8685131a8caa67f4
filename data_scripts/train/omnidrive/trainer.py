"""The vision part, its moving average and optimizer, one step at a time; and what it has seen of a frame."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_scripts.train import recipe
from data_scripts.train.omnidrive.hints import Hints
from data_scripts.train.omnidrive.losses import detection_losses
from data_scripts.train.omnidrive.stream import Store, Walks
from helpers import models
from helpers.dataset import Dataset, stream
from helpers.metrics import detection
from helpers.models.runner import runner
from helpers.sequence import Step

WARM_UP = 500  # steps
WEIGHTS = {"boxes": 1.0, "lanes": 0.5, "lanes_many": 0.5, "patches": 1.0, "told": 1.0}
JITTER = 0.2  # of contrast and light
GRADIENT = 20.0  # norm that is cut at


class Trainer(recipe.Resumable):
    """Training streams: every element of the batch walks through a scene and carries its own memory, as inference does.

    On a GPU the backbone and the decoders run in bfloat16; poses, rays, positions and losses stay in FP32.
    """

    parts = ("model", "average", "hints", "optimizer")

    def __init__(self, config: Any, store: Store, batch: int, lr: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.lr, self.step, self.store, self.device = config, lr, 0, store, store.device
        self.model = models.create("omnidrive", config, seed).to(self.device).train()
        self.average = models.create("omnidrive", config, seed).to(self.device)
        self.hints = Hints(config).to(self.device)
        heads = self.model.pts_bbox_head, self.model.map_head
        for part in (self.model.img_backbone, *(head.transformer for head in heads)):
            in_half(part)
        self._heard: dict[str, Tensor] = {}
        listen(self.model, self._heard)
        trained = [each for each in self.model.parameters() if each.requires_grad]
        self.parameters = [*trained, *self.hints.parameters()]
        groups = [{"params": [each for each in self.parameters if (each.ndim > 1) is wide], "weight_decay": decay}
                  for wide, decay in ((True, 0.01), (False, 0.0))]  # fmt: skip
        self.optimizer = torch.optim.AdamW(groups, lr=lr, fused=self.device.type == "cuda")
        self.pool = ThreadPoolExecutor(8)
        self.walks = Walks(store, batch, seed)
        self.states = initial_states(config, batch, self.device)

    def train_step(self, progress: float) -> dict[str, Tensor]:
        """One step on the next frame of every stream; returns the parts of the loss. progress: 0..1 of the schedule."""
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.lr, self.step, progress, WARM_UP)
        rows, first = self.walks.next()
        feeds = feeds_of(rows, first, self.config, JITTER)
        found = dict(zip(self.config.output_shapes(), self.model(**feeds, **self.states), strict=True))
        parts = detection_losses(found, rows, self.model.pts_bbox_head.code_weights, self.pool)
        parts["patches"] = self.hints.patches(self._heard["features"], rows)
        parts["told"] = self.hints.extras(torch.cat([self._heard["boxes"], self._heard["lanes"]], 1), rows)
        loss = sum(WEIGHTS[name] * part for name, part in parts.items())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, GRADIENT)
        self.optimizer.step()
        self.states = {name: found[source].detach().float() for name, source in self.config.states.items()}
        recipe.update_average(self.average, self.model, min(0.9995, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return {"loss": loss.detach()} | {name: part.detach() for name, part in parts.items()}


def initial_states(config, batch, device):
    """The states of so many streams where each begins."""
    return {name: torch.from_numpy(array).to(device).repeat_interleave(batch, 0)
            for name, array in config.initial_states().items()}  # fmt: skip


def in_half(module: nn.Module) -> None:
    """Let what multiplies matrices in a module run in bfloat16 on a GPU; it takes and gives FP32."""
    forward = module.forward

    def run(*inputs):
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=inputs[0].is_cuda):
            return forward(*inputs).float()

    module.forward = run  # type: ignore[method-assign]


def listen(model: nn.Module, heard: dict[str, Tensor]) -> None:
    """Keep in `heard` what no output has: "features" of the backbone, and of each forward the extra queries of both
    heads behind the last layer, "boxes" and "lanes" [B, extra, C], and "driven", what the token of motion is made of.
    """
    extra = model.config.extra

    def keep(name, chosen):
        def hook(module, given, *result):
            heard[name] = chosen(result[0] if result else given[0])

        return hook

    model.img_backbone.register_forward_hook(keep("features", lambda tensor: tensor))
    for name, head in (("boxes", model.pts_bbox_head), ("lanes", model.map_head)):
        head.transformer.register_forward_hook(keep(name, lambda results: results[-1, :, :extra]))
    model.pts_bbox_head.can_bus_embed.register_forward_pre_hook(keep("driven", lambda tensor: tensor))


def feeds_of(rows: dict[str, Tensor], first: np.ndarray, config: Any, jitter: float = 0.0) -> dict[str, Tensor]:
    """The network's inputs without the states, of rows of a store."""
    names = ("img2lidars", "command", "can_bus", "ego_pose", "timestamp", "ego_pose_inv")
    is_first = torch.from_numpy(first.astype(np.float32)).to(rows["picture"].device)
    pictures = stretched(rows["picture"], config)
    return {name: rows[name] for name in names} | {
        "img": recipe.varied(pictures, jitter) if jitter else pictures,
        "is_first_frame": is_first,
    }


def stretched(pictures: Tensor, config: Any) -> Tensor:
    """uint8 [B, 6, *image_crop, 3] -> float32 [B, 6, 3, H, W]: as `helpers.systems.omnidrive.inputs` prepares them."""
    flat = pictures.flatten(0, 1).permute(0, 3, 1, 2).float()
    flat = F.interpolate(flat, config.image_size, mode="bilinear", align_corners=False)
    mean, std = (
        torch.tensor(each, device=flat.device)[:, None, None] for each in (config.image_mean, config.image_std)
    )
    return ((flat - mean) / std).unflatten(0, pictures.shape[:2])


def evaluate(model: nn.Module, data: Dataset, steps: list[Step], device: torch.device) -> dict[str, float]:
    """Detection metrics of a network over `steps`, which were read once."""
    return detection.evaluate(runner(model, device), data, model.config, steps, progress=False)


def steps_of(data: Dataset, config: Any) -> list[Step]:
    """The steps of a data set, read."""
    return list(stream(data, config))
