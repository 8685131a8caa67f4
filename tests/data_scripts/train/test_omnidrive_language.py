"""Training of the mini OmniDrive's language model: rows, loss, a few steps, and both networks out of the command."""

import json

import numpy as np
import pytest
import torch

from data_scripts.minidrive.world import World
from data_scripts.train import tokenizer as words_of
from data_scripts.train.omnidrive import __main__ as program
from data_scripts.train.omnidrive import language, motions, speaker, told, trainer
from helpers import models, planner
from helpers.dataset import open_dataset
from helpers.dataset.questions import PLANNING_QUESTION, parse_path, planning_answer
from helpers.errors import BadInput
from helpers.llm.pytorch import TorchModel
from helpers.llm.tokenizer import Tokenizer
from helpers.models.checkpoints import read_checkpoint, write_tensors
from helpers.systems.omnidrive.language import prompt, prompt_ids
from tests.data_scripts.train.small_omnidrive import SMALL
from tests.helpers.systems.driven import driven

CPU = torch.device("cpu")
SIZES = {"intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
         "max_position_embeddings": 512}  # fmt: skip


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """A tokenizer, and its folder."""
    answer = planning_answer(np.arange(12).reshape(6, 2))
    texts = [*prompt(PLANNING_QUESTION, "minidrive"), answer, "Nothing would happen.", "3 cars and 1 bus."] * 3
    vocab, merges = words_of.train(texts, words_of.LEAST + 60)
    return Tokenizer(vocab, merges), words_of.save(tmp_path_factory.mktemp("words") / "folder", vocab, merges)


@pytest.fixture(scope="module")
def seen(minidrive):
    """A network, its steps, its outputs, and what it told of them."""
    network, data = models.create("omnidrive", SMALL), open_dataset(minidrive, split=["scene-0916"])
    steps = trainer.steps_of(data, SMALL)
    return network, steps, driven(network, steps), told.of_steps(network, data, steps)


@pytest.fixture(scope="module")
def parts(seen):
    """Two scenes of four frames to learn from, in the form of the file."""
    world, rng = World("scene-0916", 4, 0), np.random.default_rng(0)
    heard, ways = zip(*(motions.variants(world, k, 3, rng) for k in range(4)), strict=True)
    found = seen[3]
    train = {"extras": found["extras"].repeat(2, 1, 1, 1), "questions": found["questions"] * 2}
    train |= {name: torch.from_numpy(np.float32([each] * 2)) for name, each in (("driven", heard), ("ways", ways))}
    return train, found | {"ways": train["ways"][:1, :, :1]}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(speaker, "SIZES", SIZES)
    monkeypatch.setattr(language, "CONFIGS", {"mini": SMALL})


def test_rows_are_question_and_answer_and_the_answer_alone_is_learned(tokens, parts):
    words = speaker.Words(tokens[0])
    said = speaker.Told(parts[0], words, 0, CPU)
    answer = planning_answer(parts[0]["ways"][0, 1, 2].numpy())
    assert words.answer(answer) == [*tokens[0].encode(answer)[1:], tokens[0].eos]
    extras, motion, ids, targets = said.batch(40)
    assert extras.shape == (40, 8, 32) and motion.shape == (40, 74) and ids.shape == targets.shape
    planned = 0
    for row, target, heard in zip(ids, targets, motion, strict=True):
        told_ids = target[target != speaker.IGNORED].tolist()
        text, asked = tokens[0].decode(told_ids[:-1]), row[: (target != speaker.IGNORED).nonzero()[0, 0]]
        assert told_ids[-1] == tokens[0].eos and row[: len(asked) + len(told_ids)].tolist()[len(asked) :] == told_ids
        assert tokens[0].decode(asked.tolist()).endswith("ASSISTANT:")
        path = parse_path(text)
        if text.startswith("Here is"):
            planned += 1
            same = (said.driven == heard).all(-1).nonzero()[0].tolist()
            assert np.abs(path - said.ways[tuple(same)].numpy()).max() < 0.011  # the way of that very motion
    assert 15 < planned < 38


def test_numbers_count_more(tokens):
    weights = speaker.Words(tokens[0]).weights()
    known = {token: weights[number].item() for token, number in tokens[0].vocab.items()}
    assert {known[token] for token in (*"0123456789.+-", "▁(+")} == {3.0}
    assert {known[token] for token in ("a", "▁", ",", ")", "</s>", "<0x2B>")} == {1.0}


