"""What the mini is asked for: the text, the action, and of each patch what lies in it. Nothing here waits for a GPU."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from data_scripts.train.openvla.samples import Samples

LOOSE = 3.0  # bins: deviation of the tokens that count as right beside an action's own
ACTION = 7  # tokens of an action, which stand before the last of a row


def acting(samples: Samples) -> Tensor:
    """[N, 7]: the places of `samples.ids[:, 1:]` where the tokens of an action are."""
    return samples.ends[:, None] - 2 - ACTION + torch.arange(ACTION, device=samples.ends.device)


def loss(logits: Tensor, samples: Samples, config) -> tuple[Tensor, Tensor]:
    """Mean cross entropy of the text's tokens, and of the actions', whose neighbors count as partly right.

    logits: [B, T - 1, vocab_size], of what follows each token of `samples.ids`.
    """
    target, lowest = samples.ids[:, 1:], config.action_vocab - config.bins
    chances = F.log_softmax(logits.float(), -1)
    told = telling(samples, config)
    text = -(chances.gather(2, target[..., None])[..., 0] * told).sum() / told.sum()
    places = acting(samples)
    found = chances.gather(1, places[..., None].expand(-1, -1, chances.shape[2]))[..., lowest : config.action_vocab]
    near = neighbors(config.bins, str(logits.device))[target.gather(1, places) - lowest]
    return text, -(near * found).sum(-1).mean()


def telling(samples: Samples, config) -> Tensor:
    """Bool [B, T - 1]: the places of `samples.ids[:, 1:]` where the text and the end are."""
    target = samples.ids[:, 1:]
    place = torch.arange(1, target.shape[1] + 1, device=target.device)
    told = (place >= samples.asked[:, None]) & (place < samples.ends[:, None])
    return told & (target < config.action_vocab - config.bins)


@functools.cache
def neighbors(bins: int, device: str) -> Tensor:
    """[bins, bins]: row by row how right each token of an action is."""
    place = torch.arange(bins, device=device)
    near = torch.exp(-0.5 * ((place[:, None] - place) / LOOSE) ** 2)
    return near / near.sum(1, keepdim=True)


def patch_loss(told: Tensor, samples: Samples, config) -> Tensor:
    """What each patch is to tell of itself: which things lie in it, and where. A help for the towers alone.

    told: [B, patches, 7, 3], a logit of presence, and column and row in patches.
    """
    grid = torch.tensor(config.grid[::-1], device=told.device)
    places = samples.places * grid  # in patches
    there = ~samples.places.isnan().any(-1)
    known = places.nan_to_num(0)
    cells = known.long().clamp(min=0).minimum(grid - 1)
    flat = cells[..., 1] * grid[0] + cells[..., 0]
    present = torch.zeros(told.shape[:3], device=told.device).scatter_(1, flat[:, None], there[:, None].float())
    heavier = torch.tensor(8.0, device=told.device)
    logits = F.binary_cross_entropy_with_logits(told[..., 0], present, pos_weight=heavier)
    inside = told.gather(1, flat[:, None, :, None].expand(-1, 1, -1, 3))[:, 0, :, 1:]
    return logits + ((inside - known).abs() * there[..., None]).sum() / (2 * there.sum())
