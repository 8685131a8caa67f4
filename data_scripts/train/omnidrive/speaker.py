"""The language model of the mini OmniDrive and what becomes of its vision tokens: batches, loss, steps, answers."""

import copy
import functools
import re
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_scripts.train import recipe
from helpers.dataset.questions import PLANNING_QUESTION, planning_answer
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm.pytorch import TorchModel
from helpers.llm.tokenizer import Tokenizer
from helpers.planner import Answer, Planner
from helpers.systems.omnidrive.language import prompt

SIZES = {"intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4,
         "max_position_embeddings": 512}  # fmt: skip
LOCATION = "minidrive"  # of all logs of MiniDrive
PLANNING = 0.7  # of all questions of a batch
HEAVIER = 3.0  # what a token of a number counts, as published
NUMBERS = re.compile(r"▁?\(?[+-]|[0-9.]")
NOISE, BLIND = 0.1, 0.1  # of the extra queries, and of the frames whose extra queries are all hidden
WARM_UP, IGNORED = 200, -100
MOST = 230  # tokens of a question and its answer; longer ones are not asked


class Words:
    """Texts to ids; what lies between two spaces is encoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.word = functools.cache(lambda word: tuple(tokenizer.encode(word)[1:]))
        before, self.after = prompt(PLANNING_QUESTION, LOCATION)
        self.before = tokenizer.encode(before)
        self.asked = functools.cache(lambda question: tuple(tokenizer.encode(prompt(question, LOCATION)[1])[1:]))

    def answer(self, text: str) -> list[int]:
        """The ids of an answer and its end: no merge reaches over a space."""
        return [*(number for word in text.split(" ") for number in self.word(word)), self.tokenizer.eos]

    def weights(self) -> Tensor:
        """What each token counts in the loss, [vocab_size]."""
        found = torch.ones(len(self.tokenizer.vocab))
        found[[number for token, number in self.tokenizer.vocab.items() if NUMBERS.fullmatch(token)]] = HEAVIER
        return found


class Told:
    """Questions and answers of the frames of a file that `told` wrote: batches for a step."""

    def __init__(self, part: dict[str, Any], words: Words, seed: int, device: torch.device) -> None:
        self.words, self.device, self.random = words, device, np.random.default_rng(seed)
        self.extras, self.driven, self.ways = (part[name].flatten(0, 1) for name in ("extras", "driven", "ways"))
        frames = [frame for scene in part["questions"] for frame in scene]
        self.asked = [[(q, a) for kind, q, a in frame if kind != "planning"] for frame in frames]
        self.known = np.flatnonzero(~self.ways[:, 0, 0, 0].isnan().numpy())

    def batch(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """extras [B, 2 * extra, C], driven [B, 74], and of what stands behind the tokens: ids and targets [B, T]."""
        texts, frames, chosen = [], [], []
        for _ in range(count):
            if planning := self.random.random() < PLANNING:
                frame, variant = int(self.random.choice(self.known)), int(self.random.integers(self.ways.shape[1]))
            else:
                frame, variant = int(self.random.integers(len(self.asked))), 0
            texts.append(self.text(frame, variant, planning))
            frames.append(frame)
            chosen.append(variant)
        ids, targets = (torch.full((count, max(len(q) + len(a) for q, a in texts)), value) for value in (0, IGNORED))
        for row, (question, answer) in enumerate(texts):
            end = len(question) + len(answer)
            ids[row, :end] = torch.tensor([*question, *answer])
            targets[row, len(question) : end] = torch.tensor(answer)
        extras, driven = self.extras[frames], self.driven[frames, chosen]
        return tuple(each.to(self.device) for each in (extras.float(), driven, ids, targets))

    def text(self, frame: int, variant: int, planning: bool) -> tuple[tuple[int, ...], list[int]]:
        """Ids of a question behind the tokens and of its answer."""
        if not planning:
            question, answer = self.asked[frame][int(self.random.integers(len(self.asked[frame])))]
            found = self.words.asked(question), self.words.answer(answer)
            if len(found[0]) + len(found[1]) <= MOST:
                return found
            planning = frame in self.known
        if not planning:
            raise ValueError("a frame of long texts alone")
        path = self.ways[frame, variant].numpy()
        return self.words.asked(PLANNING_QUESTION), self.words.answer(planning_answer(path))


class Speaker(nn.Module):
    """A Llama, and the layers of the vision part that make its tokens, which nothing else in there hears."""

    def __init__(self, network: nn.Module, vocab_size: int) -> None:
        super().__init__()
        config = network.config
        self.extra = config.extra
        self.boxes, self.lanes = network.pts_bbox_head.output_projection, network.map_head.output_projection
        self.motion = network.pts_bbox_head.can_bus_embed
        self.llama = Llama(LlamaConfig(vocab_size=vocab_size, hidden_size=config.tokens, **SIZES))
        nn.init.normal_(self.llama.model.embed_tokens.weight, std=0.05)

    def tokens(self, extras: Tensor, driven: Tensor) -> Tensor:
        """[B, 2 * extra + 1, tokens], as the network gives them."""
        boxes, lanes = self.boxes(extras[:, : self.extra]), self.lanes(extras[:, self.extra :])
        return torch.cat([boxes, self.motion(driven)[:, None], lanes], 1)

    def logits(self, before: Tensor, tokens: Tensor, ids: Tensor) -> Tensor:
        """[B, T, vocab_size] of what stands at each of `ids`; before [n]: the text before the tokens."""
        embed = self.llama.model.embed_tokens
        x = torch.cat([embed(before).expand(len(ids), -1, -1), tokens, embed(ids[:, :-1])], 1)
        read = self.llama.model(x)[:, before.numel() + tokens.shape[1] - 1 :]
        return self.llama.lm_head(read)


class Trainer(recipe.Resumable):
    """Steps on batches of a `Told`; the Llama runs in bfloat16 on a GPU."""

    def __init__(self, network: nn.Module, words: Words, lr: float, seed: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        self.words, self.lr, self.step, self.device = words, lr, 0, device
        self.model = Speaker(network, len(words.tokenizer.vocab)).to(device).requires_grad_(True)
        self.average = copy.deepcopy(self.model)
        self.before, self.weights = torch.tensor(words.before, device=device), words.weights().to(device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=lr, weight_decay=0.02, betas=(0.9, 0.98), fused=device.type == "cuda"
        )

    def train_step(self, batch: tuple[Tensor, ...], progress: float) -> Tensor:
        """One step; returns the loss. progress: 0..1 of the schedule."""
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.lr, self.step, progress, WARM_UP)
        extras, driven, ids, targets = batch
        extras = extras + NOISE * torch.randn_like(extras)
        extras = extras * (torch.rand(len(extras), 1, 1, device=self.device) >= BLIND)
        loss = self.loss(self.model, extras, driven, ids, targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        recipe.update_average(self.average, self.model, min(0.999, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return loss.detach()

    def loss(self, model: Speaker, extras: Tensor, driven: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of the answers' tokens, those of numbers heavier: the mean by weight."""
        tokens = model.tokens(extras, driven)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = model.logits(self.before, tokens, ids)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), self.weights, ignore_index=IGNORED)

    @torch.no_grad()
    def answers(self, part: Told, frames: np.ndarray, together: int = 64) -> list[Answer]:
        """The paths that the averaged weights plan for frames of a file, greedily and in FP32."""
        planner, found = Planner(self.words.tokenizer, TorchModel(self.average.llama)), []
        for some in np.split(frames, range(together, len(frames), together)):
            extras, driven = part.extras[some].float(), part.driven[some, 0]
            tables = self.average.tokens(extras.to(self.device), driven.to(self.device)).cpu().numpy()
            found += planner.answers(list(tables), [LOCATION] * len(tables))
        return found


def figures(answers: list[Answer], ways: np.ndarray) -> dict[str, float]:
    """L2 in m as `helpers.metrics.planning` has it, mean up to and at 3 s, and the share that has a path.

    ways: [frames, 6, 2], the true ones.
    """
    pairs = [(answer.path, way) for answer, way in zip(answers, ways, strict=True) if answer.path is not None]
    distances = np.array([np.hypot(*(path - way).T) for path, way in pairs]).reshape(-1, ways.shape[1])
    told = {"L2/mean@3s": float(distances.mean()), "L2/at@3s": float(distances[:, -1].mean())} if pairs else {}
    return told | {"parsed": len(pairs) / len(answers)}
