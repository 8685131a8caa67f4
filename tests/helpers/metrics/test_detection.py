"""Metrics against the unmodified devkit, and for perfect, absent and partial detections."""

import dataclasses
import json

import numpy as np
import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval

from helpers.boxes import Boxes, transform
from helpers.dataset import CLASSES, open_dataset, stream
from helpers.errors import BadInput
from helpers.metrics import detection
from helpers.metrics.detection import ATTRIBUTES, detect, evaluate, score, submission, to_global
from helpers.systems.bevformer.config import CONFIGS
from helpers.systems.bevformer.decode import decode_boxes, encode_boxes

CONFIG = dataclasses.replace(CONFIGS["mini"], bev_h=3, bev_w=2, embed_dims=5)


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


def hit(frame):
    """Annotations with lidar points: the devkit takes the others out of the ground truth."""
    return frame.boxes[frame.num_lidar_pts > 0]


def through_the_code(frame, keep=1.0, noise=0.0, seed=0):
    """Annotations of a frame as detections: encoded, decoded, moved to the map; some lost and all displaced at will."""
    rng = np.random.default_rng([seed, frame.timestamp % 2**32])
    boxes = hit(frame)
    boxes = boxes[rng.random(len(boxes)) < keep]
    code = encode_boxes(boxes) + noise * rng.standard_normal((len(boxes), 10))
    return to_global(decode_boxes(code, boxes.labels, rng.random(len(boxes))), frame)


def scored_classes(dataset, frames):
    """Classes with ground truth that the devkit counts: well within range and hit by lidar."""
    ranges = config_factory("detection_cvpr_2019").class_range
    names = set()
    for frame in frames:
        boxes = hit(frame)
        names |= {n for n, c in zip(boxes.names, boxes.centers, strict=True) if np.hypot(*c[:2]) < ranges[n] - 2}
    return names


def test_annotations_score_one_in_every_class_present(dataset):
    result = score({frame.token: through_the_code(frame) for frame in dataset}, dataset)
    present = scored_classes(dataset, dataset)
    assert len(present) >= 5
    assert {name: result[f"AP/{name}"] for name in present} == pytest.approx(dict.fromkeys(present, 1.0), abs=5e-3)
    assert result["frames"] == len(dataset)
    if len(present) == len(CLASSES):
        assert result["NDS"] >= 0.99


def test_equal_to_the_unmodified_devkit(dataset, tmp_path, capsys):
    results = {frame.token: through_the_code(frame, keep=0.8, noise=0.1) for frame in dataset}
    ours = score(results, dataset)
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(submission(results)))
    official = DetectionEval(
        dataset.nusc, config_factory("detection_cvpr_2019"), str(path), "mini_val", str(tmp_path), verbose=False
    )
    metrics, _ = official.evaluate()
    assert official.meta["use_camera"] is True
    assert 0.05 < ours["mAP"] < 0.95
    assert ours["NDS"] == pytest.approx(metrics.nd_score, abs=1e-12)
    assert ours["mAP"] == pytest.approx(metrics.mean_ap, abs=1e-12)
    errors = [ours[name] for name in ("mATE", "mASE", "mAOE", "mAVE", "mAAE")]
    assert errors == pytest.approx([metrics.tp_errors[f"{n}_err"] for n in ("trans", "scale", "orient", "vel", "attr")])
    assert {n: ours[f"AP/{n}"] for n in CLASSES} == pytest.approx(metrics.mean_dist_aps)


def test_a_part_is_scored_on_its_own_ground_truth(dataset):
    part = {frame.token: through_the_code(frame) for frame in dataset[:2]}
    empty = {frame.token: Boxes.empty("global", CLASSES) for frame in dataset[2:]}
    alone, whole = score(part, dataset), score({**part, **empty}, dataset)
    assert alone["frames"] == 2 and whole["frames"] == len(dataset)
    for name in scored_classes(dataset, dataset[:2]):
        assert alone[f"AP/{name}"] == pytest.approx(1, abs=5e-3)
    assert whole["mAP"] < 0.8 * alone["mAP"]


