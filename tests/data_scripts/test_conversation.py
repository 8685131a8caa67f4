"""Questions and answers against the world that they tell of, and the form that OmniDrive gives a planned path."""

import dataclasses
import json
import re

import numpy as np
import pytest
from shapely.geometry import Polygon

from data_scripts.minidrive import conversation, geometry, world
from helpers.dataset.questions import PLANNING_QUESTION, parse_path

FORM = r"Here is the planning trajectory \[PT(, \(([+-]\d+\.\d\d|0\.0), ([+-]\d+\.\d\d|0\.0)\)){6}\]\."


@pytest.fixture(scope="module")
def scene():
    return world.World("scene-9003", 10, 0)


def view(scene, k):
    return conversation.View(scene, k, dict.fromkeys(scene.in_range(float(scene.times[k])), (5, 1.0)))


def test_the_planned_path_is_where_the_ego_will_be(scene):
    """In the published form, for every key frame whose six next ones are there."""
    for k in range(10):
        pairs = conversation.questions(view(scene, k), np.random.default_rng(0))
        planned = [pair["answer"] for pair in pairs if pair["question"] == PLANNING_QUESTION]
        assert len(planned) == (k + 6 < 10)
        for answer in planned:
            assert re.fullmatch(FORM, answer)
            pose = geometry.pose_matrix(*scene.ego(scene.times[k]))
            later = np.array([scene.ego(t)[:2] for t in scene.times[k + 1 : k + 7]])
            expected = (np.linalg.inv(pose) @ np.insert(later, 2, [[0.0], [1.0]], axis=1).T).T[:, :2]
            np.testing.assert_allclose(parse_path(answer), expected, atol=0.011)


def body(x, y, yaw, length, width):
    corners = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * (length / 2, width / 2)
    return Polygon(corners @ geometry.rotation_z(yaw)[:2, :2].T + (x, y))


def test_a_path_meets_what_stands_on_it():
    """One thing of each kind in the way, all else taken away: hit at the step at which the outlines first meet."""
    scene = world.World("scene-9003", 10, 0)
    kinds, steps = {scene.items[i].category: scene.items[i] for i in scene.agents}, set()
    for number, (category, item) in enumerate(kinds.items()):
        place = scene.ego(1.0 + 0.5 * (1 + number % 6))
        scene.items, scene.agents = [dataclasses.replace(item, pose=lambda t, place=place: place)], [0]
        found = view(scene, 2)
        thing = body(*place, item.size[1], item.size[0])
        for j in range(1, 7):
            x, y, _ = scene.ego(1.0 + 0.5 * j)
            before = scene.ego(0.5 + 0.5 * j)
            yaw = np.arctan2(y - before[1], x - before[0])
            if body(x + 1.485793 * np.cos(yaw), y + 1.485793 * np.sin(yaw), yaw, 4.084, 1.85).intersects(thing):
                break
        steps.add(j)
        name = conversation.NAMES[category]
        assert conversation.outcome(found, found.path) == f"You would hit a {name} after {0.5 * j:.1f} s."
    assert len(kinds) >= 10
    assert len(steps) > 2


def test_nobody_is_hit_on_the_true_path_and_a_stop_stays_behind_it(scene):
    for k in range(10):
        found = view(scene, k)
        assert conversation.outcome(found, found.path) == "Nothing would happen."
        stop = conversation.path(scene, found.t, factor=0.0)
        assert (np.diff(stop[:, 0]) >= -1e-9).all() and stop[-1, 0] < found.path[-1, 0]


def test_leaving_the_road_and_the_oncoming_lane_are_told():
    free = world.World("scene-9003", 10, 0)
    free.agents = []
    found = view(free, 2)
    ahead = np.stack([np.arange(1, 7) * 3.0, np.zeros(6)], -1)
    sideways = lambda meters: ahead + np.stack([np.zeros(6), np.linspace(0, meters, 6)], -1)  # noqa: E731
    assert conversation.outcome(found, sideways(5.5)).startswith("You would be in the oncoming lane after")
    assert conversation.outcome(found, sideways(-16.0)).startswith("You would leave the road after")


def test_what_is_told_is_true(scene):
    found = view(scene, 4)
    pairs = {pair["question"]: pair["answer"] for pair in conversation.conversation(found)}
    assert pairs["How fast are you?"] == f"{scene.ego_speed(2.0):.1f} m/s."
    near = [i for i in scene.in_range(2.0) if np.hypot(*np.subtract(scene.items[i].pose(2.0), scene.ego(2.0))[:2]) < 30]
    cars = sum(scene.items[i].category == "vehicle.car" for i in near)
    assert f"{cars} car{'s' * (cars != 1)}" in pairs["What is within 30 m of you?"]
    nobody = conversation.View(scene, 4, {})
    assert conversation.conversation(nobody)[0]["answer"] == "Nothing."
    assert conversation.conversation(nobody)[1]["answer"] == "There is none within 50 m."


@pytest.mark.parametrize(("aside", "expected"), [(2.0, 0), (1.99, 2), (-1.99, 2), (-2.0, 1)])
def test_a_command_follows_from_where_the_path_ends(aside, expected):
    assert conversation.command(np.array([[5.0, 9.0], [10.0, aside]])) == expected


def test_every_sample_has_its_four_files(minidrive):
    samples = json.loads((minidrive / "v1.0-mini/sample.json").read_text())
    for kind in ("conv", "desc", "keywords", "vqa"):
        assert {path.stem for path in (minidrive / kind / "val").iterdir()} == {row["token"] for row in samples}
        assert list((minidrive / kind / "train").iterdir()) == []
    assert conversation.split_of("scene-0061") == "train"
