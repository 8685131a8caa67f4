"""What is kept of frames gives the very metrics of `helpers.metrics`, and the commands score a real network."""

import dataclasses
import json

import numpy as np
import pytest

from helpers import __main__ as cli
from helpers import engine, models
from helpers.boxes import transform
from helpers.dataset import occupancy as labels
from helpers.dataset import open_dataset
from helpers.dataset.questions import PLANNING_QUESTION, planning_answer
from helpers.errors import BadInput
from helpers.evaluate import Store, task_of
from helpers.evaluate.tasks import Detection
from helpers.metrics import detection, occupancy
from helpers.metrics.planning import answers


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


@pytest.fixture(scope="module")
def part(dataset):
    """Two frames of the first scene and two of the second."""
    return [dataset[i] for i in (1, 2, 4, 5)]


def through(task, pairs, dataset, folder):
    """The total of what is kept of (frame, found) pairs, by way of files."""
    store = Store(folder, dataset, {})
    for frame, found in pairs:
        store.save(frame.scene, frame.token, task.keep(frame, found, dataset))
    store.frames = [(frame.scene, frame.token) for frame, _ in pairs]
    return task.total(store.results(), dataset)


def moved(boxes, rng):
    """Boxes beside where they are, some missing, with scores."""
    centers = boxes.centers + rng.normal(0, 0.8, boxes.centers.shape)
    kept = rng.random(len(boxes)) < 0.8
    return dataclasses.replace(boxes, centers=centers, scores=rng.random(len(boxes)))[kept]


def test_boxes_score_as_they_do_without_files(dataset, part, tmp_path):
    rng = np.random.default_rng(0)
    pairs = [(frame, moved(frame.boxes, rng)) for frame in part]
    pairs[3] = (part[3], pairs[3][1][:0])
    config = models.config("bevformer", "mini")
    expected = detection.score({frame.token: detection.to_global(boxes, frame) for frame, boxes in pairs}, dataset)
    assert through(task_of(config), pairs, dataset, tmp_path / "out") == expected
    assert 0.05 < expected["mAP"] < 0.95


def test_boxes_in_the_frame_of_the_ego_score_alike(dataset, part, tmp_path):
    pairs = [(frame, moved(frame.boxes, np.random.default_rng(0))) for frame in part]
    in_ego = [(frame, transform(boxes, frame.lidar2ego, "ego")) for frame, boxes in pairs]
    found = [through(task_of(models.config(name, "mini")), rows, dataset, tmp_path / name)
             for name, rows in (("bevformer", pairs), ("omnidrive", in_ego))]  # fmt: skip
    assert found[0] == pytest.approx(found[1], nan_ok=True) and 0.05 < found[0]["mAP"] < 0.95


def test_voxels_score_as_they_do_without_files(dataset, part, tmp_path):
    rng, pairs = np.random.default_rng(0), []
    for frame in part[::2]:
        found = labels.read(dataset.dataroot, frame).semantics.copy()
        wrong = rng.random(found.shape) < 0.02
        found[wrong] = rng.integers(0, 18, wrong.sum())
        pairs.append((frame, found))
    found = through(task_of(models.config("fbocc", "mini")), pairs, dataset, tmp_path / "out")
    expected = occupancy.score(pairs, dataset)
    assert found.keys() == expected.keys() and 20 < found["mIoU"] < 99
    np.testing.assert_equal(found, expected)


def test_a_class_that_nothing_defines_is_left_out_as_a_record_takes_numbers(dataset, part, tmp_path):
    pairs = [(frame, labels.read(dataset.dataroot, frame).semantics) for frame in part[:2]]
    found, expected = (
        through(task_of(models.config("fbocc", "mini")), pairs, dataset, tmp_path / "out"),
        occupancy.score(pairs, dataset),
    )
    absent = {name for name, value in expected.items() if np.isnan(value)}
    assert absent == expected.keys() - found.keys() and "IoU/other_flat" in absent and found["mIoU/labeled"] == 100
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_result_without_an_array_is_named(dataset, part, tmp_path):
    for system in ("bevformer", "fbocc"):
        task = task_of(models.config(system, "mini"))
        with pytest.raises(BadInput, match=r"result of x[\s\S]*arrays none[\s\S]*an array '"):
            task.total([("x", {})], dataset)


@pytest.mark.parametrize(
    "name, array", [("centers", np.zeros((3, 2))), ("scores", np.zeros(2)), ("labels", [0, 99, 0])]
)
def test_kept_boxes_that_are_none_name_their_sample(dataset, name, array):
    kept = {"centers": np.zeros((3, 3)), "sizes": np.ones((3, 3)), "yaws": np.zeros(3), "velocities": np.zeros((3, 2)),
            "labels": np.zeros(3, np.int64), "scores": np.zeros(3)}  # fmt: skip
    with pytest.raises(BadInput, match=rf"result of x: Boxes\.{name}[\s\S]*remove the file"):
        Detection().total([("x", kept | {name: np.asarray(array)})], dataset)


def evaluated(*words):
    return cli.main(["evaluate", "bevformer", "--config=mini", *map(str, words)])