def test_who_loses_what_it_got_wrong_has_the_higher_nds_but_not_the_higher_map(dataset):
    found = {"all": {}, "lost": {}}
    for frame in dataset:
        boxes = hit(frame)
        wrong = np.arange(len(boxes)) % 5 == 0
        boxes.velocities[wrong] += 9  # m/s
        boxes.yaws[wrong] += np.pi
        boxes.scores[:] = np.where(wrong, 0.9, 0.5) + np.arange(len(boxes)) / 1000
        for name, kept in (("all", slice(None)), ("lost", ~wrong)):
            found[name][frame.token] = to_global(boxes[kept], frame)
    better, worse = (score(results, dataset) for results in found.values())
    assert worse["mAVE"] < 0.1 < better["mAVE"] and worse["NDS"] > better["NDS"] + 0.05
    assert worse["mAP"] < better["mAP"] - 0.1


def test_no_detections_and_random_ones_score_nothing(dataset):
    nothing = score({frame.token: Boxes.empty("global", CLASSES) for frame in dataset}, dataset)
    assert nothing["NDS"] == nothing["mAP"] == 0
    rng = np.random.default_rng(0)
    random = {}
    for frame in dataset:
        n = 100
        centers = rng.uniform([-50, -50, -2], [50, 50, 1], (n, 3))
        boxes = Boxes(centers, rng.uniform(1, 5, (n, 3)), rng.uniform(-3, 3, n), rng.normal(size=(n, 2)),
                      rng.integers(0, 10, n), rng.random(n), classes=CLASSES)  # fmt: skip
        random[frame.token] = to_global(boxes, frame)
    assert score(random, dataset)["mAP"] < 0.03


@pytest.mark.parametrize(
    ("name", "speed", "expected"),
    [
        ("car", 0.1, "vehicle.parked"),
        ("trailer", 0.3, "vehicle.moving"),
        ("bus", 0.1, "vehicle.stopped"),
        ("bicycle", 0.3, "cycle.with_rider"),
        ("motorcycle", 0.1, "cycle.without_rider"),
        ("pedestrian", 0.1, "pedestrian.standing"),
        ("pedestrian", 0.3, "pedestrian.moving"),
        ("barrier", 0.3, ""),
    ],
)
def test_attribute_follows_speed(name, speed, expected):
    box = Boxes([[0, 0, 0]], [[1, 1, 1]], [0], [[0, -speed]], [CLASSES.index(name)], [1], "global", CLASSES)
    assert submission({"t": box})["results"]["t"][0]["attribute_name"] == expected
    assert set(ATTRIBUTES) == set(CLASSES)


def test_to_global_keeps_the_range_of_each_class(dataset):
    frame = dataset[0]
    distance = [49, 51, 39, 41, 29, 31]
    labels = [CLASSES.index(name) for name in ("car", "car", "bicycle", "bicycle", "barrier", "barrier")]
    in_ego = np.array([[d, 0, 0, 1] for d in distance], float)
    centers = (in_ego @ np.linalg.inv(frame.lidar2ego).T)[:, :3]
    boxes = Boxes(centers, np.ones((6, 3)), np.zeros(6), np.full((6, 2), 3.0), labels, np.ones(6), classes=CLASSES)
    kept = to_global(boxes, frame)
    assert kept.frame == "global" and kept.names == ["car", "bicycle", "barrier"]
    np.testing.assert_allclose(kept.centers, (in_ego[::2] @ frame.ego2global.T)[:, :3], atol=1e-9)
    same = to_global(transform(boxes, frame.lidar2ego, "ego"), frame)
    np.testing.assert_allclose(same.centers, kept.centers, atol=1e-9)
    np.testing.assert_allclose(same.velocities, kept.velocities, atol=1e-9)


class Network:
    """Stands in for a network that detects the annotations; keeps what it was fed."""

    def __init__(self, frames):
        self.frames, self.fed, self.given = iter(frames), [], []

    def __call__(self, feeds):
        boxes = hit(next(self.frames))
        classes = np.full((2, 1, len(boxes), 10), -20, np.float32)
        classes[-1, 0, range(len(boxes)), boxes.labels] = 5
        coords = np.tile(encode_boxes(boxes), (2, 1, 1, 1))
        bev = np.full((6, 1, 5), len(self.fed) + 1, np.float32)
        self.fed.append(feeds)
        self.given.append(bev)
        return {"bev_embed": bev, "outputs_classes": classes, "outputs_coords": coords}