def test_tokens_and_rows_are_those_of_the_network_and_of_generation(tokens, seen, parts):
    """What is trained is what runs: the vision tokens from the file, the prompt, and the logits."""
    network, _, outputs, found = seen
    words = speaker.Words(tokens[0])
    trained = speaker.Trainer(network, words, 1e-3, 0, CPU)
    with torch.no_grad():
        made = trained.model.tokens(found["extras"][0].float(), found["driven"][0, :, 0])
    tables = [each[SMALL.table][0] for each in outputs]
    assert np.abs(made.numpy() - np.stack(tables)).max() < 2e-3 * np.abs(tables).max()
    said = speaker.Told(parts[0], words, 0, CPU)
    ids = torch.tensor([[*words.asked(PLANNING_QUESTION), 5]])
    with torch.no_grad():
        logits = trained.model.logits(trained.before, made[:1], ids)[0, -1]
    whole = prompt_ids(tokens[0].encode, PLANNING_QUESTION, "minidrive", len(tokens[0].vocab), SMALL.vision_tokens)
    expected = TorchModel(trained.model.llama).prefill([whole], made[0].numpy())[0]
    assert np.abs(logits.numpy() - expected).max() < 1e-4 and said.known.tolist() == list(range(8))


def test_a_few_steps_learn_a_frame_and_a_run_goes_on(tokens, seen, parts, monkeypatch):
    monkeypatch.setattr(speaker, "WARM_UP", 5)
    words = speaker.Words(tokens[0])
    first, said = speaker.Trainer(seen[0], words, 1e-2, 0, CPU), speaker.Told(parts[0], words, 0, CPU)
    before = {name: each.clone() for name, each in seen[0].state_dict().items()}
    found = [first.train_step(said.batch(8), 0.0).item() for _ in range(40)]
    assert np.mean(found[-5:]) < 0.6 * found[0]
    after = seen[0].state_dict()
    changed = {name for name, each in before.items() if not torch.equal(each, after[name])}
    assert {name.rsplit(".", 1)[0] for name in changed} == {
        "pts_bbox_head.output_projection", "pts_bbox_head.can_bus_embed.0", "pts_bbox_head.can_bus_embed.2",
        "map_head.output_projection",
    }  # fmt: skip
    second = speaker.Trainer(seen[0], words, 1e-2, 1, CPU)
    second.load_state_dict(first.state_dict())
    assert second.step == 40
    for name, each in second.average.state_dict().items():
        assert torch.equal(each, first.average.state_dict()[name])


def test_figures_are_of_the_paths_that_parse():
    ways = np.zeros((2, 6, 2))
    path = np.stack([np.arange(6) * 0.5, np.zeros(6)], -1)
    answers = [planner.Answer("", path, []), planner.Answer("", None, [])]
    assert speaker.figures(answers, ways) == {"L2/mean@3s": 1.25, "L2/at@3s": 2.5, "parsed": 0.5}
    assert speaker.figures(answers[1:], ways[:1]) == {"parsed": 0.0}


def test_the_command_leaves_both_networks(tokens, seen, parts, tmp_path, capsys):
    out, file = tmp_path / "omnidrive.safetensors", tmp_path / "told.pt"
    write_tensors(seen[0].state_dict(), out)
    before = read_checkpoint(out)
    out.with_suffix(".json").write_text('{"step": 7}')
    torch.save({"train": parts[0], "held": parts[1]}, file)
    options = ["language", f"--told={file}", f"--tokenizer={tokens[1]}", f"--out={out}", "--batch=4", "--device=cpu",
               f"--state={tmp_path / 'state.pt'}", "--report=0"]  # fmt: skip
    assert program.main([*options, "--steps=2"]) == 0
    *reports, last = capsys.readouterr().out.splitlines()
    card = json.loads(out.with_suffix(".json").read_text())
    assert len(reports) == 2 and card["step"] == 7 and card["language"]["step"] == 2 == json.loads(last)["step"]
    assert {"planning", "new_worlds"} <= card["language"].keys()
    after = read_checkpoint(out)
    other = {
        name for name in before if (after[name].float() - before[name]).abs().max() > 1e-3 * before[name].abs().max()
    }
    assert all("projection" in name or "can_bus_embed" in name for name in other)
    made = planner.load(tmp_path / "omnidrive_llm")
    answer = made.answer(seen[2][0][SMALL.table][0], "minidrive")
    assert answer.path is None and 0 < len(answer.ids) <= 320
    assert program.main([*options, "--steps=3"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 3
    for wrong in ({}, [], 1, {"questions": ["a"] * 9}):
        torch.save({"train": wrong, "held": wrong}, file)
        with pytest.raises(BadInput, match=r"told\.pt\n[\s\S]*a file of the vision stage"):
            program.main([*options, "--steps=3"])


def test_other_files_are_refused(tokens, tmp_path):
    (tmp_path / "told.pt").write_bytes(b"no")
    for path, found in ((tmp_path / "told.pt", "Error"), (tmp_path / "none.pt", "no")):
        with pytest.raises(BadInput, match=found):
            language.read(path)
    with pytest.raises(BadInput, match="scenes"):
        language.parts_of({"questions": [[]]})
