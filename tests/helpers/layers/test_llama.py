"""Llama against logits recorded from transformers, and what each part of it is for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.layers.llama import Llama, LlamaConfig, rotary, rotate

TINY = LlamaConfig(96, 256, 512, 2, 8, 4, 1e-6, 500000.0, 64)
RECORDED = json.loads(Path(__file__).with_name("llama_transformers.json").read_text())


def tiny(seed=0, std=0.05, config=TINY):
    """A Llama with weights drawn by NumPy, one generator for all tensors in the order of their names."""
    random, model = np.random.default_rng(seed), Llama(config)
    state = {}
    for name, tensor in sorted(model.state_dict().items()):
        drawn = torch.from_numpy(random.standard_normal(tuple(tensor.shape))).float()
        state[name] = 1 + 0.1 * drawn if tensor.ndim == 1 else std * drawn
    model.load_state_dict(state)
    return model.eval()


def ids(batch=2, length=12, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, TINY.vocab_size, (batch, length)))


@torch.no_grad()
def test_the_logits_are_those_of_transformers():
    logits = tiny().double()(ids())  # so that the rounding is that of the record alone, on every processor
    assert torch.allclose(logits[:, -2:], torch.tensor(RECORDED["logits"]).double(), rtol=0, atol=2e-6)
    assert logits.argmax(-1).tolist() == RECORDED["argmax"]


@torch.no_grad()
def test_embeddings_may_come_in_the_place_of_ids():
    model = tiny()
    assert torch.equal(model(ids()), model(inputs_embeds=model.model.embed_tokens(ids())))


@torch.no_grad()
def test_a_token_sees_none_that_follow():
    model, changed = tiny(), ids()
    changed[:, 6:] = (changed[:, 6:] + 1) % TINY.vocab_size
    before, after = model(ids()), model(changed)
    assert torch.allclose(before[:, :6], after[:, :6], atol=1e-6) and not torch.allclose(before[:, 6], after[:, 6])


def test_a_rotation_keeps_lengths_and_depends_on_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 32, generator=torch.Generator().manual_seed(0))
    cos, sin = rotary(9, 32, 10000.0)
    turned = [rotate(x.expand(1, 1, 9, 32), cos, sin)[0, 0] for x in (q, k)]
    assert torch.allclose(turned[0].norm(dim=-1), q.norm().expand(9), atol=1e-5)
    assert (turned[0][5] @ turned[1][2]).item() == pytest.approx((turned[0][8] @ turned[1][5]).item(), abs=1e-4)
    assert (turned[0][5] @ turned[1][2]).item() != pytest.approx((turned[0][5] @ turned[1][3]).item(), abs=1e-2)


def test_the_names_and_shapes_are_those_of_hugging_face():
    assert len(tiny().state_dict()) == 21 and tiny().state_dict()["model.layers.1.self_attn.k_proj.weight"].shape == (
        128,
        256,
    )
