"""An evaluation with a planner: what is kept and scored of a frame, the command, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from data_scripts.train import tokenizer as words_of
from helpers import dataset, planner
from helpers.boxes import Boxes
from helpers.cli import evaluate as command
from helpers.dataset.questions import PLANNING_QUESTION, planning_answer
from helpers.errors import BadInput
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm import folder
from helpers.metrics import planning
from helpers.models.checkpoints import write_tensors
from helpers.planner import evaluated
from helpers.systems.bevformer.config import CONFIGS as WITHOUT
from helpers.systems.omnidrive.config import CONFIGS
from tests.helpers.systems.omnidrive.tiny import TINY, network

PATH = np.stack([np.arange(1, 7) * 2.5, np.zeros(6)], -1)


class Scripted:
    """Says a path, and on every other frame none."""

    def __init__(self):
        self.asked = []

    def answer(self, table, location):
        self.asked.append((float(table[0, 0]), location))
        text = planning_answer(PATH) if len(self.asked) % 2 else "I do not know."
        return planner.Answer(text, None, [])


@pytest.fixture(scope="module")
def data(minidrive):
    return dataset.open_dataset(minidrive, split=["scene-0103"])


def test_boxes_and_answers_are_kept_and_scored(data, tmp_path, monkeypatch):
    opened = []
    task = evaluated.Planning(lambda: opened.append(Scripted()) or opened[0], tmp_path)
    table = np.full((3, 4), 7.0, np.float32)
    kept = [(frame.token, task.keep(frame, (Boxes.empty("ego"), table), data)) for frame in data]
    assert opened[0].asked == [(7.0, "minidrive")] * 4 and len(opened) == 1
    file = tmp_path / "answers" / data.tokens[0]
    assert json.loads(file.read_text()) == [{"Q": PLANNING_QUESTION, "A": [planning_answer(PATH)]}]
    found = task.total(kept, data)  # no future of four frames is known to the end
    assert found["planning/parsed"] == 0.5 and found["mAP"] == 0 and "planning/samples" not in found
    scored = []
    monkeypatch.setattr(evaluated, "_with_future", lambda dataset: dataset.tokens[:1])
    monkeypatch.setattr(planning, "score", lambda paths, dataset: scored.append(paths) or {"L2/mean@3s": 0.25})
    assert task.total(kept, data)["planning/L2/mean@3s"] == 0.25
    (paths,) = scored
    assert list(paths) == data.tokens and [path is None for path in paths.values()] == [False, True] * 2
    assert np.array_equal(paths[data.tokens[0]], PATH)


def test_results_without_an_answer_are_refused(data, tmp_path):
    task = evaluated.Planning(Scripted, tmp_path)
    for arrays in ({}, {"answer": np.zeros(3)}):
        with pytest.raises(BadInput, match="answer"):
            task.total([("token", arrays)], data)


def test_a_system_without_a_table_cannot_plan():
    with pytest.raises(BadInput, match="no table"):
        evaluated.Seeing(WITHOUT["mini"])
    seeing = evaluated.Seeing(TINY)
    outputs = {name: np.zeros(shape, np.float32) for name, shape in TINY.output_shapes().items()}
    boxes, table = seeing.decode(outputs)
    assert table.shape == (TINY.vision_tokens, TINY.tokens) and boxes.frame == "ego" and seeing.states == TINY.states


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A vision checkpoint, and the folder of a language model of random weights."""
    root = tmp_path_factory.mktemp("omnidrive")
    write_tensors(network().state_dict(), root / "tiny.safetensors")
    vocab, merges = words_of.train(["a path"] * 3, words_of.LEAST + 2)
    words_of.save(root / "words", vocab, merges)
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocab_size=len(vocab), hidden_size=TINY.tokens, intermediate_size=32, num_hidden_layers=1,
                              num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=500))  # fmt: skip
    folder.save(root / "llm", model.state_dict(), dataclasses.asdict(model.config), root / "words")
    return root


def test_the_command_plans_and_goes_on(files, minidrive, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(CONFIGS, "tiny", TINY)
    opened, load = [], planner.load

    def short(*paths):
        opened.append(load(*paths))
        opened[-1].most = 4
        return opened[-1]

    monkeypatch.setattr(planner, "load", short)
    one = dataset.open_dataset(minidrive, split=["scene-0916"])
    monkeypatch.setattr(dataset, "open_dataset", lambda *named: one)
    out = tmp_path / "out"
    options = ["omnidrive", "--config=tiny", f"--weights={files / 'tiny.safetensors'}", f"--dataroot={minidrive}",
               f"--out={out}", "--quiet", f"--language={files / 'llm'}"]  # fmt: skip
    assert command.main(options) == 0
    first = capsys.readouterr().out
    assert "planning/parsed" in first and "NDS" in first and len(list((out / "answers").iterdir())) == 4
    next(out.glob("scene-0916/*.npz")).unlink()  # broken off
    assert command.main(options) == 0
    assert capsys.readouterr().out == first and len(opened) == 2
    assert command.main(options) == 0
    assert capsys.readouterr().out == first and len(opened) == 2  # nothing is opened where all is done
    with pytest.raises(BadInput, match="language"):
        command.main(options[:-1])  # another evaluation
    with pytest.raises(BadInput, match=r"config\.json"):
        command.main([*options[:-1], f"--language={tmp_path}"])
    with pytest.raises(BadInput, match="no table"):
        command.main(["bevformer", *options[2:4], f"--out={tmp_path / 'other'}", options[-1]])
    assert not (tmp_path / "other").exists()
    with pytest.raises(BadInput, match="--language"):
        command.main([*options[:-1], "--language-graph=x.onnx"])
