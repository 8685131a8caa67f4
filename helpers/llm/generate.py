"""Text token by token: greedy or sampled, until a stop token or a number of tokens, as it comes or as a whole."""

import itertools
import operator
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.llm.language_model import FEWER, LanguageModel, Row


@typed
@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; by default the most probable one is taken.

    temperature: logits are divided by it; 0 takes the most probable token. top_k: of how many most probable tokens one
    is drawn. top_p: of the fewest tokens whose probabilities, in descending order, sum to it. seed: every row draws
    from a generator of its own, by the seed and its number.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"temperature": (self.temperature, 0, 100), "top_p": (self.top_p, 1e-9, 1),
                  "seed": (self.seed, 0, 2**63), "top_k": (self.top_k, 1, 2**31)}  # fmt: skip
        for name, (value, least, most) in limits.items():
            if value is not None and not least <= value <= most:
                raise BadInput(name, value, f"a number from {least:g} to {most:g}", "choose another")
        for name in ("top_k", "top_p"):
            if not self.temperature and getattr(self, name) is not None:
                found = f"{getattr(self, name)} at temperature 0, which takes the most probable token"
                raise BadInput(name, found, "a temperature above 0", "give one, or leave it out")


GREEDY = Sampling()


@typed
def stream(model: LanguageModel, prompts: Sequence[Row], tokens: int, stop: Collection[int] = (),
           sampling: Sampling = GREEDY, table: np.ndarray | None = None) -> Iterator[list[int | None]]:  # fmt: skip
    """Yield the next token of each row as soon as it is known; None for a row that has ended.

    Args:
        prompts, table: as in `LanguageModel.prefill`.
        tokens: of a row at most.
        stop: tokens that end a row; the one that did is yielded.

    Raises:
        BadInput: as `prefill`, and for a stop that is no token, or more tokens than the cache can hold, before the
            first is computed; then for logits that are no numbers, and where another answer was begun meanwhile.
    """
    if strange := [token for token in stop if not 0 <= token < model.vocab_size]:
        raise BadInput("stop", strange[0], f"tokens from 0 to {model.vocab_size - 1}", "take the model's own end")
    if tokens < 1:
        raise BadInput("tokens", tokens, "at least 1", "ask for one")
    longest = max((operator.length_hint(prompt, 1) for prompt in prompts), default=0)
    needed = longest + tokens - 1  # the last one is not taken in
    if needed > model.capacity:
        raise BadInput("cache", f"{needed} tokens needed", f"at most {model.capacity}", FEWER)
    return _stream(model, prompts, tokens, frozenset(stop), sampling, table)


def _stream(model, prompts, tokens, stop, sampling, table):
    logits = model.prefill(prompts, table)
    random = [np.random.default_rng([sampling.seed, row]) for row in range(len(prompts))]
    ended = np.zeros(len(prompts), bool)
    for left in range(tokens - 1, -1, -1):
        chosen = [draw(row, sampling, generator) for row, generator in zip(logits, random, strict=True)]
        yield [None if end else token for token, end in zip(chosen, ended, strict=True)]
        ended |= np.isin(chosen, list(stop))
        if ended.all() or not left:
            return
        logits = model.decode(chosen, after=logits)


@typed
def generate(model: LanguageModel, prompts: Sequence[Row], tokens: int, stop: Collection[int] = (),
             sampling: Sampling = GREEDY, table: np.ndarray | None = None) -> list[list[int]]:  # fmt: skip
    """What `stream` yields, as a list of new tokens for each row; the arguments are the same."""
    return paced(stream(model, prompts, tokens, stop, sampling, table)).tokens


class Paced(NamedTuple):
    """New tokens of each row, ms until the first ones (TTFT), and ms for each step after it (their mean is TPOT)."""

    tokens: list[list[int]]
    first: float
    steps: list[float]


@typed
def paced(steps: Iterator[list[int | None]]) -> Paced:
    """Go through what `stream` gives and take the time of every step."""
    found, times = [], [time.perf_counter()]
    for step in steps:
        times.append(time.perf_counter())
        found.append(step)
    first, *others = (1000 * (after - before) for before, after in itertools.pairwise(times))
    return Paced([[token for token in row if token is not None] for row in zip(*found, strict=True)], first, others)


def draw(logits: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """One token by its logits [vocab_size]; BadInput where the largest is NaN or infinite."""
    if not np.isfinite(logits.max()):
        raise BadInput("logits", "NaN or infinity", "numbers", "compute in FP32, or find the first bad tensor")
    if not sampling.temperature:
        return int(logits.argmax())
    chances = np.cumsum(probabilities(logits, sampling))
    return int(np.searchsorted(chances, random.random() * chances[-1], side="right"))


def probabilities(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Of each token to be drawn, [vocab_size] float64: temperature, then top_k, then top_p, as transformers does."""
    with np.errstate(over="ignore"):  # by the smallest temperatures, to -inf: such a token is never drawn
        scaled = (logits - logits.max()).astype(np.float64) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scaled.size:
        scaled = np.where(scaled < np.sort(scaled)[-sampling.top_k], -np.inf, scaled)
    chances = np.exp(scaled)
    chances /= chances.sum()
    if sampling.top_p is not None and sampling.top_p < 1:
        order = np.argsort(-chances, kind="stable")
        before = np.cumsum(chances[order]) - chances[order]
        chances[order[before >= sampling.top_p]] = 0
        chances /= chances.sum()
    return chances
