"""Metrics against the unmodified devkit, and for perfect, absent and partial detections."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.evaluate import DetectionEval

from helpers.boxes import CLASSES, Boxes, decode, encode
from helpers.dataset import open_dataset, stream
from helpers.errors import BadInput
from helpers.metrics.detection import ATTRIBUTES, detect, detection, evaluate, submission, to_global

CONFIG = SimpleNamespace(image_scale=0.25, image_size=(256, 416), bev_h=3, bev_w=2, embed_dims=5)


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
    code = encode(boxes) + noise * rng.standard_normal((len(boxes), 10))
    return to_global(decode(code, boxes.labels, rng.random(len(boxes))), frame)


def scored_classes(dataset, frames):
    """Classes with ground truth that the devkit counts: well within range and hit by lidar."""
    ranges = config_factory("detection_cvpr_2019").class_range
    names = set()
    for frame in frames:
        boxes = hit(frame)
        names |= {n for n, c in zip(boxes.names, boxes.centers, strict=True) if np.hypot(*c[:2]) < ranges[n] - 2}
    return names


def test_annotations_score_one_in_every_class_present(dataset):
    result = detection({frame.token: through_the_code(frame) for frame in dataset}, dataset)
    present = scored_classes(dataset, dataset)
    assert len(present) >= 5
    assert {name: result[f"AP/{name}"] for name in present} == pytest.approx(dict.fromkeys(present, 1.0), abs=5e-3)
    assert result["frames"] == len(dataset)
    if len(present) == len(CLASSES):
        assert result["NDS"] >= 0.99


def test_equal_to_the_unmodified_devkit(dataset, tmp_path, capsys):
    results = {frame.token: through_the_code(frame, keep=0.8, noise=0.1) for frame in dataset}
    ours = detection(results, dataset)
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
    empty = {frame.token: Boxes.empty("global") for frame in dataset[2:]}
    alone, whole = detection(part, dataset), detection({**part, **empty}, dataset)
    assert alone["frames"] == 2 and whole["frames"] == len(dataset)
    for name in scored_classes(dataset, dataset[:2]):
        assert alone[f"AP/{name}"] == pytest.approx(1, abs=5e-3)
    assert whole["mAP"] < 0.8 * alone["mAP"]


def test_no_detections_and_random_ones_score_nothing(dataset):
    nothing = detection({frame.token: Boxes.empty("global") for frame in dataset}, dataset)
    assert nothing["NDS"] == nothing["mAP"] == 0
    rng = np.random.default_rng(0)
    random = {}
    for frame in dataset:
        n = 100
        centers = rng.uniform([-50, -50, -2], [50, 50, 1], (n, 3))
        boxes = Boxes(centers, rng.uniform(1, 5, (n, 3)), rng.uniform(-3, 3, n), rng.normal(size=(n, 2)),
                      rng.integers(0, 10, n), rng.random(n))  # fmt: skip
        random[frame.token] = to_global(boxes, frame)
    assert detection(random, dataset)["mAP"] < 0.03


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
    box = Boxes([[0, 0, 0]], [[1, 1, 1]], [0], [[0, -speed]], [CLASSES.index(name)], [1], "global")
    assert submission({"t": box})["results"]["t"][0]["attribute_name"] == expected
    assert set(ATTRIBUTES) == set(CLASSES)


def test_to_global_keeps_the_range_of_each_class(dataset):
    frame = dataset[0]
    distance = [49, 51, 39, 41, 29, 31]
    labels = [CLASSES.index(name) for name in ("car", "car", "bicycle", "bicycle", "barrier", "barrier")]
    in_ego = np.array([[d, 0, 0, 1] for d in distance], float)
    centers = (in_ego @ np.linalg.inv(frame.lidar2ego).T)[:, :3]
    boxes = Boxes(centers, np.ones((6, 3)), np.zeros(6), np.zeros((6, 2)), labels, np.ones(6))
    kept = to_global(boxes, frame)
    assert kept.frame == "global" and kept.names == ["car", "bicycle", "barrier"]
    np.testing.assert_allclose(kept.centers, (in_ego[::2] @ frame.ego2global.T)[:, :3], atol=1e-9)


class Network:
    """Stands in for a network that detects the annotations; keeps what it was fed."""

    def __init__(self, frames):
        self.frames, self.fed, self.given = iter(frames), [], []

    def __call__(self, feeds):
        boxes = hit(next(self.frames))
        classes = np.full((2, 1, len(boxes), 10), -20, np.float32)
        classes[-1, 0, range(len(boxes)), boxes.labels] = 5
        coords = np.tile(encode(boxes), (2, 1, 1, 1))
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


def test_evaluate_a_limited_number_of_frames(dataset):
    network = Network(dataset)
    assert evaluate(network, dataset, CONFIG, progress=False, limit=2)["frames"] == len(network.fed) == 2
    frames = [frame for frame, boxes in detect(Network(dataset), dataset, CONFIG, progress=False, limit=3)]
    assert frames == dataset[:3]


def test_evaluate_frames_read_before(dataset):
    pairs = list(stream(dataset, CONFIG))
    whole, again = (evaluate(Network(dataset), dataset, CONFIG, False, frames=frames) for frames in (None, pairs))
    assert whole == pytest.approx(again, abs=1e-12)
    some = [pair for pair in pairs if pair[0].index < 2]
    network = Network([frame for frame, _ in some])
    assert evaluate(network, dataset, CONFIG, False, frames=some)["frames"] == len(network.fed) == len(some)
    assert [feeds["prev_bev"].any() for feeds in network.fed] == [frame.index > 0 for frame, _ in some]
    assert evaluate(Network(dataset), dataset, CONFIG, False, limit=1, frames=pairs)["frames"] == 1


def test_bad_input_is_named(dataset):
    token = dataset[0].token
    with pytest.raises(BadInput, match="not in the split"):
        detection({"nothing": Boxes.empty("global")}, dataset)
    with pytest.raises(BadInput, match="no sample"):
        detection({}, dataset)
    with pytest.raises(BadInput, match="use to_global"):
        detection({token: dataset[0].boxes}, dataset)
    with pytest.raises(BadInput, match="lidar frame"):
        to_global(Boxes.empty("global"), dataset[0])
    many = dataset[0].boxes[np.zeros(501, int)]
    with pytest.raises(BadInput, match="at most 500"):
        detection({token: many}, dataset)
