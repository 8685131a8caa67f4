"""From vision tokens to an answer: the prompt's ids, and both networks out of one checkpoint."""

import numpy as np
import pytest
import torch

from helpers import models
from helpers.dataset.questions import PLANNING_QUESTION
from helpers.errors import BadInput
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm import generate
from helpers.llm.merge import take
from helpers.llm.pytorch import TorchModel
from helpers.models.checkpoints import read_checkpoint
from helpers.systems.omnidrive.language import prompt, prompt_ids
from tests.helpers.systems.driven import driven
from tests.helpers.systems.omnidrive.tiny import TINY, drive, network

SIZES = LlamaConfig(vocab_size=40, hidden_size=TINY.tokens, intermediate_size=32, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=400)  # fmt: skip


def encode(text):
    """1, and a number for every character."""
    return [1, *(3 + ord(letter) % 37 for letter in text)]


def test_the_prompt_is_the_published_one():
    before, after = prompt(PLANNING_QUESTION, "boston-seaport")
    assert before.startswith("A chat between a curious user") and before.endswith("user's questions. USER: ")
    assert after == f"\nYou are driving in boston. {PLANNING_QUESTION} ASSISTANT:"
    with pytest.raises(BadInput, match="question"):
        prompt(" ", "boston-seaport")


def test_vision_tokens_stand_between_the_texts_which_begin_once():
    before, after = map(encode, prompt(PLANNING_QUESTION, "singapore-onenorth"))
    ids = prompt_ids(encode, PLANNING_QUESTION, "singapore-onenorth", 32000, 513)
    assert ids == [*before, *range(32000, 32513), *after[1:]] and ids.count(1) == 1


def test_one_checkpoint_holds_both_networks_and_the_tokens_change_the_answer(tmp_path):
    """The vision part is loaded without the language model, this one is taken out, and reads what that one wrote."""
    vision, generator = network(), torch.Generator().manual_seed(0)
    language = {name: torch.randn(t.shape, generator=generator) * 0.3 for name, t in Llama(SIZES).state_dict().items()}
    whole = vision.state_dict() | {f"lm_head.{name}": tensor for name, tensor in language.items()}
    torch.save({"state_dict": whole | {"lm_head.weighted_mask": torch.ones(40)}}, tmp_path / "omnidrive.pth")
    seeing, speaking = models.create("omnidrive", TINY), Llama(SIZES)
    models.load_checkpoint(seeing, tmp_path / "omnidrive.pth")
    speaking.load_state_dict(take(read_checkpoint(tmp_path / "omnidrive.pth"), "omnidrive.pth"))
    frames = [outputs["vision_embeded"][0] for outputs in driven(seeing, drive()[:2])]
    ids = prompt_ids(encode, PLANNING_QUESTION, "boston-seaport", SIZES.vocab_size, TINY.vision_tokens)
    model = TorchModel(speaking)
    logits = [model.prefill([ids], table) for table in frames]
    assert np.isfinite(logits).all() and np.abs(logits[0] - logits[1]).max() > 1e-3
    spliced = torch.from_numpy(np.where(np.array(ids) < SIZES.vocab_size, ids, 0))
    embeddings = speaking.model.embed_tokens(spliced).detach()
    embeddings[np.array(ids) >= SIZES.vocab_size] = torch.from_numpy(frames[1])
    with torch.no_grad():
        expected = speaking(inputs_embeds=embeddings[None])[0, -1].numpy()
    np.testing.assert_allclose(logits[1][0], expected, atol=1e-4)
    answer = list(generate.stream(model, [ids], 5, table=frames[0]))
    assert len(answer) == 5 and all(0 <= token < SIZES.vocab_size for (token,) in answer)
    with pytest.raises(BadInput, match="ids"):
        model.prefill([ids], frames[0][:-1])
