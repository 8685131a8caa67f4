"""From pictures to a path: vision tokens into a prompt, a greedy answer in PyTorch and by ONNX graphs, and its path."""

import dataclasses

import numpy as np
import pytest
import torch

from data_scripts.train import tokenizer as words_of
from helpers import dataset, engine, planner
from helpers.dataset.questions import PLANNING_QUESTION, planning_answer
from helpers.errors import BadInput
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm import folder, onnx
from helpers.llm.language_model import LanguageModel
from helpers.llm.pytorch import TorchModel
from helpers.llm.tokenizer import Tokenizer
from helpers.models.runner import runner
from helpers.sequence import rollout
from helpers.systems.omnidrive.language import prompt
from tests.helpers.systems.omnidrive.tiny import TINY

PATH = np.stack([np.arange(1, 7) * 2.5, np.arange(6) * 0.25], -1)


@pytest.fixture(scope="module")
def words():
    answer = planning_answer(PATH)
    texts = [*prompt(PLANNING_QUESTION, "minidrive"), answer] * 3
    return words_of.train(texts, words_of.LEAST + 80)


@pytest.fixture(scope="module")
def llama(words):
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(words[0]), hidden_size=TINY.tokens, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=400)  # fmt: skip
    model = Llama(config).requires_grad_(False).eval()
    for weight in model.parameters():
        weight.copy_(weight if weight.ndim < 2 else torch.randn_like(weight) * 0.4)
    return model


class Parrot(LanguageModel):
    """Says one text to every prompt; what it was asked is kept."""

    def __init__(self, words, text):
        super().__init__(len(words.vocab), TINY.tokens, 400)
        self.said, self.at, self.asked = [*words.encode(text)[1:], words.eos], 0, None

    def _clear(self, batch):
        self.at = 0

    def _run(self, ids, counts, table):
        self.asked = self.asked if self.at else (ids, table)
        self.at += 1
        return np.eye(self.vocab_size, dtype=np.float32)[[self.said[self.at - 1]] * len(counts)]


def test_an_answer_is_text_and_path(words):
    tokenizer = Tokenizer(*words)
    language = Parrot(tokenizer, planning_answer(PATH))
    tables = [np.full((3, TINY.tokens), float(k), np.float32) for k in range(2)]
    answers = planner.Planner(tokenizer, language).answers(tables, ["boston-seaport", "singapore-queenstown"])
    assert [answer.text for answer in answers] == [planning_answer(PATH)] * 2
    assert np.array_equal(answers[0].path, PATH) and answers[0].ids[-1] == tokenizer.eos
    ids, table = language.asked
    first = [row[row >= language.vocab_size] - language.vocab_size for row in ids]
    assert [rows.tolist() for rows in first] == [[0, 1, 2], [3, 4, 5]] and table[:, 0].tolist() == [0] * 3 + [1] * 3
    cities = [tokenizer.decode(row) for row in ids]
    assert "driving in boston. " in cities[0] and "driving in singapore. " in cities[1]
    none = planner.Planner(tokenizer, Parrot(tokenizer, "I do not know.")).answer(tables[0], "boston")
    assert none.path is None and none.text == "I do not know."
    assert planner.Planner(tokenizer, language, most=4).answer(tables[0], "boston").path is None


def test_what_does_not_fit_is_refused(words, llama):
    made = planner.Planner(Tokenizer(*words), TorchModel(llama, capacity=300))
    table = np.zeros((3, TINY.tokens), np.float32)
    for tables, places, asked, found in (
        ([], [], "Where?", "0 tables"),
        ([table], ["boston"] * 2, "Where?", "2 locations"),
        ([table], ["boston"], "w" * 300, "at most 300"),
        ([table[:, 1:]], ["boston"], "Where?", "23"),
    ):
        with pytest.raises(BadInput, match=found):
            made.answers(tables, places, asked)


def test_pictures_become_a_path_alike_by_both_roads(words, llama, minidrive, tiny_omnidrive, tmp_path):
    """MiniDrive frames with their memory, in PyTorch and by two ONNX graphs: the same tokens; and other frames, other
    ones.
    """
    vision, graph = tiny_omnidrive
    config = vision.config
    data = dataset.open_dataset(minidrive, split=["scene-0103"])
    steps = list(dataset.stream(data, config))[:3]
    said = folder.save(tmp_path / "llm", llama.state_dict(), dataclasses.asdict(llama.config))
    words_of.save(tmp_path / "words", *words)
    (said / "tokenizer.json").write_bytes((tmp_path / "words/tokenizer.json").read_bytes())
    own = planner.load(said)
    onnx.export(folder.load(said), tmp_path / "llm.onnx", inputs="table")
    other = planner.Planner(own.tokenizer, onnx.OnnxModel(tmp_path / "llm.onnx"))
    answers = {}
    for name, run, made in (("torch", runner(vision, "cpu"), own), ("onnx", engine.load(graph).run, other)):
        made.most = 12
        driven = rollout(run, steps, config.states, config.initial_states())
        answers[name] = [made.answer(outputs[config.table][0], step.frame.location) for step, _, outputs in driven]
    assert [answer.ids for answer in answers["torch"]] == [answer.ids for answer in answers["onnx"]]
    assert len({tuple(answer.ids) for answer in answers["torch"]}) > 1
