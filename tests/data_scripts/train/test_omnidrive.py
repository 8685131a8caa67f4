"""Training of the mini OmniDrive's vision part: its data, its losses by hand, a few steps, a run in pieces."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import torch

from data_scripts.minidrive import produce, tables
from data_scripts.minidrive.world import World
from data_scripts.train import endless
from data_scripts.train.omnidrive import __main__ as program
from data_scripts.train.omnidrive import hints, losses, motions, stream, told, trainer, vision, worlds
from helpers import models
from helpers.dataset import open_dataset
from helpers.errors import BadInput
from helpers.models.checkpoints import read_checkpoint
from helpers.systems.omnidrive.inputs import preprocess, vehicle_to_picture
from tests.data_scripts.train.small_omnidrive import SMALL

CPU = torch.device("cpu")


class pool:
    """Stands in for the thread pool: maps in the calling thread."""

    map = staticmethod(map)


@pytest.fixture(scope="module")
def data(minidrive):
    return open_dataset(minidrive, split=["scene-0103"])


@pytest.fixture(scope="module")
def scene(data, minidrive):
    """Arrays and questions of four frames, with motions as those of a new world."""
    arrays, asked = worlds.read(minidrive, ["scene-0103"], SMALL)
    world, rng = World("scene-0103", 4, 0), np.random.default_rng(0)
    driven, ways = zip(*(motions.variants(world, k, 3, rng) for k in range(4)), strict=True)
    return arrays | {"driven": np.float32(driven), "ways": np.float32(ways)}, asked


@pytest.fixture(scope="module")
def store(scene):
    made = stream.Store(2, CPU)
    made.add(scene)
    return made


def test_a_scene_of_a_training_is_that_of_the_data_set(minidrive, tmp_path):
    """Pictures to the byte, the questions, and what the LiDAR touches."""
    world, name = World("scene-0103", 4, 0), "scene-0103"
    produce.prepare(tmp_path)
    seen = worlds._frame(tmp_path, world, 1, 0)
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 6 + 4
    for path in written:
        assert (tmp_path / path).read_bytes() == (minidrive / path).read_bytes(), path
    rows = json.loads((minidrive / "v1.0-mini/sample_annotation.json").read_text())
    token = tables.token(0, "sample", name, 1)
    assert sorted(row["num_lidar_pts"] for row in rows if row["sample_token"] == token) == sorted(
        count for count, _ in seen.values()
    )


def test_pictures_of_training_are_those_of_the_network(data, scene):
    made = trainer.stretched(torch.from_numpy(scene[0]["picture"][:1]), SMALL)
    assert np.abs(made.numpy() - preprocess(data[0], SMALL)).max() < 1e-4


def test_what_is_learned_is_what_is_annotated_in_ego(data, scene):
    frame, labels = data[2], scene[0]["labels"][2]
    known = labels != worlds.NONE
    boxes = worlds.learned_boxes(frame, SMALL)
    assert known.sum() == len(boxes) > 20 and not known[len(boxes) :].any()
    far = np.hypot(*scene[0]["codes"][2][known][:, :2].T)
    assert (np.diff(far) >= 0).all() and far[-1] < 73
    places = boxes.centers @ frame.ego2global[:3, :3].T + frame.ego2global[:3, 3]
    truth = frame.boxes.centers @ (frame.ego2global @ frame.lidar2ego)[:3, :3].T
    truth += (frame.ego2global @ frame.lidar2ego)[:3, 3]
    assert np.linalg.norm(places[:, None] - truth, axis=2).min(1).max() < 1e-6
    untouched = dataclasses.replace(frame, num_lidar_pts=np.where(np.arange(len(truth)) < 2, 0, frame.num_lidar_pts))
    assert len(worlds.learned_boxes(untouched, SMALL)) < len(boxes)


def test_lanes_are_points_at_equal_distances(scene):
    line = np.array([(0, 0, 0), (3, 0, 0), (3, 1, 0)])
    assert np.allclose(worlds.along(line, 5), [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (3, 1, 0)])
    lanes = scene[0]["lanes"][0]
    steps = np.linalg.norm(np.diff(lanes[~np.isnan(lanes[:, 0, 0])], axis=1), axis=2)
    assert len(steps) > 4 and np.abs(steps / steps.mean(1, keepdims=True) - 1).max() < 0.05


def perfect(rows, most=98):
    """Logits and codes of one layer that hold the truth, in the last queries."""
    count = rows["codes"].shape[1]
    logits, codes = torch.full((1, 1, most, 10), -12.0), torch.full((1, 1, most, 10), 60.0)
    for g in range(min(count, most)):
        label = int(rows["labels"][0, g])
        if label >= 0:
            logits[0, 0, most - 1 - g, label], codes[0, 0, most - 1 - g] = 12.0, rows["codes"][0, g]
    return logits, codes


def test_the_truth_costs_nothing_whichever_query_holds_it(store):
    rows, weights = store.rows(np.array([0]), np.array([1])), torch.tensor([2.0] * 2 + [1.0] * 8)
    logits, codes = perfect(rows)
    lanes = rows["lanes"].flatten(2)
    number = int((~lanes[0, :, 0].isnan()).sum())
    outputs = {"all_cls_scores": logits, "all_bbox_preds": codes}
    for how, times, most in (("one", 1, 24), ("many", losses.MANY, 60)):
        lines, scores = torch.full((1, 1, most, 33), 60.0), torch.full((1, 1, most, 1), -12.0)
        lines[0, 0, : times * number] = lanes[0, :number].repeat(times, 1)
        scores[0, 0, : times * number] = 12.0
        outputs |= {f"all_lane_cls_one2{how}": scores, f"all_lane_preds_one2{how}": lines}
    found = losses.detection_losses(outputs, rows, weights, pool)
    assert all(part < 1e-3 for part in found.values()), found
    moved = losses.detection_losses(outputs | {"all_bbox_preds": codes + 1.0}, rows, weights, pool)
    assert moved["boxes"].item() == pytest.approx(0.25 * 12, rel=1e-3) and moved["lanes"] == found["lanes"]
    names = ("all_lane_preds_one2one", "all_lane_preds_one2many")
    moved = losses.detection_losses(outputs | {name: outputs[name] + 1.0 for name in names}, rows, weights, pool)
    assert moved["lanes"].item() == pytest.approx(0.1 * 3, rel=1e-3) == moved["lanes_many"].item()
    mixed = torch.randperm(98)
    again = outputs | {"all_cls_scores": logits[:, :, mixed], "all_bbox_preds": codes[:, :, mixed]}
    assert losses.detection_losses(again, rows, weights, pool)["boxes"] < 1e-3


def test_patches_are_asked_where_the_cameras_see_a_center(data, store):
    rows = store.rows(np.array([0]), np.array([3]))
    cell, place, depth, seen = hints.centers(rows, SMALL)
    matrix = vehicle_to_picture(data[3], SMALL)
    for camera, box in seen[0].nonzero().tolist()[:40]:
        u, v, d = (matrix[camera] @ [*rows["codes"][0, box, :3].tolist(), 1])[:3]
        column, line = cell[0, camera, box].item() % 4, cell[0, camera, box].item() // 4
        assert depth[0, camera, box].item() == pytest.approx(d, rel=1e-4)
        assert (column + 0.5 + place[0, camera, box, 0].item()) * 16 == pytest.approx(u / d, abs=1e-2)
        assert (line + 0.5 + place[0, camera, box, 1].item()) * 16 == pytest.approx(v / d, abs=1e-2)
    made = hints.Hints(SMALL)
    features = torch.zeros(1, 96, 32)
    blind = made.patches(features, rows)
    with torch.no_grad():
        made.patch.bias[12] += float((depth[seen] / hints.DEPTH).log().median())
    assert made.patches(features, rows) < blind and seen.sum() > 10
    few = dict(rows, labels=torch.where(torch.arange(128) < 3, rows["labels"], worlds.NONE))
    cell, place, depth, seen = hints.centers(few, SMALL)
    truth = torch.cat([torch.full((1, 6, 16, 10), -12.0), torch.zeros(1, 6, 16, 3)], 3)
    for camera, box in seen[0].nonzero().tolist():
        at = truth[0, camera, cell[0, camera, box]]
        at[int(few["labels"][0, box])], at[10:12] = 12.0, place[0, camera, box]
        at[12] = (depth[0, camera, box] / hints.DEPTH).log()
    del made.patch
    made.patch = lambda features: truth.flatten(1, 2)
    assert seen.sum() > 1 and made.patches(features, few) < 1e-3
    truth = truth.roll(1, 3)  # other classes
    assert made.patches(features, few) > 1


def test_what_is_heard_of_a_motion_is_what_the_network_hears(data, scene):
    network = models.create("omnidrive", SMALL)
    found = told.of_steps(network, data, trainer.steps_of(data, SMALL))
    heard, made = found["driven"][0, :, 0].numpy(), scene[0]["driven"][:, 0]
    command = [0, 14, 28]  # here the future of four frames is known alone
    assert np.abs(np.delete(heard - made, command, 1)).max() < 1e-4 and set(made[:, 0]) <= {0, 1, 2}
    assert np.isnan(found["ways"].numpy()).all()  # four frames have no six after them
    ahead = data[0].future_path
    assert np.abs(scene[0]["ways"][0, 0, : len(ahead)] - ahead).max() < 1e-3
    assert found["extras"].shape == (1, 4, 2 * SMALL.extra, SMALL.dims)


def test_a_faster_motion_leads_farther_along_the_same_road():
    world = World("scene-0916", 8, 3)
    faster = motions.scaled(world, 1.0, 1.25)
    assert faster.ego(1.0) == pytest.approx(world.ego(1.0))
    assert motions.told(faster, 1.0)[11] == pytest.approx(1.25 * motions.told(world, 1.0)[11])
    assert motions.told(faster, 1.0)[8:11] == pytest.approx(1.25 * motions.told(world, 1.0)[8:11])  # it turns faster
    before, after = (float(each.motion.distance(2.0) - each.motion.distance(1.0)) for each in (world, faster))
    assert after == pytest.approx(1.25 * before) and after > 0


def test_every_number_is_a_scene_of_its_own_and_comes_with_motions(scene, monkeypatch):
    written = []
    monkeypatch.setattr(worlds, "write", lambda root, name, frames, seed: written.append((name, frames, seed)))
    monkeypatch.setattr(
        worlds, "read", lambda root, split, config: ({"picture": scene[0]["picture"][:2]}, scene[1][:2])
    )
    first, again, later = (worlds.scene(number, 5, 2, SMALL)[0] for number in (0, 0, worlds.NAMES + 103))
    assert written == [("scene-1000", 2, 5)] * 2 + [("scene-1103", 2, 6)]
    assert first["driven"].shape == (2, worlds.VARIANTS, 74) and first["ways"].shape == (2, worlds.VARIANTS, 6, 2)
    assert np.array_equal(first["driven"], again["driven"]) and not np.array_equal(first["ways"], later["ways"])


def test_streams_walk_through_scenes_and_the_newest_scenes_are_kept(scene):
    arrays, asked = scene
    made = stream.Store(2, CPU)
    for number in range(3):
        made.add(({"timestamp": arrays["timestamp"] + 10 * number}, asked))
    assert made.held == 2 and made.frames == 4 and made.arrays["timestamp"][:, 0].tolist() == [20, 10]
    walks = stream.Walks(made, 2, 0)
    seen = [walks.next() for _ in range(9)]
    times = torch.stack([rows["timestamp"] for rows, _ in seen]).numpy()
    first = np.stack([each for _, each in seen])
    assert first[0].all() and (np.diff(times, axis=0)[~first[1:]] == 0.5).all() and first[times % 10 == 0].all()


def test_a_few_steps_lower_the_loss_and_a_run_goes_on(store, monkeypatch):
    monkeypatch.setattr(trainer, "WARM_UP", 1)
    first = trainer.Trainer(SMALL, store, 2, 3e-3, 0)
    kept = {name: each.clone() for name, each in first.average.state_dict().items()}
    first_parts = first.train_step(0.0)
    assert set(first_parts) == {"loss", *trainer.WEIGHTS} and first.states["memory_timestamp_map_in"].shape[0] == 2
    found = [first.train_step(0.0)["loss"].item() for _ in range(9)]
    assert np.isfinite(found).all() and np.mean(found[-3:]) < 0.85 * first_parts["loss"].item()
    moved = {name for name, each in first.average.state_dict().items() if not torch.equal(each, kept[name])}
    assert {"pts_bbox_head.query_embedding.weight", "map_head.query_embedding.weight"} <= moved  # the hints' work
    assert not {"pts_bbox_head.pc_range", "pts_bbox_head.output_projection.weight", "coords_d"} & moved
    second = trainer.Trainer(SMALL, store, 2, 3e-3, 1)
    second.load_state_dict(first.state_dict())
    assert second.step == 10
    for name, each in second.average.state_dict().items():
        assert torch.equal(each, first.average.state_dict()[name])


def test_the_command_leaves_a_checkpoint_and_what_was_told(scene, minidrive, tmp_path, monkeypatch, capsys):
    flows = []

    class Flow:  # instead of worker processes
        def __init__(self, config, workers, seed, frames, first):
            self.first, self.taken = first, 0
            flows.append(self)

        def ready(self, block=False):
            self.taken += 1
            yield scene

        def close(self):
            self.closed = True

    monkeypatch.setattr(vision, "CONFIGS", {"mini": SMALL})
    monkeypatch.setattr(vision, "Stream", Flow)
    monkeypatch.setattr(vision, "steps_of", functools.cache(vision.steps_of))
    one = open_dataset(minidrive, split=["scene-0916"])
    monkeypatch.setattr(endless.dataset, "open_dataset", lambda root, split: one)
    paths = {name: tmp_path / name for name in ("out.safetensors", "state.pt", "told.pt")}
    options = ["vision", f"--out={paths['out.safetensors']}", f"--val={minidrive}", "--batch=2", "--device=cpu",
               f"--state={paths['state.pt']}", "--frames=4", "--least=1", "--report=0"]  # fmt: skip
    assert program.main([*options, "--steps=2"]) == 0
    *reports, last = capsys.readouterr().out.splitlines()
    assert len(reports) == 2 and "step 2" in reports[1] and "boxes" in reports[1]
    assert json.loads(last)["step"] == 2 and {"mAP", "NDS"} <= json.loads(last)["metrics"].keys()
    loaded = models.load_checkpoint(models.create("omnidrive", SMALL), paths["out.safetensors"])
    assert loaded.pts_bbox_head.pc_range[0] == torch.tensor(-51.2)  # what is not learned is not rounded
    assert read_checkpoint(paths["out.safetensors"])["query_pos.0.weight"].dtype == torch.float16
    assert program.main([*options, "--steps=3", f"--tell={paths['told.pt']}"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 3
    assert flows[1].first == flows[0].taken and all(flow.closed for flow in flows)
    train = torch.load(paths["told.pt"], weights_only=True)["train"]
    assert train["extras"].shape[:2] == train["driven"].shape[:2] and train["driven"].shape[2:] == (3, 74)
    assert train["questions"][0][0][0][0] == "keywords"


def test_an_unknown_stage_and_options_out_of_bounds_are_refused(capsys):
    with pytest.raises(BadInput, match="stage"):
        program.main(["learn"])
    assert program.main(["--help"]) == 0
    for words in ("--dataroot data", "--frames 1", "--keep 0", "--every x"):
        with pytest.raises(SystemExit, match="2"):
            program.main(["vision", *words.split()])
        assert words.split()[0] in capsys.readouterr().err
