"""Tokens as transformers generates them, drawn as their probabilities say, and a cache that is never overwritten."""

import json
import threading

import numpy as np
import pytest
import torch

from helpers.errors import BadInput
from helpers.llm.generate import Sampling, draw, generate, probabilities, stream
from helpers.llm.pytorch import TorchModel, embeddings
from helpers.llm.tensorrt_llm import quantize
from tests.helpers.layers.test_llama import TINY, ids, tiny
from tests.helpers.llm import record_generation as record

RECORDED = json.loads(record.RECORD.read_text())


@pytest.fixture(scope="module")
def model():
    return TorchModel(tiny())


def test_fifty_prompts_go_on_as_in_transformers_token_for_token(model):
    """All in one batch, of unequal lengths, where transformers took them one by one."""
    found = generate(model, record.prompts(), record.TOKENS, {record.STOP})
    assert found == RECORDED["tokens"] and {len(row) for row in found} > {1, 2, record.TOKENS}


@torch.no_grad()
@pytest.mark.parametrize("name", ["fp16", "fp8"])
def test_a_cache_changes_no_logits(name):
    quantized, tokens = quantize(tiny(), name, ids(4, 16)), ids(3, 12)
    expected, cached = quantized(tokens).numpy(), TorchModel(quantized)
    for count, found in [
        (5, cached.prefill(tokens[:, :5])),
        *((n + 1, cached.decode(tokens[:, n])) for n in range(5, 12)),
    ]:
        if name == "fp16":
            np.testing.assert_allclose(found, expected[:, count - 1], atol=5e-6)
        else:  # steps of FP8 apart
            assert np.abs(found - expected[:, count - 1]).max() < 0.05 * np.abs(expected).max()


def test_rows_do_not_see_what_fills_them_up(model):
    rows = [ids(1, length, seed=length)[0].numpy() for length in (3, 9, 1)]
    together = generate(model, rows, 12)
    assert together == [generate(model, [row], 12)[0] for row in rows]


def test_rows_of_a_table_enter_as_ids_beyond_the_vocabulary(model):
    words, prompt = embeddings(model.model), ids(1, 10)[0].numpy()
    marked = prompt.copy()
    marked[2:6] = TINY.vocab_size + np.arange(4)
    assert np.array_equal(model.prefill([marked], words[prompt[2:6]]), model.prefill([prompt]))
    other = model.prefill([marked], words[prompt[2:6]][::-1].copy())
    assert np.abs(other - model.prefill([prompt])).max() > 1e-2


def test_tokens_come_one_by_one_and_stop(model):
    steps = stream(model, record.prompts()[:3], 9, {RECORDED["tokens"][0][3]})
    assert next(steps) == [row[0] for row in RECORDED["tokens"][:3]]
    assert model.lengths.tolist() == [len(prompt) for prompt in record.prompts()[:3]]  # nothing was computed ahead
    first = [row[0] for row in steps]
    assert first[:3] == RECORDED["tokens"][0][1:4] and set(first[3:]) == {None}


def test_a_full_cache_is_refused_and_not_overwritten():
    model, prompt = TorchModel(tiny(), capacity=6), ids(1, 4).numpy()
    for token in (1, 2):
        model.prefill(prompt) if token == 1 else None
        model.decode([token])
    kept = [tensor.clone() for tensor in (*model.keys, *model.values)]
    with pytest.raises(BadInput, match="7 tokens"):
        model.decode([3])
    assert all(map(torch.equal, kept, (*model.keys, *model.values))) and model.lengths == [6]
    assert len(generate(model, prompt, 3)[0]) == 3  # the last token is not taken in
    with pytest.raises(BadInput, match="7 tokens needed"):
        stream(model, prompt, 4)


def test_probabilities_are_those_of_transformers():
    for sampling, expected in zip(record.SAMPLINGS, RECORDED["probabilities"], strict=True):
        np.testing.assert_allclose(probabilities(record.logits(), Sampling(**sampling)), expected, atol=2e-7)


def test_tokens_are_drawn_as_probable_as_they_are():
    sampling, random = Sampling(1.3, top_p=0.6), np.random.default_rng(0)
    chances = probabilities(record.logits(), sampling)
    drawn = np.bincount([draw(record.logits(), sampling, random) for _ in range(4000)], minlength=TINY.vocab_size)
    assert not drawn[chances == 0].any() and np.abs(drawn / 4000 - chances).max() < 0.03


