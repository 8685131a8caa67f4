"""Planned paths by hand-computed cases, and over MiniDrive as OmniDrive's own evaluation scored the same answers."""

import dataclasses
import json
import os

import numpy as np
import pytest

from helpers.dataset import open_dataset
from helpers.dataset.questions import PLANNING_QUESTION, planning_answer
from helpers.errors import BadInput
from helpers.metrics import planning
from helpers.metrics.planning import answers, surroundings
from helpers.metrics.planning.surroundings import Surroundings, corners, raster

AHEAD = np.stack([3.0 * np.arange(1, 7), np.zeros(6)], -1)  # 6 m/s
FREE = np.zeros((6, 1000, 1000), bool)
ROAD = np.ones((1000, 1000), bool)
FRONT = 0.5 + 0.985793 + 4.084 / 2  # m from the rear axle


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


@pytest.fixture
def frame(dataset):
    return dataclasses.replace(dataset[0], future_path=AHEAD)


def moved(path, aside):
    return path + np.array([0.0, aside])


def standing(*boxes):
    """Vehicles that stay where they are: x, y, yaw, length, width."""
    return Surroundings(np.repeat(raster([corners(*box) for box in boxes])[None], 6, axis=0), ROAD)


def test_both_kinds_of_l2(frame):
    path = AHEAD + np.stack([np.zeros(6), np.arange(1.0, 7.0)], -1)
    row = planning.measure(path, frame, Surroundings(FREE, ROAD))
    told = {name: row[name] for name in row if name.startswith("L2")}
    assert told == {
        **{"L2/mean@1s": 1.5, "L2/at@1s": 2.0, "L2/mean@2s": 2.5, "L2/at@2s": 4.0},
        **{"L2/mean@3s": 3.5, "L2/at@3s": 6.0},
    }
    assert not any(row[f"{name}@{k}s"] for name in ("collision", "boundary") for k in (1, 2, 3))


@pytest.mark.parametrize(("gap", "hit"), [(-0.2, True), (0.2, False)])
@pytest.mark.parametrize("turn", [0.0, 0.7, -2.0, np.pi / 2])
def test_the_body_meets_a_vehicle_just_before_it(gap, hit, turn):
    """At the last step, in every direction: its rear is 0.2 m inside the body's front, or 0.2 m beyond it."""
    way = np.array([np.cos(turn), np.sin(turn)])
    path = np.outer(np.arange(1.0, 7.0) * 2, way)
    middle = path[-1] + (FRONT + gap + 2.0) * way
    found = standing((*middle, turn, 4.0, 1.8)).collisions(path)
    assert found.tolist() == [False] * 5 + [hit]


@pytest.mark.parametrize(("aside", "hit"), [(1.85 - 0.2, True), (1.85 + 0.2, False), (-1.65, True), (-2.05, False)])
def test_the_body_meets_a_vehicle_beside_it(aside, hit):
    assert standing((3.0, aside, 0.0, 4.0, 1.85)).collisions(np.zeros((6, 2))).tolist() == [hit] * 6


def test_short_steps_do_not_turn_the_body():
    beside = standing((1.5, 2.5, 0.0, 4.0, 1.8))
    creeping = np.outer(np.arange(1, 7), (0.0, 0.1))
    assert not beside.collisions(creeping).any()
    assert beside.collisions(np.outer(np.arange(1, 7), (0.0, 1.1)))[0]


def test_a_vehicle_counts_at_its_own_time_and_not_where_the_driver_meets_it_too(frame):
    occupied = FREE.copy()
    occupied[3] = raster([corners(12.0 + 1.5, 0.0, 0.0, 4.0, 1.8)])
    row = planning.measure(moved(AHEAD, 0.1), frame, Surroundings(occupied, ROAD))
    assert [row[f"collision@{k}s"] for k in (1, 2, 3)] == [0, 0, 0]  # the driver is there as well
    aside = dataclasses.replace(frame, future_path=moved(AHEAD, 8.0))
    row = planning.measure(AHEAD, aside, Surroundings(occupied, ROAD))
    assert [row[f"collision@{k}s"] for k in (1, 2, 3)] == [0, 1, 1]
    assert not Surroundings(occupied[::-1], ROAD).collisions(AHEAD)[3]


