"""The planner out of a TensorRT-LLM checkpoint: FP16 and four bits, the published sampling, greedy, and its prompt."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from data_scripts.train import tokenizer as words_of
from helpers import planner
from helpers.dataset.questions import PLANNING_QUESTION, planning_answer
from helpers.errors import BadInput
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm import folder, tensorrt_llm
from helpers.llm.generate import Sampling
from helpers.llm.pytorch import TorchModel
from helpers.planner.deployed import deploy
from helpers.systems.omnidrive.language import prompt, prompt_ids

WIDTH, ROWS = 64, 5


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """Folder of a planner's language model with random weights."""
    place = tmp_path_factory.mktemp("planner")
    words = words_of.train([*prompt(PLANNING_QUESTION, "x"), planning_answer(np.ones((6, 2)))] * 3, words_of.LEAST + 80)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(words[0]), hidden_size=WIDTH, intermediate_size=128, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256)  # fmt: skip
    state = {k: torch.randn_like(w) * 0.2 if w.ndim > 1 else w for k, w in Llama(config).state_dict().items()}
    made = folder.save(place / "llm", state, dataclasses.asdict(config))
    words_of.save(place / "words", *words)
    (made / "tokenizer.json").write_bytes((place / "words/tokenizer.json").read_bytes())
    return made


def table(seed=0):
    return np.random.default_rng(seed).standard_normal((ROWS, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("form", ["fp16", "w4a16"])
def test_the_graph_computes_with_the_numbers_of_the_checkpoint(language, form, tmp_path):
    made = deploy(language, tmp_path, form)
    kept = {tensor.data_type for tensor in onnx.load(made.graph).graph.initializer}
    assert (onnx.TensorProto.INT4 in kept) == (form == "w4a16") and onnx.TensorProto.FLOAT not in kept
    encode = made.planner.tokenizer.encode
    ids = prompt_ids(encode, PLANNING_QUESTION, "x-y", made.planner.language.vocab_size, ROWS)
    found = made.planner.language.prefill([ids], table())
    read = TorchModel(tensorrt_llm.read(made.checkpoint)).prefill([ids], table())
    own = TorchModel(folder.load(language)).prefill([ids], table())
    scale = np.abs(own).max()
    assert np.abs(found - read).max() < 0.01 * scale
    assert (np.abs(found - own).max() > 0.02 * scale) == (form == "w4a16"), "four bits are seen, and sixteen are not"
    assert np.abs(made.planner.language.prefill([ids], table(1)) - found).max() > 0.02 * scale, "it reads the table"


def test_answers_are_greedy_or_drawn_as_published(language, tmp_path):
    made = deploy(language, tmp_path).planner
    made.most = 8
    greedy = [made.answer(table(), "x-y").ids for _ in range(2)]
    assert greedy[0] == greedy[1] and Sampling(0.1, None, 0.75, 0) == planner.PUBLISHED
    again = [made.answer(table(), "x-y", sampling=planner.PUBLISHED).ids for _ in range(2)]
    assert again[0] == again[1] and len(again[0]) <= 8


def test_what_cannot_be_converted_is_refused(language, tmp_path):
    with pytest.raises(BadInput, match="calibration"):
        deploy(language, tmp_path, "fp8")
    with pytest.raises(BadInput, match="'int3'"):
        deploy(language, tmp_path, "int3")
    assert list(tmp_path.iterdir()) == []
