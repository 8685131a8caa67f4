"""transformers' Llama with our weights: the logits that everything is held against, and as `Spoken`."""

import numpy as np
import torch
import transformers

from benchmarks.language.sizes import STEPS, prompt
from benchmarks.language.spoken import Spoken
from benchmarks.language.weights import device, state

VERSION = transformers.__version__


def of_transformers(size, weights):
    """transformers' model with these weights, in their type."""
    config = transformers.LlamaConfig(**size.model, max_position_embeddings=size.capacity, tie_word_embeddings=False)
    with device():
        model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(weights, assign=True)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def reference(size, model):
    """Arrays of what every form is held against: prompt, forced tokens, logits [STEPS + 1, vocab] in FP32 and FP16.

    The tokens after the prompt are those that FP32 takes; all logits are of the same tokens.
    """
    ids, weights = prompt(size), state(model)
    wide = of_transformers(size, {name: tensor.float() for name, tensor in weights.items()})
    exact = _logits(wide, ids)
    forced = exact.argmax(1)[:-1]
    del wide
    half = _logits(of_transformers(size, weights), ids, forced)
    return {"prompt": ids, "forced": forced, "fp32": exact, "fp16": half}


def _logits(model, ids, forced=None):
    cache, found = transformers.DynamicCache(config=model.config), []
    for step in range(STEPS + 1):
        given = torch.from_numpy(np.asarray(ids)).to(device())[None]
        found.append(
            model(input_ids=given, past_key_values=cache, logits_to_keep=1).logits[0, -1].float().cpu().numpy()
        )
        if step < STEPS:
            ids = [found[-1].argmax() if forced is None else forced[step]]
    return np.stack(found)


class Eager(Spoken):
    """As transformers runs it, its cache growing."""

    def __init__(self, model):
        self.model, self.cuda = model, device().type == "cuda"
        self.token = torch.zeros(1, 1, dtype=torch.int64, device=device())
        self.tokens = []

    def cache(self):
        """An empty one."""
        return transformers.DynamicCache(config=self.model.config)

    @torch.no_grad()
    def begin(self, prompt):
        self.tokens, self.past = [], self.cache()
        self._take(self._forward(torch.tensor([list(prompt)], device=device())))

    @torch.no_grad()
    def advance(self):
        self._take(self.step())

    def step(self):
        return self._forward(self.token)

    def _forward(self, ids):
        found = self.model(input_ids=ids, past_key_values=self.past, logits_to_keep=1)
        return found.logits[:, -1].argmax(-1, keepdim=True)

    def _take(self, token):
        self.token = token
        self.tokens.append(token)

    def chosen(self):
        return torch.cat(self.tokens, 1)[0].tolist()

    def latest(self):
        return int(self.token)

    def mark(self):
        if not self.cuda:
            return super().mark()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, earlier, later):
        return earlier.elapsed_time(later) if self.cuda else super().between(earlier, later)


class Compiled(Eager):
    """With a static cache and the step compiled, as transformers' own `generate` does; the prompt runs eagerly."""

    def __init__(self, model, capacity, **settings):
        super().__init__(model)
        self.past = transformers.StaticCache(config=model.config, max_cache_len=capacity)
        self.compiled = torch.compile(self._forward, **settings)

    def cache(self):
        self.past.reset()
        return self.past

    def step(self):
        torch.compiler.cudagraph_mark_step_begin()
        return self.compiled(self.token)

    def _take(self, token):
        super()._take(token.clone())  # a CUDA graph writes its next one to the same place
