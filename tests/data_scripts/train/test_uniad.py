"""Training of the mini UniAD: its data, its losses by hand, a few steps that learn, a run in pieces."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data_scripts.train.omnidrive import stream
from data_scripts.train.uniad import __main__ as program
from data_scripts.train.uniad import frozen, losses, samples, source, trainer
from data_scripts.train.uniad.transplant import MOVED, PARTIAL, transplant
from helpers import models
from helpers.dataset import open_dataset
from helpers.errors import BadInput
from helpers.models.checkpoints import read_checkpoint, write_tensors
from helpers.systems.uniad.bev import Found
from helpers.systems.uniad.config import CONFIGS
from tests.helpers.systems.uniad.tiny import SHORT

SMALL = dataclasses.replace(SHORT, occupancy_range=50.0, occupancy_cell=10.0, first_motion="zero", num_query=30)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(minidrive):
    return open_dataset(minidrive, split=["scene-0103"])


@pytest.fixture(scope="module")
def arrays(data):
    return samples.read(data, SMALL)


@pytest.fixture(scope="module")
def store(arrays):
    made = stream.Store(1, CPU)
    made.add((arrays, []))
    return made


def in_map(arrays, frame, points):
    """Points [N, 2] of the lidar frame, on the ground, in the map's."""
    rotation, translation = arrays["l2g_r_mat"][frame, 0], arrays["l2g_t"][frame, 0]
    return (np.insert(points, 2, -1.8, axis=1) @ rotation + translation)[:, :2]


def test_objects_keep_their_numbers_and_their_paths_lead_to_where_they_are_next(arrays):
    now, later = ({number: k for k, number in enumerate(arrays["numbers"][frame]) if number > 0} for frame in (0, 1))
    both = now.keys() & later.keys()
    assert len(both) > 5
    for number in both:
        one, other = now[number], later[number]
        assert arrays["classes"][0, one] == arrays["classes"][1, other] >= 0
        ahead = arrays["codes"][0, one, :2] + arrays["paths"][0, one, 0]
        places = in_map(arrays, 0, ahead[None]), in_map(arrays, 1, arrays["codes"][1, other, None, :2])
        np.testing.assert_allclose(*places, atol=0.05)
    assert np.isnan(arrays["paths"][0][:, 3:]).all() and not np.isnan(arrays["paths"][0, :3, 0]).any()


def test_cells_lines_and_the_own_way_belong_to_the_frame(arrays):
    assert arrays["future"].tolist() == [True, True, True, False] and not arrays["owner"][3].any()
    cells, known = np.unique(arrays["owner"][0]), set(arrays["numbers"][0])
    assert len(cells) > 3 and len(set(cells) - known - {0}) < len(cells) / 2  # some are out of range or not touched
    kinds = arrays["kinds"][0]
    assert {0, 2} <= set(kinds) and all(
        mask.any() == (kind >= 0) for mask, kind in zip(arrays["lanes"][0], kinds, strict=True)
    )
    assert 0 < arrays["drivable"][0].mean() < 1
    assert np.isnan(arrays["way"][0, 3:]).all() and arrays["way"][0, 2, 1] > arrays["way"][0, 0, 1] >= 0  # ahead is +y
    code = arrays["own"][0]
    assert abs(code[0]) < 0.2 and -1 < code[1] < 2 and np.allclose(np.exp(code[[2, 3, 5]]), samples.OWN)
    np.testing.assert_allclose(code[8:], arrays["way"][0, 0] / 0.5, atol=1e-4)
    assert arrays["picture"].shape[2:] == (27, 48, 3)


def test_pieces_of_lines_are_lanes_of_their_own():
    lines = np.zeros((3, 6, 6), bool)
    lines[0, 0], lines[0, 3, :2], lines[2, 2:5, 5], lines[1, 5, 0] = True, True, True, True
    lanes, kinds = samples.instances(lines)
    assert kinds.tolist() == [0, 2, 0] and [int(mask.sum()) for mask in lanes] == [6, 3, 2]
    assert samples.instances(np.zeros((3, 6, 6), bool))[0].shape == (0, 6, 6)


def found(logits, boxes):
    none = torch.zeros(len(logits), 3)
    return Found(none, logits, boxes, none, none)


