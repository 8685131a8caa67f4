"""AMOTA and what comes with it: nuscenes-devkit's own numbers, and controls that must be worse."""

import json
from pathlib import Path

import numpy as np
import pytest
from nuscenes.eval.common.config import config_factory

from helpers.boxes import Boxes, transform
from helpers.dataset import open_dataset
from helpers.errors import BadInput
from helpers.metrics import detection, tracking
from helpers.metrics.tracking import Tracks, matching, scenes
from tests.builders.tracks import NAMES, SPOILS, annotated, random_scenes

RECORDED = json.loads(Path(__file__).parents[1].joinpath("tracking_devkit.json").read_text())
RENAMED = {"amota": "AMOTA", "amotp": "AMOTP"} | tracking.NAMES


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive, split="mini_val")


@pytest.fixture(scope="module")
def scored(dataset):
    return {spoil: tracking.score(annotated(dataset, spoil), dataset) for spoil in SPOILS}


SQUARES = 1e-4  # m: the devkit takes distances from squares of places on the map, of some 1e6 m2 in 64 bits


def same(name, ours, theirs):
    least = SQUARES if "MOTP" in name else 1e-9
    return np.isnan(ours) if theirs is None else ours == pytest.approx(theirs, rel=1e-7, abs=least)


@pytest.mark.parametrize("spoil", RECORDED["minidrive"])
def test_a_data_set_is_scored_as_the_devkit_scores_it(scored, spoil):
    theirs = {RENAMED.get(name, name): value for name, value in RECORDED["minidrive"][spoil].items()}
    ours = scored[spoil]
    assert [name for name, value in theirs.items() if name in ours and not same(name, ours[name], value)] == []
    known = {name for name, value in theirs.items() if value is not None}
    assert known <= set(ours) and set(ours) - {*theirs} == {"frames"}


@pytest.mark.parametrize("seed", RECORDED["random"])
def test_every_threshold_counts_as_the_devkit_counts(seed):
    config, (true, found) = config_factory(tracking.CONFIG), random_scenes(int(seed))
    frames = scenes.views(true, found, "car")
    rows = RECORDED["random"][seed]
    assert len(rows) > 2 and sum(row["ids"] for row in rows) > 20 and sum(row["frag"] for row in rows) > 20
    for row in rows:
        above = [[view.above(row["confidence"] - 1e-9) for view in views] for views in frames]
        ours = matching.measures(matching.follow(above, config.dist_th_tp)[0])
        assert [name for name, value in ours.items() if not same(name, value, row[name])] == []


def test_ids_that_are_shuffled_lower_it_and_boxes_do_not_change(scored):
    exact, shuffled = scored["exact"], scored["shuffled"]
    assert exact["AMOTA"] > 0.9 and exact["IDS"] == exact["FP"] == exact["FN"] == 0 and exact["MOTP"] < 1e-9
    assert shuffled["AMOTA"] < exact["AMOTA"] - 0.1 and shuffled["IDS"] > 0
    for spoil in ("switched", "sparse", "spurious", "jitter"):
        assert scored[spoil]["AMOTA"] < exact["AMOTA"]
    assert scored["switched"]["IDS"] > 0 and scored["jitter"]["MOTP"] > 0.3


def test_who_loses_a_class_switches_less_but_has_no_higher_amota(dataset, scored):
    better, lost = scored["switched"], annotated(dataset, "switched")
    for token, tracks in lost.items():
        kept = np.array(tracks.boxes.names, object) != "car"
        lost[token] = Tracks(tracks.boxes[kept], tracks.ids[kept])
    worse = tracking.score(lost, dataset)
    assert worse["IDS"] < better["IDS"] and worse["AMOTA"] < better["AMOTA"] and worse["AMOTP"] > better["AMOTP"]
    assert worse["MOTP"] > better["MOTP"] and worse["recall"] < better["recall"]


def test_no_track_at_all_has_the_worst_of_everything(scored):
    silent = scored["silent"]
    assert silent["AMOTA"] == silent["recall"] == silent["TP"] == 0 and silent["AMOTP"] == 2
    assert silent["FN"] == scored["exact"]["TP"] and silent["ML"] > 0


def test_a_part_of_a_split_is_scored_on_its_own_frames(dataset):
    found = annotated(dataset, "exact")
    part = {token: found[token] for token in list(found)[:4]}
    assert tracking.score(part, dataset)["TP"] < tracking.score(found, dataset)["TP"]
    everything = open_dataset(dataset.dataroot, split="all")
    assert tracking.score(found, everything) == tracking.score(found, dataset)


def test_a_submission_is_what_the_devkit_reads(dataset, tmp_path):
    found = annotated(dataset, "exact")
    path = tracking.write(found, tmp_path / "tracks.json")
    content = json.loads(path.read_text())
    assert content["meta"]["use_camera"] and set(content["results"]) == set(dataset.tokens)
    row = content["results"][dataset.tokens[0]][0]
    fields = "sample_token translation size rotation velocity tracking_id tracking_name tracking_score"
    assert set(row) == set(fields.split()) and row["tracking_name"] in NAMES and isinstance(row["tracking_id"], str)


def boxes(frame, count=3, classes=("car", "barrier", "pedestrian")):
    zeros = np.zeros(count)
    centers = np.c_[zeros, np.arange(count) * 25.0, zeros]
    return Boxes(
        centers, np.ones((count, 3)), zeros, np.zeros((count, 2)), np.arange(count), zeros + 0.5, frame, classes
    )


def test_tracks_go_global_with_their_ids_and_without_what_is_far(dataset):
    frame = dataset[0]
    moved = tracking.to_global(Tracks(boxes("ego"), np.array([7, 8, 9])), frame)  # at 0, 25 and 50 m: a pedestrian's 40
    assert moved.ids.tolist() == [7, 8] and moved.boxes.frame == "global"
    np.testing.assert_allclose(moved.boxes.centers, detection.to_global(boxes("ego"), frame).centers)
    np.testing.assert_allclose(moved.boxes.centers[0], transform(boxes("ego"), frame.ego2global, "global").centers[0])
    rows = tracking.submission({frame.token: moved})["results"][frame.token]
    assert [row["tracking_name"] for row in rows] == ["car"]  # a barrier is not tracked


@pytest.mark.parametrize("ids", [[1, 2], [1, 1, 2], [0.5, 1, 2], [[1, 2, 3]], [2**64 - 1, 1, 2]])
def test_ids_that_are_none_are_refused(ids):
    with pytest.raises(BadInput, match=r"Tracks\.ids"):
        Tracks(boxes("global"), np.array(ids))


def test_what_cannot_be_scored_is_told(dataset):
    token = dataset.tokens[0]
    with pytest.raises(BadInput, match="give ids"):
        tracking.score({token: boxes("global")}, dataset)
    with pytest.raises(BadInput, match="lidar frame"):
        tracking.score({token: Tracks(boxes("lidar"), np.arange(3))}, dataset)
    with pytest.raises(BadInput, match="not in the split"):
        tracking.score({"x": Tracks(boxes("global"), np.arange(3))}, dataset)
    with pytest.raises(BadInput, match="no sample"):
        tracking.score({}, dataset)
    for make in (
        lambda: Tracks(None, [1]),
        lambda: Tracks(boxes("global"), None),
        lambda: tracking.submission({"x": 3}),
    ):
        with pytest.raises(BadInput):
            make()
