"""The trained mini: arms arrive, the picture counts, and what it was given in the folder is what the card says."""

import dataclasses

import numpy as np
import pytest

from data_scripts.tabletop import render, world
from helpers import models, policy
from helpers.files import ROOT
from helpers.metrics import actions


@pytest.fixture(scope="module")
def mini():
    return dataclasses.replace(policy.load(ROOT / "checkpoints/openvla_mini"), most=64)


def test_its_configuration_is_the_one_of_the_table(mini):
    config = models.config("openvla", "mini")
    assert (mini.config.towers, mini.config.image_size) == (config.towers, config.image_size)
    assert dict(mini.config.language) == dict(config.language) and mini.config.reasoning


def test_arms_arrive_by_the_picture_and_not_without(mini):
    scenes = [world.drawn(np.random.default_rng([17, number])) for number in range(6)]

    def act(pictures, instructions):
        return [found and found.action for found in mini.predict_each(pictures, instructions)]

    assert actions.reach(act, scenes, render.render).success.sum() >= 5
    blind = actions.reach(act, scenes, lambda scene, seed: np.full((96, 128, 3), 128, np.uint8), steps=3)
    assert blind.success.sum() <= 2


def test_its_reasoning_names_the_thing_of_the_instruction(mini):
    scene = world.drawn(np.random.default_rng([17, 0]))
    image = render.render(scene)
    for thing in scene.things:
        found = mini.predict(image, f"reach the {thing.name}")
        assert f"SUBTASK: {thing.name} [" in found.reasoning and len(found.ids) < 40
