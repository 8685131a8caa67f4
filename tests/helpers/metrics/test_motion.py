"""Errors of predicted paths: by hand, by the public evaluation, and over MiniDrive with controls."""

import json

import numpy as np
import pytest

from helpers.boxes import Boxes
from helpers.dataset import open_dataset
from helpers.errors import BadInput
from helpers.metrics import motion
from helpers.metrics.motion import Forecast, Truth
from tests.helpers.metrics.record_uniad import CASES, RECORD, objects


def forecast(places, scores, paths, name="car", frame="global"):
    count = len(places)
    centers = np.c_[np.asarray(places, np.float64).reshape(-1, 2), np.zeros(count)]
    boxes = Boxes(centers, np.ones((count, 3)), np.zeros(count), np.zeros((count, 2)), np.zeros(count, np.int64),
                  scores, frame, (name,))  # fmt: skip
    return Forecast(boxes, np.asarray(paths, np.float64).reshape(count, -1, 12, 2))


@pytest.mark.parametrize("seed", range(CASES))
def test_the_public_evaluation_says_the_same(seed):
    true, found = objects(seed)
    true = {token: [Truth(place, path, "car") for place, path in row] for token, row in true.items()}
    found = {token: forecast(*zip(*row, strict=True)) for token, row in found.items()}
    theirs = json.loads(RECORD.read_text())["motion"][seed]
    assert motion.measures(true, found) == pytest.approx(theirs, rel=1e-9)
    away = {token: Forecast(one.boxes, one.paths + 6) for token, one in found.items()}
    worse = motion.measures(true, away)
    assert worse["minADE"] > theirs["minADE"] + 0.3 and worse["EPA"] < theirs["EPA"]


def test_who_loses_the_worse_path_has_the_lower_errors_but_not_the_higher_epa():
    path = np.c_[np.arange(1.0, 13), np.zeros(12)]
    true = {"a": [Truth(np.zeros(2), path, "car"), Truth(np.array([0.0, 20]), np.add(path, (0, 20)), "car")]}
    both = forecast([(0, 0), (0, 20)], [0.5, 0.9], [[path], [np.add(path, (0, 21.9))]])
    better, worse = (motion.measures(true, {"a": found}) for found in (both, Forecast(both.boxes[:1], both.paths[:1])))
    assert worse["minADE"] == worse["minFDE"] == 0 and min(better["minADE"], better["minFDE"]) > 0.5
    assert (better["EPA"], worse["EPA"]) == pytest.approx((1, 0.5), abs=1e-4)


def test_who_finds_nothing_right_has_an_epa_and_no_errors():
    true = {"a": [Truth(np.zeros(2), np.zeros((12, 2)), "car")]}
    astray = forecast([(9, 9), (8, 8)], [0.5, 0.9], np.zeros((2, 1, 12, 2)))
    found = [motion.measures(true, {"a": Forecast(astray.boxes[:n], astray.paths[:n])}) for n in (0, 2)]
    assert [one["EPA"] for one in found] == pytest.approx([0, -1], abs=1e-4)
    assert all(np.isnan(one["minADE"]) and one["matched"] == 0 for one in found)
    assert np.isnan(motion.measures({"a": []}, {"a": astray})["EPA"])


def test_every_error_is_of_the_mode_that_is_best_for_it():
    truth = np.c_[np.arange(1.0, 13), np.zeros(12)]
    late, early = truth.copy(), np.add(truth, (0, 1))
    late[-1] += (0, 5)  # right but for its end
    early[-1] = truth[-1]  # 1 m aside but for its end
    found = motion.errors(np.stack([late, early]), truth)
    assert found == pytest.approx({"minADE": 5 / 12, "minFDE": 0.0, "MR": 0.0})
    assert motion.errors(late[None], truth)["MR"] == 1
    assert motion.errors(late[None], truth[:11]) == {"minADE": 0, "minFDE": 0, "MR": 0}
    assert motion.errors(late[None], truth[:0]) == {"minADE": 0, "minFDE": 0, "MR": 0}


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


def annotated(dataset, aside=0.0):
    """Sample token -> Forecast of the annotated vehicles, one mode on their path and one that stands."""
    results = {}
    for token in dataset.tokens:
        rows = [one for one in motion.known(dataset, token) if one.group == "car"]
        ends = [one.path[-1] if len(one.path) else one.place for one in rows]
        paths = [np.add(np.concatenate([one.path, np.repeat(end[None], 12 - len(one.path), axis=0)]), (0, aside))
                 for one, end in zip(rows, ends, strict=True)]  # fmt: skip
        still = [np.repeat(one.place[None], 12, axis=0) for one in rows]
        results[token] = forecast([one.place for one in rows], np.linspace(0.9, 0.5, len(rows)),
                                  np.stack([paths, still], 1) if rows else np.zeros((0, 2, 12, 2)))  # fmt: skip
    return results


def test_annotated_paths_are_right_and_paths_beside_them_are_not(dataset):
    right, wrong = motion.score(annotated(dataset), dataset), motion.score(annotated(dataset, 3.0), dataset)
    assert right["minADE/car"] < 1e-9 and right["MR/car"] == 0 and right["matched/car"] > 10
    assert wrong["minADE/car"] > 0.3 and wrong["matched/car"] == right["matched/car"]
    assert wrong["EPA/car"] < right["EPA/car"] and right["frames"] == 8
    assert np.isnan(right["minADE/pedestrian"]) and right["matched/pedestrian"] == 0


def test_paths_go_global_with_their_boxes(dataset):
    frame = dataset[0]
    path = np.arange(24.0).reshape(1, 1, 12, 2)
    moved = motion.to_global(forecast([(3.0, 4.0)], [0.5], path, frame="ego"), frame)
    flat = np.c_[path[0, 0], np.zeros(12), np.ones(12)] @ frame.ego2global.T
    np.testing.assert_allclose(moved.paths[0, 0], flat[:, :2], atol=1e-9)
    assert len(motion.to_global(forecast([(300.0, 4.0)], [0.5], path, frame="lidar"), frame).boxes) == 0


def test_what_cannot_be_scored_is_told(dataset):
    token, path = dataset.tokens[0], np.zeros((1, 1, 12, 2))
    with pytest.raises(BadInput, match=r"Forecast\.paths"):
        Forecast(forecast([(0, 0)], [1.0], path).boxes, np.full((1, 1, 12, 2), np.nan))
    with pytest.raises(BadInput, match="one mode at least"):
        Forecast(forecast([(0, 0)], [1.0], path).boxes, np.zeros((1, 0, 12, 2)))
    with pytest.raises(BadInput, match="boxes of Forecast"):
        Forecast(None, path)
    for found, said in ((forecast([(0, 0)], [1.0], path, frame="lidar"), "use to_global"), (1, "give paths")):
        with pytest.raises(BadInput, match=said):
            motion.score({token: found}, dataset)
    with pytest.raises(BadInput, match="truth"):
        motion.errors(path[0, :, :3], np.zeros((4, 2)))
