"""Training of the mini OpenVLA: what is asked of which token, what patches tell, and a run that goes on in pieces."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from data_scripts import make_tabletop
from data_scripts.tabletop.vocabulary import vocabulary
from data_scripts.train.openvla import __main__ as program
from data_scripts.train.openvla import samples as module
from data_scripts.train.openvla.trainer import Trainer
from helpers import policy
from helpers.dataset.tabletop import open_tabletop
from helpers.llm.tokenizer import Tokenizer
from helpers.systems.openvla.inputs import pixels
from tests.helpers.systems.openvla.tiny import FUSED

CONFIG = dataclasses.replace(FUSED, reasoning=True, name="tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_tabletop(make_tabletop.make(tmp_path_factory.mktemp("train") / "data", episodes=3, seed=1))


@pytest.fixture(scope="module")
def samples(data):
    return module.load(data, data.statistics["tabletop"]["action"], Tokenizer(*vocabulary()), CONFIG)


def test_a_sample_is_prompt_reasoning_action_and_end(data, samples):
    tokenizer, row = Tokenizer(*vocabulary()), samples.ids[0][: samples.ends[0]].tolist()
    assert tokenizer.decode(row[: samples.asked[0]]).endswith("?\nOut:")
    assert tokenizer.decode(row[samples.asked[0] : -8]) == data.observations[0].reasoning
    assert all(384 <= token < 640 for token in row[-8:-1]) and row[-1] == tokenizer.eos
    normalized = module.pixel_values(samples.pictures[:1], CONFIG).numpy()
    assert np.abs(normalized - pixels(data.observations[0].image(), CONFIG)).max() < 1e-5


def test_places_are_read_from_the_text():
    line = "VISIBLE OBJECTS: green can [16, 7] red ball [0, 23] MOVE: up GRIPPER POSITION: [31, 2] ACTION:"
    places = module.told_places(line)
    assert places[:2] == [(0.5 / 32, 23.5 / 24), (16.5 / 32, 7.5 / 24)] and places[6] == (31.5 / 32, 2.5 / 24)
    assert np.isnan(places[2]).all()


def test_the_prompt_is_not_learned_and_neighbors_of_an_action_are_partly_right(samples):
    logits = torch.full((*samples.ids[:, 1:].shape, 704), -30.0).scatter_(2, samples.ids[:, 1:, None], 30.0)
    text, action = module.loss(logits, samples, CONFIG)
    assert text < 1e-4
    shifted = torch.full_like(logits, -30.0).scatter_(2, (samples.ids[:, 1:, None] + 1).clamp(max=639), 30.0)
    far = torch.full_like(logits, -30.0).scatter_(2, (samples.ids[:, 1:, None] + 40).clamp(max=639), 30.0)
    assert action < module.loss(shifted, samples, CONFIG)[1] < module.loss(far, samples, CONFIG)[1]
    logits[:, 0] = 7.0 * torch.arange(704)  # what follows the first token of the prompt
    assert torch.equal(module.loss(logits, samples, CONFIG)[0], text)


def test_a_patch_that_tells_the_truth_costs_nothing(samples):
    grid = torch.tensor(CONFIG.grid[::-1])
    told = torch.full((len(samples), CONFIG.patches, 7, 3), -30.0)
    for row, places in enumerate(samples.places):
        for thing, place in enumerate(places):
            if not place.isnan().any():
                column, line = (place * grid).long().tolist()
                told[row, line * int(grid[0]) + column, thing] = torch.tensor([30.0, *(place * grid).tolist()])
    assert module.patch_loss(told, samples, CONFIG) < 1e-4
    assert module.patch_loss(told.flip(1), samples, CONFIG) > 1


def test_a_run_goes_on_where_it_was_left(samples):
    torch.manual_seed(0)
    first = Trainer(CONFIG, samples, 4, 3e-3, seed=0)
    before = first.evaluate(samples)["text"]
    for _ in range(6):
        first.train_step(0.1)
    assert first.evaluate(samples)["text"] < before
    second = Trainer(CONFIG, samples, 4, 3e-3, seed=1)
    second.load_state_dict(first.state_dict())
    assert second.step == 6 and second.evaluate(samples) == first.evaluate(samples)


def test_the_command_leaves_a_policy(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "CONFIGS", {"mini": CONFIG})
    monkeypatch.setattr(program, "figures", lambda loaded, data: {"success": len(data.observations)})
    root = data.observations[0].path.parents[1]
    options = [f"--dataroot={root}", f"--val={root}", f"--out={tmp_path / 'out'}", "--steps=2", "--batch=2"]
    assert program.main(options) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["success"] == len(data.observations)
    loaded = policy.load(tmp_path / "out")
    assert loaded.config.reasoning and list(loaded.norm_stats) == ["tabletop"]