def test_carried_rows_keep_their_object_and_fresh_ones_take_what_is_left():
    rows = {"numbers": torch.tensor([7, 9, 4, -1]), "classes": torch.tensor([0, 1, 2, -1]), "codes": torch.zeros(4, 10)}
    rows["codes"][:, 0] = torch.tensor([0.0, 10.0, 20.0, 0.0])
    boxes = torch.zeros(6, 10)
    boxes[:, 0] = torch.tensor([19.0, 0.5, 0.0, 10.0, 3.0, 4.0])
    ids = torch.tensor([-1, -1, -1, -2, 9, 5])  # two fresh rows, the vehicle's own is the fourth; 5 has gone
    chosen = losses.assigned(found(torch.zeros(6, 3), boxes), ids, rows, torch.ones(10), 3)
    assert chosen.tolist() == [2, -1, 0, -1, 1, -1]


def test_boxes_are_asked_for_what_is_theirs():
    rows = {"classes": torch.tensor([1]), "codes": torch.ones(1, 10), "own": torch.zeros(10)}
    logits = torch.tensor([[-9.0, 9], [-9, -9], [9, -9]])
    boxes = torch.stack([torch.ones(10), torch.full((10,), 5.0), torch.zeros(10)])
    chosen, holds = torch.tensor([0, -1, -1]), torch.ones(3, dtype=torch.bool)
    right = losses.track_loss(found(logits, boxes), chosen, holds, rows, torch.ones(10), 2)
    assert right < 1e-4
    wrong = losses.track_loss(found(logits, boxes + 0.1), chosen, holds, rows, torch.ones(10), 2)
    assert float(wrong - right) == pytest.approx(losses.BOX * 0.1 * 10, rel=1e-3)
    blind = losses.track_loss(found(-logits.abs(), boxes), chosen, holds, rows, torch.ones(10), 2)
    assert blind > 1


def test_overlaps_masks_and_their_boxes_by_hand():
    one, other = torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2])
    assert float(losses.overlaps(one, other)) == pytest.approx(2 / 6)
    assert float(losses.overlaps(one, torch.tensor([3.0, 0, 4, 2]))) == pytest.approx(-2 / 8)
    mask = torch.zeros(1, 4, 8, dtype=torch.bool)
    mask[0, 1:3, 2:6] = True
    np.testing.assert_allclose(losses.lane_boxes(mask)[0], [0.5, 0.5, 0.5, 0.5])
    assert float(losses.dice(mask.flatten(1).float(), mask.flatten(1))) < 1e-3
    assert float(losses.dice(1 - mask.flatten(1).float(), mask.flatten(1))) == 1


def test_only_the_nearest_mode_is_asked_for():
    targets = torch.stack([torch.arange(1.0, 4), torch.zeros(3)], -1)[None]
    targets[0, 2] = torch.nan
    paths = torch.zeros(1, 2, 3, 5)
    paths[..., 2:4] = 1
    paths[0, 0, :, :2] = targets[0].nan_to_num(0)
    paths[0, 1, :, :2] = 50
    paths.requires_grad_()
    scores = torch.tensor([[0.0, -9.0]])
    loss = losses.path_loss(paths, scores, targets)
    assert float(loss) == pytest.approx(0, abs=1e-4)
    loss.backward()
    assert not paths.grad[0, 1].any() and not paths.grad[0, 0, 2].any()
    assert losses.path_loss(paths, scores.flip(1), targets) > 4
    normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.tensor([[4.0, 0.6], [0.6, 0.25]]))
    away = torch.tensor([0.7, -0.3])
    point = torch.tensor([0, 0, 2.0, 0.5, 0.6])
    expected = -normal.log_prob(away) - np.log(2 * np.pi)
    assert float(losses.surprise(point, away)) == pytest.approx(float(expected), rel=1e-5)


def test_it_learns_what_it_sees(store):
    """Both stages on four frames: every part of the loss falls, and tracks are carried by their numbers."""
    made = trainer.Trainer(SMALL, store, 1, 2e-3, 0, "all", warm_up=5)
    trainer_parts = [made.train_step(0.0) for _ in range(32)]
    carried = made.states[0].tracks.ids
    assert set(carried[carried >= 0].tolist()) <= set(store.arrays["numbers"].flatten().tolist())
    assert (carried >= 0).sum() > 5
    for name in trainer.STAGES["all"]:
        first, last = (float(torch.stack([part[name] for part in some]).mean())
                       for some in (trainer_parts[:4], trainer_parts[-8:]))  # fmt: skip
        assert last < first, (name, first, last)
    before = trainer.Trainer(SMALL, store, 1, 2e-3, 0, "tracks")
    assert before.train_step(0.0).keys() == {"boxes", "map", "loss"}
    assert before.model.motion_head.learnable_motion_query_embedding.weight.grad is None


