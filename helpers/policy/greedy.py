"""The most probable token after another, without a cache."""

from collections.abc import Collection, Sequence

import numpy as np
import torch

from helpers.layers.llama import Llama


@torch.no_grad()
def generate(model: Llama, prompts: Sequence[Sequence[int]], tokens: int, stop: Collection[int],
             table: np.ndarray) -> list[list[int]]:  # fmt: skip
    """New tokens of each row until one of `stop`, which is kept, or `tokens` of them.

    An id from the vocabulary's size on stands for a row of `table` [rows, hidden_size].
    """
    words = model.model.embed_tokens.weight
    known = torch.cat([words, torch.from_numpy(table).to(words)])
    found = []
    for prompt in prompts:
        row = list(prompt)
        while len(row) < len(prompt) + tokens and (len(row) == len(prompt) or row[-1] not in stop):
            row.append(int(model(inputs_embeds=known[torch.tensor(row)][None])[0, -1].argmax()))
        found.append(row[len(prompt) :])
    return found