def test_the_boundary_counts_from_where_it_is_crossed_unless_it_was_so_before(frame):
    road = ROAD.copy()
    road[:, round((50 + 12.0) * 10) :] = False  # 12 m ahead the road ends
    row = planning.measure(AHEAD, frame, Surroundings(FREE, road))
    assert [row[f"boundary@{k}s"] for k in (1, 2, 3)] == [0, 1, 1]  # the front is at 9 + 3.5 m after 1.5 s
    road[:, round((50 + 3.0) * 10) :] = False
    row = planning.measure(AHEAD, frame, Surroundings(FREE, road))
    assert [row[f"boundary@{k}s"] for k in (1, 2, 3)] == [0, 0, 0]


def test_the_road_has_its_holes(dataset):
    ring = np.array([(-20.0, -20.0), (20.0, -20.0), (20.0, 20.0), (-20.0, 20.0)])
    found = surroundings._road([[ring, ring / 4]], np.eye(4))
    middles = -49.95 + 0.1 * np.arange(1000)
    x, y = np.meshgrid(middles, middles)
    reach = np.maximum(np.abs(x), np.abs(y))
    assert found[(reach > 5.2) & (reach < 19.8)].all() and not found[(reach < 4.8) | (reach > 20.2)].any()
    pose = np.eye(4)
    pose[:2, 3] = (10.0, 0.0)
    shifted = surroundings._road([[ring]], pose)
    assert shifted[500, 500 - 290] and not shifted[500, 500 + 110]


def test_the_driver_himself_makes_no_mistake(dataset):
    """On the road, into nobody: MiniDrive's own poses against its own vehicles and map, as far as they are known."""
    for frame in dataset:
        around = Surroundings.of(dataset, frame)
        path = np.concatenate([frame.future_path, np.zeros((6, 2))])[:6]
        known = len(frame.future_path)
        assert not around.collisions(path)[:known].any() and not around.off_road(path)[0][:known].any()
        assert not around.off_road(path)[1] and around.occupied[: known or 6].any() == (known > 0)
        aside = moved(path, -12.0)
        assert around.off_road(aside)[0].all()


def test_a_driver_who_goes_on_as_he_goes(frame):
    motion = np.zeros(13)
    motion[10] = 4.0
    going = dataclasses.replace(frame, can_bus_pose=motion)
    np.testing.assert_allclose(planning.BASELINES["constant velocity"](going)[:, 0], [2, 4, 6, 8, 10, 12])
    motion[4] = 1.0
    faster = planning.BASELINES["constant acceleration"](going)
    np.testing.assert_allclose(faster[:, 0], [2.125, 4.5, 7.125, 10, 13.125, 16.5])
    motion[4] = -4.0
    np.testing.assert_allclose(planning.BASELINES["constant acceleration"](going)[:, 0], [1.5, *[2.0] * 5])
    motion[[4, 10]] = -1.0, 0.0
    assert (planning.BASELINES["constant acceleration"](going)[:, 0] <= 0).all() and not faster[:, 1].any()


@pytest.fixture
def known(dataset, monkeypatch):
    """The data set with a known future at each frame, and no maps or vehicles to read."""
    for i in range(len(dataset)):
        frame = dataset[i]
        monkeypatch.setitem(dataset._frames, i, dataclasses.replace(frame, future_path=AHEAD))
    monkeypatch.setattr(Surroundings, "of", lambda dataset, frame: Surroundings(FREE, ROAD))
    return dataset


def test_a_folder_of_answers(known, tmp_path):
    """Two good ones, one that does not parse, one absent: the rest of the split is missing."""
    for token, offset in zip(known.tokens[:2], (0.0, 1.0), strict=True):
        said = planning_answer(moved(AHEAD, offset))
        pairs = [(PLANNING_QUESTION, said), ("And?", planning_answer(moved(AHEAD, 9.0)))]
        answers.save(tmp_path, token, pairs[:: -1 if offset else 1])
    answers.save(tmp_path, known.tokens[2], [(PLANNING_QUESTION, "I would rather walk.")])
    (tmp_path / "notes.txt").write_text("not an answer")
    found = planning.eval_planning(tmp_path, known, progress=False)
    assert found["L2/mean@3s"] == pytest.approx(0.5) and found["L2/at@1s"] == pytest.approx(0.5)
    assert (found["samples"], found["missing"], found["parsed"]) == (2, len(known) - 3, pytest.approx(2 / 3))
    assert json.loads((tmp_path / known.tokens[0]).read_text())[1] == {"Q": "And?", "A": [pairs[1][1]]}


