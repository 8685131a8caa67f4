"""The box code of OmniDrive and its inverse, outputs to boxes and lanes; the configuration's checks. Needs no torch."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import models
from helpers.boxes import Boxes, transform
from helpers.dataset import CLASSES
from helpers.errors import BadInput
from helpers.systems.omnidrive.config import CONFIGS
from helpers.systems.omnidrive.decode import decode_boxes, decode_lanes, decode_outputs, encode_boxes
from tests.helpers.test_boxes import assert_same, random_boxes

MINI = CONFIGS["mini"]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_decode_inverts_encode(seed):
    boxes = dataclasses.replace(random_boxes(seed, classes=CLASSES), frame="ego")
    code = encode_boxes(boxes)
    assert code.shape == (7, 10) and code.dtype == np.float32
    assert_same(decode_boxes(code, boxes.labels, boxes.scores), boxes, atol=1e-5)


def test_code_of_one_box_by_hand():
    """The length, along the heading, comes before the width; the yaw is the frame's own."""
    box = Boxes([[1, 2, 3]], [[2, 4, 1.5]], [0.5], [[5, 6]], [3], [1], "ego")
    expected = [1, 2, 3, np.log(4), np.log(2), np.log(1.5), np.sin(0.5), np.cos(0.5), 5, 6]
    np.testing.assert_allclose(encode_boxes(box)[0], expected, atol=1e-6)
    with pytest.raises(BadInput, match="ego frame"):
        encode_boxes(transform(box, np.eye(4), "lidar"))


def outputs(queries=40, levels=2, logit=-6.0):
    classes = np.full((levels, 1, queries, 10), logit, np.float32)
    codes = np.zeros((levels, 1, queries, 10), np.float32)
    codes[..., 7] = 1
    return classes, codes


def test_the_best_pairs_of_the_last_level_become_boxes():
    classes, codes = outputs()
    classes[-1, 0, 3, 8], classes[-1, 0, 3, 0], classes[-1, 0, 7, 9] = 2.0, 1.0, 3.0
    classes[0, 0, 5, 5] = 9.0  # an earlier level does not count
    codes[-1, 0, 3, :3] = 10, 20, 1
    boxes = MINI.decode({"all_cls_scores": classes, "all_bbox_preds": codes})
    assert boxes.names[:3] == ["traffic_cone", "pedestrian", "car"] and boxes.frame == "ego" and len(boxes) == 300
    np.testing.assert_allclose(boxes.scores[:3], 1 / (1 + np.exp([-3.0, -2.0, -1.0])))
    np.testing.assert_allclose(boxes.centers[1], [10, 20, 1])


def test_boxes_beyond_the_range_are_dropped():
    classes, codes = outputs()
    codes[-1, 0, :, 0] = np.where(np.arange(40) % 2, 61.3, 61.1)
    assert len(decode_outputs(classes, codes)) == 150


@pytest.mark.parametrize("break_it", ["shape", "columns", "nan"])
def test_outputs_that_are_none_are_refused(break_it):
    classes, codes = outputs()
    if break_it == "shape":
        classes = classes[:, 0]
    elif break_it == "columns":
        codes = codes[..., :9]
    else:
        codes[-1, 0, 2, 1] = np.nan
    with pytest.raises(BadInput, match="all_cls_scores" if break_it == "shape" else "all_bbox_preds"):
        decode_outputs(classes, codes)


def test_lanes_come_best_first_and_within_the_area():
    logits, lines = np.zeros((3, 1, 5, 1), np.float32), np.zeros((3, 1, 5, 33), np.float32)
    logits[-1, 0, :, 0] = 0, 3, -1, 2, 1
    lines[-1, 0, 1] = np.arange(33)
    lines[-1, 0, 3, :3] = 60, -60, 9
    lanes = decode_lanes(logits, lines)
    assert lanes.points.shape == (5, 11, 3) and (np.diff(lanes.scores) <= 0).all()
    assert lanes.points[0, 4].tolist() == [12, 13, 14]
    assert lanes.points[1, 0].tolist() == pytest.approx([51.2, -51.2, 9])
    with pytest.raises(BadInput, match="all_lane_cls_one2one"):
        decode_lanes(logits[..., 0], lines)


@pytest.mark.parametrize(
    "changes", [{"image_size": (320, 640)}, {"image_size": (330, 330)}, {"heads": 5}, {"propagated": 70}]
)
def test_sizes_that_do_not_belong_together_are_refused(changes):
    with pytest.raises(BadInput, match="config 'mini'"):
        dataclasses.replace(MINI, **changes)


def test_states_begin_as_zeros_and_are_the_networks_own():
    for config in models.configs("omnidrive").values():
        initial = config.initial_states()
        assert len(initial) == 11 and not any(array.any() for array in initial.values())
        assert all(source == f"{name.removesuffix('_in')}_out" for name, source in config.states.items())
    assert MINI.vision_tokens == 65 and models.config("omnidrive").vision_tokens == 513