def test_the_command_scores_a_network_by_two_processes(mini, minidrive, dataset, tmp_path, capsys):
    """As one loop over the split does; a second call drives nothing."""
    _, onnx_path = mini
    out, config = tmp_path / "out", models.config("bevformer", "mini")
    words = [f"--engine={onnx_path}", f"--dataroot={minidrive}", f"--out={out}", "--quiet"]
    assert evaluated(*words, "--workers=2") == 0
    said = capsys.readouterr().out
    expected = detection.evaluate(engine.load(onnx_path).run, dataset, config, progress=False)
    assert json.loads((out / "metrics.json").read_text()) == pytest.approx(expected, abs=1e-9)
    assert len(list(out.glob("*/*.npz"))) == len(dataset) == expected["frames"]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.npz")}
    assert evaluated(*words) == 0 and capsys.readouterr().out == said
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_the_command_refuses(mini, minidrive, tmp_path, capsys, monkeypatch):
    file = f"--engine={mini[1]}"
    root, out = f"--dataroot={minidrive}", f"--out={tmp_path / 'out'}"
    for words, said in (
        ([out], "neither of --engine and --weights"),
        ([out, file, "--weights=x"], "both of --engine and --weights"),
        ([out, "--engine=nowhere.onnx"], "nowhere.onnx"),
        ([out, file, f"--dataroot={tmp_path}"], "no folder; versions here"),
    ):
        assert evaluated(*words) == 2 and said in capsys.readouterr().err
    assert cli.main(["evaluate", "bevformer", out, file, root, "--quiet"]) == 2  # published, of another size
    assert "it is not bevformer --config=published: name those of this file" in capsys.readouterr().err
    assert cli.main(["evaluate", "openvla", out, file]) == 2 and "task ''" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert evaluated(out, file, root, "--workers=2") == 2 and "torchrun" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_scores_saved_paths(minidrive, dataset, tmp_path, capsys):
    """None of the frames of a scene of four has a known future: that is said, and so is a folder without answers."""
    said = planning_answer(np.stack([np.arange(6.0), np.zeros(6)], -1))
    answers.save(tmp_path, dataset.tokens[0], [(PLANNING_QUESTION, said)])
    words = ["planning", f"--dataroot={minidrive}"]
    assert cli.main([*words, str(tmp_path)]) == 2 and "none to score" in capsys.readouterr().err
    assert cli.main([*words, str(tmp_path / "x")]) == 2 and "no folder" in capsys.readouterr().err
    assert cli.main(words) == 2 and "--baselines" in capsys.readouterr().err


def kept_occupancy(dataset):
    """(token, arrays) of the first frame of each scene, as if the labels had been predicted."""
    task = task_of(models.config("fbocc", "mini"))
    frames = [next(frame for frame in dataset if frame.scene == scene) for scene in dataset.scene_tokens]
    found = [task.keep(frame, labels.read(dataset.dataroot, frame).semantics, dataset) for frame in frames]
    return task, [(frame.token, arrays) for frame, arrays in zip(frames, found, strict=True)]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("counts", lambda counts: counts.sum()),  # which would be added to every class
        ("counts", lambda counts: counts[:17, :17]),
        ("counts", lambda counts: -counts),
        ("rays", lambda rays: rays.astype(np.float64) * np.nan),
    ],
)
def test_counts_that_are_none_are_refused(dataset, name, damage):
    task, kept = kept_occupancy(dataset)
    kept[1][1][name] = damage(kept[1][1][name])
    with pytest.raises(BadInput, match=f"result of {kept[1][0]}\n  found:    {name} "):
        task.total(kept, dataset)


def test_labels_of_another_place_are_refused(dataset, monkeypatch):
    """The same bytes in two scenes, or in one where the vehicle has gone on: a folder was copied, a link is wrong."""
    task, kept = kept_occupancy(dataset)
    assert task.total(kept, dataset)["mIoU"] == 100
    kept[1][1]["labels"] = kept[0][1]["labels"]
    said = rf"{kept[1][0]}/labels\.npz\n  found:    the labels of {kept[0][0]}, of scene"
    with pytest.raises(BadInput, match=said):
        task.total(kept, dataset)
    first, second = (token for token in dataset.scene_tokens[dataset[0].scene][:2])
    both = [(token, kept[0][1]) for token in (first, second)]
    way = np.linalg.norm(dataset[1].ego2global[:3, 3] - dataset[0].ego2global[:3, 3])
    assert way > labels.MOVED
    with pytest.raises(BadInput, match=rf"{second}/labels\.npz\n  found:    the labels of {first}, {way:.1f} m away"):
        task.total(both, dataset)
    label = labels.read(dataset.dataroot, dataset[0])
    monkeypatch.setattr(labels, "read", lambda *_: label)
    with pytest.raises(BadInput, match=f"the labels of {first}"):
        occupancy.score([(frame, label.semantics) for frame in (dataset[0], dataset[1])], dataset, rays=False)
    monkeypatch.setattr(labels, "MOVED", way + 1)  # as if it stood
    assert task.total(both, dataset)["frames"] == 2