def test_who_gives_no_path_where_it_is_far_off_has_a_lower_distance_but_fewer_answers(known):
    paths = {token: moved(AHEAD, 4.0 * (k == 0)) for k, token in enumerate(known.tokens)}
    better, worse = (planning.score(paths | left_out, known) for left_out in ({}, {known.tokens[0]: None}))
    assert worse["L2/mean@3s"] == pytest.approx(0) and better["L2/mean@3s"] == pytest.approx(4 / len(known))
    assert (better["parsed"], worse["parsed"]) == (1, pytest.approx(1 - 1 / len(known)))
    assert worse["samples"] == better["samples"] - 1


def test_one_absurd_answer_does_not_end_the_evaluation(known, tmp_path):
    """A language model may say any number: what nobody could drive to counts as no path."""
    for token, said in zip(known.tokens[:2], (AHEAD, AHEAD * 1e8), strict=True):
        answers.save(tmp_path, token, [(PLANNING_QUESTION, planning_answer(said))])
    found = planning.eval_planning(tmp_path, known, progress=False)
    assert (found["samples"], found["parsed"], found["L2/mean@3s"]) == (1, 0.5, pytest.approx(0))


@pytest.mark.parametrize("what", ["folder", "link", "pipe"])
def test_what_stands_in_the_place_of_an_answer_is_named(known, tmp_path, what):
    path = tmp_path / known.tokens[0]
    {"folder": path.mkdir, "link": lambda: path.symlink_to("nowhere"), "pipe": lambda: os.mkfifo(path)}[what]()
    answers.save(tmp_path, known.tokens[1], [(PLANNING_QUESTION, planning_answer(AHEAD))])
    with pytest.raises(BadInput, match=rf"{known.tokens[0]}\n"):
        planning.eval_planning(tmp_path, known, progress=False)
    with pytest.raises(BadInput, match="dataset of eval_planning"):
        planning.eval_planning(tmp_path, None)
    with pytest.raises(BadInput, match="at least"):
        answers.save(tmp_path, known.tokens[2], [])
    assert not (tmp_path / known.tokens[2]).exists()


def test_baselines_of_a_split(known):
    found = planning.baseline("constant velocity", known)
    assert found["samples"] == len(known) and found["parsed"] == 1
    with pytest.raises(BadInput, match="one of constant velocity, constant acceleration"):
        planning.baseline("psychic", known)


def test_frames_without_a_known_future_are_not_scored(dataset, frame):
    with pytest.raises(BadInput, match="3 key frames after this one"):
        planning.measure(AHEAD, dataset[0], Surroundings(FREE, ROAD))
    with pytest.raises(BadInput, match="none to score"):
        planning.score({token: AHEAD for token in dataset.tokens}, dataset)
    for rows in ([1], [{"a": 1.0}, {"b": 2.0}]):
        with pytest.raises(BadInput, match="rows of `measure`"):
            planning.summary(rows)
    with pytest.raises(BadInput, match="planner of baseline"):
        planning.baseline(5, dataset)
    with pytest.raises(BadInput, match="1 tokens not in the split, first 'x'"):
        planning.score({"x": AHEAD}, dataset)


@pytest.mark.parametrize("path", [AHEAD[:5], AHEAD * np.nan, AHEAD[:, :1], AHEAD * 1e200, AHEAD * 1j])
def test_what_is_no_path_is_refused(frame, path):
    with pytest.raises(BadInput, match=f"path of {frame.token}"):
        planning.measure(path, frame, Surroundings(FREE, ROAD))


@pytest.mark.parametrize("text", ["", "{}", "[]", '[{"Q": "?"}]', '[{"A": []}]', '[{"A": [3]}]', '[{"A": "x"}]', "[3]"])
def test_a_broken_answer_is_named(dataset, tmp_path, text):
    (tmp_path / dataset.tokens[0]).write_text(text)
    with pytest.raises(BadInput, match=rf"{dataset.tokens[0]}\n"):
        planning.eval_planning(tmp_path, dataset, progress=False)


def test_no_answers_at_all(dataset, tmp_path):
    with pytest.raises(BadInput, match="no answer to a sample of this split"):
        planning.eval_planning(tmp_path, dataset)
    with pytest.raises(BadInput, match="no folder"):
        planning.eval_planning(tmp_path / "nowhere", dataset)
