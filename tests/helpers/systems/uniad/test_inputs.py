"""Inputs of UniAD out of a data set: places, motion, commands and the order of colors."""

import dataclasses

import numpy as np
import pytest

from helpers.dataset import open_dataset
from helpers.systems.uniad.anchors import plain
from helpers.systems.uniad.config import CONFIGS
from helpers.systems.uniad.inputs import inputs
from helpers.systems.uniad.stages import stages

SMALL = dataclasses.replace(CONFIGS["mini"], image_scale=0.05, image_size=(64, 96))
PLACES = [0, 1, 2, 17]  # of can_bus: position and yaw


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


def test_they_are_those_of_the_configuration(dataset):
    found = inputs(dataset[1], dataset[0], SMALL)
    types, shapes = SMALL.input_types(), SMALL.input_shapes()
    assert found.keys() == shapes.keys() - SMALL.states.keys()
    for name, array in found.items():
        assert (array.shape, array.dtype) == (shapes[name], types[name]), name
    assert found["timestamp"] == pytest.approx([0.5], abs=0.05) and found["use_prev_bev"] == [1]


def test_a_point_goes_to_the_map_as_a_row(dataset):
    frame, point = dataset[2], np.array([3.0, 10.0, -1.0])
    found = inputs(frame, dataset[1], SMALL)
    there = frame.ego2global @ frame.lidar2ego @ [*point, 1]
    np.testing.assert_allclose(point @ found["l2g_r_mat"][0] + found["l2g_t"][0], there[:3], atol=1e-3)


def test_motion_is_relative_and_where_a_scene_begins_as_the_switch_says(dataset):
    absolute = dataclasses.replace(SMALL, first_motion="absolute")
    last = next(i for i, frame in enumerate(dataset) if frame.scene != dataset[0].scene)
    frame, before, other = dataset[1], dataset[0], dataset[last]
    for config in (SMALL, absolute):
        moved = inputs(frame, before, config)["img_metas_can_bus"]
        np.testing.assert_allclose(moved[PLACES], (frame.can_bus - before.can_bus)[PLACES], atol=1e-4)
        assert moved[16] == np.float32(frame.can_bus[16])
    first = inputs(before, None, SMALL)
    assert not first["img_metas_can_bus"][PLACES].any() and first["use_prev_bev"] == [0]
    np.testing.assert_allclose(
        inputs(before, None, absolute)["img_metas_can_bus"][PLACES], before.can_bus[PLACES], rtol=1e-5
    )
    jump = inputs(other, frame, absolute)["img_metas_can_bus"]
    np.testing.assert_allclose(jump[PLACES], (other.can_bus - frame.can_bus)[PLACES], rtol=1e-5, atol=1e-4)
    assert not inputs(other, frame, SMALL)["img_metas_can_bus"][PLACES].any()


def test_commands_and_colors_are_the_networks(dataset):
    frame = dataset[0]
    usual, turned = (inputs(frame, None, dataclasses.replace(SMALL, bgr=bgr))["img"] for bgr in (False, True))
    assert np.array_equal(usual[:, :, ::-1], turned) and SMALL.pictures == "img"
    assert dataclasses.replace(SMALL, bgr=True).pictures == ""
    left, right, ahead = ([(0.0, 0.0), (9.0, aside)] for aside in (3.0, -3.0, 0.5))
    for path, command in ((right, 0), (left, 1), (ahead, 2)):
        driven = dataclasses.replace(frame, future_path=np.array(path))
        assert inputs(driven, None, SMALL)["command"] == [command]


def test_plain_anchors_go_ahead_and_turn_to_both_sides():
    """Ahead is -x in an object's own frame; faster groups come farther."""
    ends = plain(CONFIGS["base"])[:, :, -1]
    assert ends.shape == (4, 6, 2) and (ends[..., 0] < 0.2).all()
    assert (ends[:, :3, 1] > 0).all() and (ends[:, 3:, 1] < 0).all()
    assert np.all(np.diff(np.linalg.norm(ends, axis=-1).max(1)) < 0)


def test_the_stages_are_told_for_every_configuration():
    for config in CONFIGS.values():
        rows, memory = stages(config)
        assert len(rows) == 7 and {memory[0], memory[1]} <= {name for name, *_ in rows}
