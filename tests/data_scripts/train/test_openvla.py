"""Training of the mini OpenVLA: what is asked of which token, what patches tell, new tables, and a run in pieces."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from data_scripts import make_tabletop
from data_scripts.tabletop import text, world
from data_scripts.tabletop.vocabulary import vocabulary
from data_scripts.train.openvla import __main__ as program
from data_scripts.train.openvla import losses, samples, stream
from data_scripts.train.openvla.trainer import Trainer
from helpers import policy
from helpers.llm.tokenizer import Tokenizer
from helpers.systems.openvla.inputs import pixels
from tests.helpers.systems.openvla.tiny import FUSED

CONFIG = dataclasses.replace(FUSED, reasoning=True, name="tiny")
EPISODES = 4


@pytest.fixture(scope="module")
def task():
    statistics = program.statistics(1, 0.02, 20)["tabletop"]["action"]
    return samples.Task(CONFIG, Tokenizer(*vocabulary()), statistics)


@pytest.fixture(scope="module")
def rows(task):
    return samples.fresh(task, 0, EPISODES, seed=1, wander=0.02)


@pytest.fixture(scope="module")
def walked():
    return [state for number in range(EPISODES) for state in make_tabletop.states(number, 1, 0.02)]


def test_a_sample_is_prompt_reasoning_action_and_end(task, rows, walked):
    assert len(rows) == len(walked)
    for state, ids, asked, end, picture in zip(walked, rows.ids, rows.asked, rows.ends, rows.pictures, strict=True):
        told, line = ids[:end].tolist(), text.reasoning(state)
        assert task.tokenizer.decode(told[:asked]).endswith(f"{state.instruction}?\nOut:")
        assert told[asked:-8] == task.tokenizer.encode(line)[1:]  # word by word as in one piece
        assert all(384 <= token < 640 for token in told[-8:-1]) and told[-1] == task.tokenizer.eos
        assert picture.shape == (*CONFIG.image_size, 3) and not ids[end:].any()


def test_pictures_of_training_are_those_of_the_policy(task):
    state = world.drawn(np.random.default_rng(0))
    image = samples.compressed(program.render.render(state))
    row = samples.of_rows([task.row(image, state.instruction, text.reasoning(state), state.expert())])
    assert np.abs(samples.pixel_values(row.pictures, CONFIG).numpy() - pixels(image, CONFIG)).max() < 1e-5


def test_a_pushed_arm_is_off_its_way_and_the_expert_brings_it_back(walked):
    straight = list(make_tabletop.states(0, 1))
    pushed = [state for state in walked if state == straight[0]]  # the tip does not count
    assert np.array_equal(pushed[0].tip, straight[0].tip)
    assert 1e-3 < np.abs(pushed[1].tip - straight[1].tip).max() < 0.1
    after = pushed[1].after(pushed[1].expert())
    assert after.distance == pytest.approx((1 - world.SHARE) * pushed[1].distance)


def test_places_are_read_from_the_text():
    line = "VISIBLE OBJECTS: green can [16, 7] red ball [0, 23] MOVE: up GRIPPER POSITION: [31, 2] ACTION:"
    places = samples.told_places(line)
    assert places[:2] == [(0.5 / 32, 23.5 / 24), (16.5 / 32, 7.5 / 24)] and places[6] == (31.5 / 32, 2.5 / 24)
    assert np.isnan(places[2]).all()


def test_the_prompt_is_not_learned_and_neighbors_of_an_action_are_partly_right(rows):
    target = rows.ids[:, 1:, None]
    logits = torch.full((*rows.ids[:, 1:].shape, 704), -30.0).scatter_(2, target, 30.0)
    told, action = losses.loss(logits, rows, CONFIG)
    assert told < 1e-4
    shifted, far = (torch.full_like(logits, -30.0).scatter_(2, (target + by).clamp(max=639), 30.0) for by in (1, 40))
    assert action < losses.loss(shifted, rows, CONFIG)[1] < losses.loss(far, rows, CONFIG)[1]
    logits[:, 0] = 7.0 * torch.arange(704)  # what follows the first token of the prompt
    assert torch.equal(losses.loss(logits, rows, CONFIG)[0], told)
    logits[0, rows.ends[0] - 2] = 7.0 * torch.arange(704)  # the end is learned
    assert losses.loss(logits, rows, CONFIG)[0] > told + 1


def test_a_patch_that_tells_the_truth_costs_nothing(rows):
    grid = torch.tensor(CONFIG.grid[::-1])
    told = torch.full((len(rows), CONFIG.patches, 7, 3), -30.0)
    for row, places in enumerate(rows.places):
        for thing, place in enumerate(places):
            if not place.isnan().any():
                column, line = (place * grid).long().tolist()
                told[row, line * int(grid[0]) + column, thing] = torch.tensor([30.0, *(place * grid).tolist()])
    assert losses.patch_loss(told, rows, CONFIG) < 1e-4
    assert losses.patch_loss(told.flip(1), rows, CONFIG) > 1


def test_workers_make_new_episodes_and_the_store_keeps_the_newest(task, rows, monkeypatch):
    monkeypatch.setattr(stream, "EPISODES", 2)
    flow = stream.Stream(task, 1, seed=1, wander=0.02)
    try:
        seen = [made for _ in range(2) for made in flow.ready(block=True)]
    finally:
        flow.close()
    assert flow.taken == 2 * len(seen) and len({made.pictures.numpy().tobytes() for made in seen}) == len(seen)
    known = {picture.tobytes() for picture in rows.pictures.numpy()}
    assert any({picture.tobytes() for picture in made.pictures.numpy()} <= known for made in seen)
    store = stream.Store(5, torch.device("cpu"))
    with pytest.raises(ValueError, match="nothing"):
        store.batch(2)
    for part in range(2):
        store.add(rows.map(lambda tensor, part=part: tensor[4 * part : 4 * part + 4]))
    batch = store.batch(300)
    assert store.held == 5
    assert {tuple(line) for line in batch.ids.tolist()} == {tuple(line) for line in rows.ids[3:8].tolist()}
    for ids, picture in zip(batch.ids[:20], batch.pictures, strict=False):
        assert torch.equal(picture, rows.pictures[(rows.ids == ids).all(1).nonzero()[0, 0]])


def test_a_run_goes_on_where_it_was_left(rows):
    first = Trainer(CONFIG, 3e-3, seed=0)
    before = first.evaluate(rows)["text"]
    for _ in range(6):
        first.train_step(rows.map(lambda tensor: tensor[:4]), 0.1)
    assert first.evaluate(rows)["text"] < before
    second = Trainer(CONFIG, 3e-3, seed=1)
    second.load_state_dict(first.state_dict())
    assert second.step == 6 and second.evaluate(rows) == first.evaluate(rows)
    third = Trainer(CONFIG, 3e-3, seed=2)
    third.start_from(first.average.state_dict())
    assert third.step == 0 and third.evaluate(rows)["bins"] == first.evaluate(rows)["bins"]


def test_the_command_leaves_a_policy_and_goes_on_from_it(task, tmp_path, monkeypatch, capsys):
    flows = []

    class Flow:  # instead of worker processes
        taken = 0

        def __init__(self, task, workers, seed, wander, first):
            self.first = first
            flows.append(self)

        def ready(self, block=False):
            self.taken += 2
            yield samples.fresh(task, self.first, 2, 1, 0.02)

        def close(self):
            self.closed = True

    monkeypatch.setattr(program, "CONFIGS", {"mini": CONFIG})
    monkeypatch.setattr(program, "Stream", Flow)
    few = program.statistics
    monkeypatch.setattr(program, "statistics", lambda seed, wander: few(seed, wander, 20))
    options = [f"--out={tmp_path / 'out'}", "--batch=2", "--keep=50", "--least=5", "--scenes=2", "--device=cpu"]
    assert program.main([*options, "--steps=2", "--report=0", f"--state={tmp_path / 'state.pt'}"]) == 0
    *reports, last = capsys.readouterr().out.splitlines()
    assert len(reports) == 2 and "step 2" in reports[1]
    assert json.loads(last)["step"] == 2 and set(json.loads(last)) >= {"l1", "refused", "success"}
    loaded = policy.load(tmp_path / "out")
    assert loaded.config.reasoning and list(loaded.norm_stats) == ["tabletop"]
    assert (tmp_path / "out_best" / "model.safetensors").exists()
    assert program.main([*options, "--steps=3", f"--state={tmp_path / 'state.pt'}"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 3
    assert flows[1].first == flows[0].taken and all(flow.closed for flow in flows)
    assert program.main([*options, "--steps=1", f"--start={tmp_path / 'out'}"]) == 0


def test_figures_of_the_expert_are_perfect():
    class Expert:
        def predict_each(self, pictures, instructions):
            return [policy.Prediction(scene.expert(), np.zeros(0), "") for scene in pictures]

    scenes = [world.drawn(np.random.default_rng([3, number])) for number in range(4)]
    shown = [(scene, scene.instruction, scene.expert()) for scene in scenes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program.render, "render", lambda scene, seed: scene)
        found = program.figures(Expert(), shown, scenes)
    assert found == {"l1": [0.0] * 7, "refused": 0.0, "success": 1.0}


@pytest.mark.parametrize(
    "words", ["--dataroot data", "--val data", "--scenes 1", "--keep 0", "--wander -1", "--report x"]
)
def test_options_that_mean_nothing_here_or_are_out_of_bounds_are_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        program.parse(words.split())
    assert words.split()[0] in capsys.readouterr().err
