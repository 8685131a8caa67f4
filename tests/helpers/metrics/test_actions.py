"""Errors of actions, and arms that arrive or do not."""

import numpy as np
import pytest

from data_scripts.tabletop import render, world
from helpers.errors import BadInput
from helpers.metrics.actions import errors, reach

SCENES = [world.drawn(np.random.default_rng(seed)) for seed in range(6)]


def test_the_error_is_of_each_dimension_and_what_is_refused_is_counted():
    right = np.array([[0.0, 1.0], [2.0, 3.0], [5.0, 5.0]])
    found = errors([np.array([0.5, 1.0]), None, np.array([4.0, 7.0])], right)
    assert found.l1.tolist() == [0.75, 1.0] and found.refused == pytest.approx(1 / 3)


def test_who_refuses_what_it_gets_wrong_has_the_lower_error_but_refuses_more_and_does_not_arrive():
    right = np.zeros((2, 1))
    better, worse = errors([np.zeros(1), np.ones(1)], right), errors([np.zeros(1), None], right)
    assert better == (0.5, 0) and worse == (0, 0.5)
    silent = reach(lambda pictures, instructions: [None] * len(pictures), SCENES, render.render, 2)
    assert not silent.success.any() and len(silent.success) == len(SCENES)


@pytest.mark.parametrize("found", [[None, None], [np.zeros(2)], [np.zeros(3), np.zeros(3)],
                                   [np.zeros(2), np.zeros(3)], [np.full(2, np.nan), np.zeros(2)]])  # fmt: skip
def test_actions_that_cannot_be_compared_are_refused(found):
    with pytest.raises(BadInput, match="actions"):
        errors(found, np.zeros((2, 2)))


def perfect(scenes):
    """A policy that knows the scenes by their pictures' order: it is asked about those that still move."""
    moving = list(scenes)

    def act(pictures, instructions):
        actions = [scene.expert() for scene in moving]
        moving[:] = [scene.after(action) for scene, action in zip(moving, actions, strict=True)]
        moving[:] = [scene for scene in moving if not scene.closed]
        return actions

    return act


def test_an_expert_arrives_and_its_path_is_kept():
    found = reach(perfect(SCENES), SCENES, render.render)
    assert found.success.all() and found.tips.shape == (6, 8, 3)
    for row, scene in enumerate(SCENES):
        assert np.array_equal(found.tips[row, 0], scene.tip)
        assert np.linalg.norm(found.tips[row, -1] - scene.things[scene.target].top) < world.REACHED
        left = scene.distance * (1 - world.SHARE) ** np.arange(7)
        assert found.used[row] == 1 + np.argmax(left < world.NEAR)
    assert found.used.max() < 7


def test_who_has_no_action_stays_and_who_closes_far_away_fails():
    def mixed(pictures, instructions):
        return [None if row % 2 else np.zeros(7) for row in range(len(pictures))]

    found = reach(mixed, SCENES[:2], render.render, steps=2)
    assert not found.success.any() and found.used.tolist() == [1, 2]
    assert np.array_equal(found.tips[:, 0], found.tips[:, 2])