def test_a_seed_gives_the_same_tokens_and_another_gives_others(model):
    first, again, other = (
        generate(model, record.prompts()[:4], 10, sampling=Sampling(1, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again and first != other
    assert generate(model, record.prompts()[:1], 10, sampling=Sampling(1, seed=1))[0] == first[0]


@pytest.mark.parametrize(
    ("prompts", "table", "said"),
    [
        ([], None, "at least one token each"),
        ([[1], []], None, r"lengths \[1, 0\]"),
        ([[96]], None, "from 0 to 95"),
        ([[-1]], None, "-1 to -1"),
        ([[1.0]], None, "float64"),
        ([[98]], np.zeros((2, 256), np.float32), "from 0 to 97, of which those from 96 on"),
        ([[1]], np.zeros((2, 255), np.float32), r"\[2, 255\]"),
        ([[1]], np.full((1, 256), np.nan, np.float32), "finite"),
        ([[1] * 65], None, "65 tokens"),
        ([1, 2], None, r"list \[1, 2\]"),
        (None, None, "NoneType"),
        ([None], None, r"list \[None\]"),
        ([np.array(1)], None, r"int64 \[\]"),
        ([[[1], [2, 3]]], None, "inhomogeneous"),
        (["ab"], None, r"list \['ab'\]"),
    ],
)
def test_what_cannot_be_a_prompt_is_refused_and_the_cache_kept(model, prompts, table, said):
    model.prefill([[1, 2]])
    with pytest.raises(BadInput, match=said):
        model.prefill(prompts, table)
    assert model.lengths == [2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_no_token(value):
    class Broken(TorchModel):
        def _run(self, *given):
            return np.full_like(super()._run(*given), value)

    for sampling in (Sampling(), Sampling(temperature=1.0)):
        with pytest.raises(BadInput, match="NaN"):
            generate(Broken(tiny()), [[1, 2]], 3, sampling=sampling)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [1e-310, 1e-40])
def test_however_small_a_temperature_is_a_token_is_drawn(temperature):
    assert draw(np.array([1, 30, 2], np.float32), Sampling(temperature), np.random.default_rng(0)) == 1


def test_an_answer_ends_where_another_one_is_begun_in_the_same_cache():
    """It would go on with the other one's words."""
    model = TorchModel(tiny())
    first = stream(model, [[1, 2]], 9)
    next(first)
    assert len(generate(model, [[3]], 2)[0]) == 2
    with pytest.raises(BadInput, match="tokens of another answer"):
        next(first)


def test_a_model_that_another_thread_runs_is_refused():
    seen = []

    class Asked(TorchModel):
        def _run(self, *given):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            return super()._run(*given)

    def ask():
        for call in (lambda: model.prefill([[5]]), lambda: model.decode([5])):
            try:
                call()
            except BadInput as error:
                seen.append(error.found)

    model = Asked(tiny())
    model.prefill([[1]])
    found = model.decode([2])
    assert seen[1:] == ["a run of another thread"] * 3
    assert np.array_equal(found, TorchModel(tiny()).prefill([[1, 2]])) or np.allclose(
        found, TorchModel(tiny()).prefill([[1, 2]]), atol=1e-5
    )


def test_other_bad_arguments_are_refused(model):
    model.prefill([[1], [2]])
    for call, said in (
        (lambda: model.decode([1]), "2, one for each row"),
        (lambda: model.decode([1, 97]), "from 0 to 95"),
        (lambda: model.decode(["a", "b"]), "<U1"),
        (lambda: model.decode([[1], [2, 3]]), "inhomogeneous"),
        (lambda: model.decode([]), "0 of them"),
        (lambda: generate(model, [np.array(1)], 1), r"int64 \[\]"),
        (lambda: generate(model, [[[1], [2, 3]]], 1), "inhomogeneous"),
        (lambda: TorchModel(tiny(), capacity=65), "1 to 64 tokens"),
        (lambda: Sampling(temperature=-1), "temperature"),
        (lambda: Sampling(top_p=0), "top_p"),
        (lambda: Sampling(1, top_k=0), "top_k"),
        (lambda: stream(model, [[1]], 0), "at least 1"),
    ):
        with pytest.raises(BadInput, match=said):
            call()
