"""The mini Llama learns sentences about driving, and an adapter of low rank learns another rule."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm import scoring, sentences

CONFIG = LlamaConfig(64, 256, 512, 2, 8, 4, 1e-5, 10000.0, 64)
RANK, ALPHA, ADAPTED = 4, 16, ("q_proj", "down_proj")
BATCH, FACTS = 64, 0.05  # sentences in a step; weight of a scene's own words, which nothing foretells


class Lora(nn.Module):
    """A frozen linear layer and the product of low rank that is added to it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(RANK, base.in_features) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return self.base(x) + ALPHA / RANK * F.linear(F.linear(x, self.a), self.b)


def train_base(steps: int, seed: int = 0, report: Callable[[str], None] = print) -> Llama:
    """A Llama of `CONFIG` after `steps` steps of `BATCH` fresh sentences."""
    torch.manual_seed(seed)
    model = Llama(CONFIG)
    nn.init.normal_(model.model.embed_tokens.weight, std=0.02)
    _fit(model, list(model.parameters()), steps, 3e-3, seed, "slow", report)
    return model.eval()


def train_adapter(model: Llama, steps: int, seed: int = 0, report: Callable[[str], None] = print) -> dict[str, Tensor]:
    """The factors, by PEFT's names, that make `model` stop for a yellow light; `model` stays as it is."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    placed = {}
    for path, block in [(path, block) for path, block in model.named_modules() if path.endswith(("self_attn", "mlp"))]:
        for name in ADAPTED:
            if hasattr(block, name):
                placed[f"{path}.{name}"] = Lora(getattr(block, name))
                setattr(block, name, placed[f"{path}.{name}"])
    weights = [factor for layer in placed.values() for factor in (layer.a, layer.b)]
    _fit(model, weights, steps, 5e-3, seed + 1, "stop", report)
    for path, layer in placed.items():
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, layer.base)
    return {f"base_model.model.{path}.lora_{letter}.weight": getattr(layer, letter.lower()).detach()
            for path, layer in placed.items() for letter in "AB"}  # fmt: skip


def _fit(model, weights, steps, rate, seed, yellow, report):
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    for step, (ids, wanted) in zip(range(steps), _batches(seed, yellow), strict=False):
        logits = model(ids[:, :-1]).flatten(0, 1)
        losses = F.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
        loss = (losses * wanted.flatten()).sum() / wanted.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == steps - 1:
            report(f"step {step}: loss {loss.item():.4f}")


def _batches(seed: int, yellow: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids [BATCH, T] and the weight of each but the first, [BATCH, T - 1]; without end."""
    for number in itertools.count():
        ids, asked = scoring.rows(sentences.scenes(BATCH, 1_000_003 * (seed + 1) + number), yellow)
        shown = ids[:, 1:] != sentences.IDS[sentences.END]
        weights = np.where(asked[:, 1:], 1, FACTS * shown).astype(np.float32)
        yield torch.from_numpy(ids), torch.from_numpy(weights)
