"""Observations of tabletops as the tensors that a step of training takes."""

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data_scripts.tabletop.render import TALL, WIDTH
from data_scripts.tabletop.text import CELL
from data_scripts.tabletop.world import COLORS
from helpers.dataset.tabletop import Tabletop
from helpers.systems.openvla.decode import encode, normalize
from helpers.systems.openvla.inputs import fitted, prompt

LOOSE = 2.0  # bins: deviation of the tokens that count as right beside an action's own
IGNORED = -100


@dataclass(frozen=True)
class Samples:
    """pictures: uint8 [N, H, W, 3]. ids: int64 [N, T], filled up on the right with 0. asked, ends: [N], tokens of the
    prompt, and of the whole. places: [N, 7, 2], column and row of each color's thing, and of the gripper, in 0..1 of
    the picture; NaN where there is none.
    """

    pictures: Tensor
    ids: Tensor
    asked: Tensor
    ends: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.ids)


def load(data: Tabletop, statistics, tokenizer, config) -> Samples:
    """All observations, prompt, reasoning, the tokens of the action and the end."""
    rows, asked, pictures, places = [], [], [], []
    for seen in tqdm(data.observations, desc="reading pictures", mininterval=5):
        pictures.append(fitted(seen.image(), config, config.towers[0]))
        question = tokenizer.encode(prompt(seen.instruction, config))
        action = encode(normalize(seen.action, statistics), config)
        asked.append(len(question))
        places.append(told_places(seen.reasoning))
        rows.append([*question, *tokenizer.encode(seen.reasoning)[1:], *map(int, action), tokenizer.eos])
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = torch.tensor(row)
    ends = torch.tensor([len(row) for row in rows])
    return Samples(torch.from_numpy(np.stack(pictures)), ids, torch.tensor(asked), ends, torch.tensor(places))


def told_places(reasoning):
    """Where a text says that the things of each color and the gripper are, as `Samples.places` has them."""
    found = {}
    for name, column, row in re.findall(r"(\w+:?(?: \w+)?) \[(\d+), (\d+)\]", reasoning):
        word = name.split()[0] if name.split()[0] in COLORS else "gripper"
        found[word] = ((int(column) + 0.5) * CELL / WIDTH, (int(row) + 0.5) * CELL / TALL)
    return [found.get(word, (float("nan"), float("nan"))) for word in (*COLORS, "gripper")]


def pixel_values(pictures: Tensor, config) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3 * towers, H, W], as `helpers.systems.openvla.inputs.normalized` does it."""
    values = pictures.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor([getattr(tower, name) for tower in config.towers]) for name in ("mean", "std"))
    parts = (values[:, None] - mean[..., None, None]) / std[..., None, None]
    return parts.flatten(1, 2)


def loss(logits: Tensor, samples: Samples, config) -> tuple[Tensor, Tensor]:
    """Mean cross entropy of the text's tokens, and of the actions', whose neighbors count as partly right.

    logits: [B, T - 1, vocab_size], of what follows each token of `samples.ids`.
    """
    target, place = samples.ids[:, 1:], torch.arange(1, samples.ids.shape[1])
    told = (place >= samples.asked[:, None]) & (place < samples.ends[:, None])
    lowest = config.action_vocab - config.bins
    acts = told & (target >= lowest) & (target < config.action_vocab)
    text = torch.nn.functional.cross_entropy(logits[told & ~acts], target[told & ~acts])
    bins = torch.arange(config.bins)
    near = torch.exp(-0.5 * ((target[acts][:, None] - lowest - bins) / LOOSE) ** 2)
    chances = torch.log_softmax(logits[acts], -1)[:, lowest : config.action_vocab]
    return text, -(near / near.sum(1, keepdim=True) * chances).sum(1).mean()


def patch_loss(told: Tensor, samples: Samples, config) -> Tensor:
    """What each patch is to tell of itself: which things lie in it, and where. A help for the towers alone.

    told: [B, patches, 7, 3], a logit of presence, and column and row in patches.
    """
    grid = torch.tensor(config.grid[::-1])
    places = samples.places * grid  # in patches
    cells = places.nan_to_num(0).long().clamp(min=0).minimum(grid - 1)
    there = ~samples.places.isnan().any(-1)
    flat = cells[..., 1] * grid[0] + cells[..., 0]
    present = torch.zeros(told.shape[:3]).scatter_(1, flat[:, None], there[:, None].float())
    logits = torch.nn.functional.binary_cross_entropy_with_logits(told[..., 0], present, pos_weight=torch.tensor(8.0))
    inside = told.gather(1, flat[:, None, :, None].expand(-1, 1, -1, 3))[:, 0, :, 1:]
    return logits + (inside - places)[there].abs().mean()
