"""How well a language model does: decisions word for word, perplexity of what is to be foretold."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from helpers.arguments import typed
from helpers.layers.llama import Llama
from helpers.llm import sentences
from helpers.llm.generate import generate
from helpers.llm.language_model import LanguageModel
from helpers.llm.tensorrt_llm.quantized import check_ids

LONGEST = 6  # tokens of a decision
RECORDED = Path(__file__).with_name("llama_mini_generated.json")


@typed
def decisions(model: LanguageModel, scenes: Sequence[sentences.Scene]) -> list[str]:
    """What the model goes on with after each scene."""
    prompts = [sentences.encode(sentences.prompt(scene)) for scene in scenes]
    return [sentences.decode(ids) for ids in generate(model, prompts, LONGEST, {sentences.IDS[sentences.END]})]


@typed
def right(model: LanguageModel, scenes: Sequence[sentences.Scene], yellow: str = "slow") -> float:
    """Share of the scenes whose decision is the right one, word for word."""
    wanted = [sentences.decision(scene, yellow) for scene in scenes]
    return float(np.mean([found == text for found, text in zip(decisions(model, scenes), wanted, strict=True)]))


@typed
def rows(scenes: Sequence[sentences.Scene], yellow: str = "slow") -> tuple[np.ndarray, np.ndarray]:
    """Sentences with their decisions, ids [B, T] int64, and which of these are to be foretold, [B, T] bool."""
    end = sentences.IDS[sentences.END]
    given = [sentences.encode(sentences.prompt(scene)) for scene in scenes]
    whole = [[*start, *sentences.encode(sentences.decision(scene, yellow)), end]
             for start, scene in zip(given, scenes, strict=True)]  # fmt: skip
    ids = np.full((len(whole), max(map(len, whole))), end)
    asked = np.zeros(ids.shape, bool)
    for k, (row, start) in enumerate(zip(whole, given, strict=True)):
        ids[k, : len(row)], asked[k, len(start) : len(row)] = row, True
    return ids, asked


@typed
@torch.no_grad()
def perplexity(model: Llama, ids: np.ndarray, asked: np.ndarray) -> float:
    """exp of the mean cross entropy of the tokens that `asked` marks; 1 where every one is certain and right."""
    tokens, marked = torch.from_numpy(ids), torch.from_numpy(asked)
    check_ids(model, tokens)
    logits = model(tokens[:, :-1])
    return float(F.cross_entropy(logits[marked[:, 1:]], tokens[:, 1:][marked[:, 1:]]).exp())


def recorded() -> tuple[list[list[int]], str]:
    """(tokens, by what) that transformers generated greedily after the first scenes of seed 4096, 50 rows of 24.

    The model is checkpoints/llama_mini with its adapter merged, written by `merge` and loaded by transformers itself.
    """
    table = json.loads(RECORDED.read_text())
    return table["tokens"], table["source"]