def test_a_run_in_pieces_writes_its_checkpoint(minidrive, tmp_path, monkeypatch, arrays):
    monkeypatch.setattr(program.Ahead, "__init__", lambda self, *rest: setattr(self, "taken", 1))
    monkeypatch.setattr(program.Ahead, "ready", lambda self, block=False: [(arrays, [])] if block else [])
    monkeypatch.setattr(program.Ahead, "close", lambda self: None)
    monkeypatch.setattr(program, "scored", lambda *rest: {"AMOTA": 0.5})
    words = [f"--val={minidrive}", "--split=mini_val", "--least=1", "--keep=1", "--batch=1", "--device=cpu"]
    words += [f"--out={tmp_path / 'mini.safetensors'}", f"--state={tmp_path / 'left.pt'}", "--steps=2"]
    run = program.Run(program.parse([*words, "--stage=tracks"]), SMALL)
    run.train()
    card = json.loads((tmp_path / "mini.json").read_text())
    assert card["step"] == 2 and card["metrics"] == {"AMOTA": 0.5}
    assert read_checkpoint(tmp_path / "mini.safetensors").keys() == run.trainer.model.state_dict().keys()
    words[-1] = "--steps=3"
    again = program.Run(program.parse([*words, "--stage=tracks"]), SMALL)
    assert again.trainer.step == 2 and again.spent > 0
    with pytest.raises(BadInput, match="stage tracks"):
        program.Run(program.parse([*words, "--stage=all"]), SMALL)
    torch.save({"trainer": {}}, tmp_path / "other.pt")
    words[-2] = f"--state={tmp_path / 'other.pt'}"
    with pytest.raises(BadInput, match="what a training of this kind left"):
        program.Run(program.parse([*words, "--stage=tracks"]), SMALL)
    with pytest.raises(BadInput, match="no weights to begin with"):
        program.parse([*words, "--frozen"])
    words[-2] = "--state=" + str(tmp_path / "none.pt")
    begun = program.Run(program.parse([*words, f"--from={tmp_path / 'mini.safetensors'}"]), SMALL)
    kept = read_checkpoint(tmp_path / "mini.safetensors")["query_embedding.weight"]
    assert kept.dtype == torch.float16
    assert torch.equal(begun.trainer.model.query_embedding.weight.detach(), kept.float())


def test_the_mini_is_what_is_trained():
    assert program.Run.__init__.__defaults__ == (CONFIGS["mini"],)


@pytest.fixture(scope="module")
def network():
    return models.create("uniad", SMALL)


def test_a_detector_is_taken_where_it_fits(network, tmp_path):
    dims, count = SMALL.embed_dims, SMALL.num_query
    queries, level = torch.full((count, 2 * dims), 2.0), torch.full((1, dims), 3.0)
    tensors = {
        "pts_bbox_head.query_embedding.weight": queries,
        "pts_bbox_head.transformer.level_embeds": level,
        "pts_bbox_head.transformer.reference_points.bias": torch.full((3,), 4.0),
        "pts_bbox_head.bev_embedding.weight": torch.ones(7, dims),
        "elsewhere": torch.ones(1),
    }
    write_tensors(tensors, tmp_path / "detector.safetensors")
    own, other = copy.deepcopy(network), network.state_dict()
    taken, left = transplant(own, tmp_path / "detector.safetensors")
    assert sorted(taken) == sorted(tensors)[2:] and set(left) == {"pts_bbox_head.bev_embedding.weight", "elsewhere"}
    found = own.state_dict()
    assert torch.equal(found["query_embedding.weight"][:count], queries)
    assert torch.equal(found["query_embedding.weight"][count:], other["query_embedding.weight"][count:])
    levels = found["pts_bbox_head.transformer.level_embeds"]
    assert torch.equal(levels[:1], level) and torch.equal(
        levels[1:], other["pts_bbox_head.transformer.level_embeds"][1:]
    )
    assert torch.equal(found["reference_points.bias"], torch.full((3,), 4.0))
    query, output = torch.randn(2, 5, 2 * dims)
    asked = own.query_interact(query, output[:, :dims], torch.ones(5, dtype=torch.bool))
    torch.testing.assert_close(asked, torch.cat([F.layer_norm(half, (dims,)) for half in query.chunk(2, 1)], 1))
    write_tensors({"elsewhere": torch.ones(1)}, tmp_path / "nothing.safetensors")
    with pytest.raises(BadInput, match="none of which fits"):
        transplant(own, tmp_path / "nothing.safetensors")