def test_evaluate_carries_the_history_within_a_scene(dataset, capsys):
    network = Network(dataset)
    result = evaluate(network, dataset, CONFIG, progress=False)
    assert capsys.readouterr().err == ""
    for i, (frame, feeds) in enumerate(zip(dataset, network.fed, strict=True)):
        assert set(feeds) == {"image", "prev_bev", "use_prev_bev", "can_bus", "lidar2img"}
        expected = network.given[i - 1] if frame.index else np.zeros((6, 1, 5))
        np.testing.assert_array_equal(feeds["prev_bev"], expected)
    assert result["frames"] == len(dataset)
    present = scored_classes(dataset, dataset)
    assert min(result[f"AP/{name}"] for name in present) > 0.95


def test_a_limited_number_of_frames_is_run_and_scored(dataset):
    network = Network(dataset)
    steps = stream(dataset[:2], CONFIG)
    assert evaluate(network, dataset, CONFIG, steps, progress=False)["frames"] == len(network.fed) == 2
    frames = [frame for frame, boxes in detect(Network(dataset), stream(dataset[:3], CONFIG), CONFIG, progress=False)]
    assert frames == dataset[:3]


def test_evaluate_frames_read_before(dataset):
    steps = list(stream(dataset, CONFIG))
    whole, again = (evaluate(Network(dataset), dataset, CONFIG, given, progress=False) for given in (None, steps))
    assert whole == pytest.approx(again, abs=1e-12)
    some = [step for step in steps if step.frame.index < 2]
    network = Network([step.frame for step in some])
    assert evaluate(network, dataset, CONFIG, some, progress=False)["frames"] == len(network.fed) == len(some)
    assert [feeds["prev_bev"].any() for feeds in network.fed] == [step.frame.index > 0 for step in some]


def test_bad_input_is_named(dataset):
    token = dataset[0].token
    with pytest.raises(BadInput, match="not in the split"):
        score({"nothing": Boxes.empty("global", CLASSES)}, dataset)
    with pytest.raises(BadInput, match="no sample"):
        score({}, dataset)
    with pytest.raises(BadInput, match="use to_global"):
        score({token: dataset[0].boxes}, dataset)
    with pytest.raises(BadInput, match="lidar frame"):
        to_global(Boxes.empty("global", CLASSES), dataset[0])
    many = dataset[0].boxes[np.zeros(501, int)]
    with pytest.raises(BadInput, match="at most 500"):
        score({token: many}, dataset)


def test_samples_without_annotations_have_no_score(dataset, monkeypatch):
    empty = lambda nusc, tokens, *_: EvalBoxes.deserialize({token: [] for token in tokens}, DetectionBox)  # noqa: E731
    monkeypatch.setattr(detection, "load_gt_of_sample_tokens", empty)
    with pytest.raises(BadInput, match="no box of the classes scored") as caught:
        score({frame.token: Boxes.empty("global", CLASSES) for frame in dataset}, dataset)
    assert "v1.0-mini" in caught.value.where and "annotated" in caught.value.fix


def test_other_class_sets_and_other_results_are_refused(dataset):
    frame, seventeen = dataset[0], tuple(f"kind {k}" for k in range(17))
    one = Boxes([[1, 2, 0]], [[1, 1, 1]], [0], [[0, 0]], [16], [1], classes=seventeen)
    with pytest.raises(BadInput, match="17 classes, among them kind 0") as caught:
        to_global(one, frame)
    assert "traffic_cone" in caught.value.expected
    with pytest.raises(BadInput, match=rf"results\[{frame.token}\]\n  found: +17 classes"):
        score({frame.token: dataclasses.replace(one, frame="global")}, dataset)
    with pytest.raises(BadInput, match=r"found: +ndarray"):
        to_global(np.zeros((4, 4, 4)), frame)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("centers", np.nan), ("sizes", 0), ("yaws", np.inf), ("velocities", np.nan)],
        *[("scores", np.nan), ("scores", 1.5), ("scores", -0.5)],
    ],
)
def test_boxes_that_are_not_numbers_are_refused_before_the_devkit_drops_them(dataset, name, value):
    frame = next(iter(dataset))
    boxes, found = hit(frame), to_global(hit(frame), frame)
    for each in (boxes, found):
        getattr(each, name)[:1] = value
    with pytest.raises(BadInput, match=name):
        to_global(boxes, frame)
    with pytest.raises(BadInput, match=name):
        score({frame.token: found}, dataset)