def test_all_of_the_mini_detector_has_a_place_in_the_mini():
    own = models.skeleton("uniad", "mini").state_dict()
    for name, tensor in models.skeleton("bevformer", "mini").state_dict().items():
        place = own[MOVED.get(name, name)]
        assert tensor.shape == place.shape or MOVED.get(name, name) in PARTIAL


def test_a_map_that_stays_needs_a_detector_with_all_of_it(network, tmp_path):
    """Asked before a scene is made, which takes minutes."""
    whole = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(frozen.PARTS)}
    write_tensors(whole, tmp_path / "whole.safetensors")
    source.Beginning(SMALL, 0, tmp_path / "whole.safetensors").check(frozen.PARTS)
    lacking = sorted(whole)[0]
    del whole[lacking]
    write_tensors(whole, tmp_path / "part.safetensors")
    part = source.Beginning(SMALL, 0, tmp_path / "part.safetensors")
    part.check(())
    with pytest.raises(BadInput, match=f"1 tensors of the map less, such as {lacking}"):
        part.check(frozen.PARTS)


@pytest.fixture(scope="module")
def mapped(arrays, network):
    return frozen.with_maps(arrays, copy.deepcopy(network))


def test_a_map_that_stays_is_that_of_the_drive(arrays, mapped, network):
    assert "picture" not in mapped and mapped["bev"].shape == (4, 100, SMALL.embed_dims)
    rows = {name: torch.from_numpy(array) for name, array in arrays.items()}
    bev = torch.zeros(100, 1, SMALL.embed_dims)
    with torch.no_grad():
        for frame in range(2):
            feeds = trainer.feeds_of({name: array[frame] for name, array in rows.items()}, frame == 0, SMALL)
            bev = trainer.encoded(network, feeds, bev)[0].transpose(0, 1)
            np.testing.assert_allclose(mapped["bev"][frame], bev[:, 0], atol=4e-3)
    assert np.abs(mapped["bev"][1] - mapped["bev"][0]).max() > 0.1


def test_what_stays_and_what_is_behind_learn_nothing(mapped):
    made = stream.Store(1, CPU)
    made.add((mapped, []))
    behind = {"motion_head", "occ_head", "planning_head"}
    found = {"pts_bbox_head", "query_embedding", "reference_points", "query_interact", "memory_bank", "seg_head"}
    for stage, learn in (("all", found | behind), ("ahead", behind), ("plan", {"planning_head"})):
        one = trainer.Trainer(SMALL, made, 1, 1e-2, 0, stage, frozen.PARTS, warm_up=1)
        before = copy.deepcopy(dict(one.model.named_parameters()))
        for _ in range(4):  # some are of a later frame than a first one
            one.train_step(0.0)
        moved = {name for name, each in one.model.named_parameters() if not torch.equal(each, before[name])}
        assert {name.partition(".")[0] for name in moved} == learn
        assert not any(name.startswith(frozen.PARTS) for name in moved)
        shares = {group["share"] for group in one.optimizer.param_groups}
        assert shares == ({1.0, trainer.GENTLE} if stage == "all" else {1.0})


def test_a_scene_that_was_kept_is_read_again(arrays, network, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(source.samples, "scene", lambda number, *rest: asked.append(number) or (arrays, []))
    made = source.Source(source.Beginning(SMALL, 0), 4, frozen=True, kept=tmp_path)
    first, again = made(3)[0], made(3)[0]
    assert asked == [3] and first.keys() == again.keys()
    np.testing.assert_array_equal(first["bev"], again["bev"])
    other = copy.deepcopy(network)
    assert frozen.digest(other) == frozen.digest(copy.deepcopy(network).half().float())
    with torch.no_grad():
        other.pts_bbox_head.bev_embedding.weight += 0.1
    assert frozen.digest(other) != frozen.digest(network)
    next(tmp_path.glob("*.npz")).write_bytes(b"half")
    with pytest.raises(BadInput, match="delete it"):
        made(3)
