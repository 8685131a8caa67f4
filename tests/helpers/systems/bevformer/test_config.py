"""BEVFormer without torch: its configurations, a frame to inputs, the box code, outputs to boxes."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import models
from helpers.boxes import Boxes, project
from helpers.dataset import CLASSES, open_dataset
from helpers.errors import BadInput
from helpers.systems.bevformer.config import CONFIGS
from helpers.systems.bevformer.decode import decode_boxes, decode_outputs, encode_boxes
from tests.helpers.test_boxes import assert_same, random_boxes

MINI = CONFIGS["mini"]
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=50, deadline=None)


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


@quick
@given(seeds)
def test_decode_inverts_encode(seed):
    boxes = random_boxes(seed, classes=CLASSES)
    code = encode_boxes(boxes)
    assert code.shape == (7, 10) and code.dtype == np.float32
    assert_same(decode_boxes(code, boxes.labels, boxes.scores), boxes, atol=1e-5)


def test_code_of_one_box_by_hand():
    box = Boxes([[1, 2, 3]], [[2, 4, 1.5]], [0.0], [[5, 6]], [3], [1])
    expected = [1, 2, np.log(2), np.log(4), 3, np.log(1.5), -1, 0, 5, 6]  # yaw 0 is -pi/2 in the code
    np.testing.assert_allclose(encode_boxes(box)[0], expected, atol=1e-6)
    left = Boxes([[1, 2, 3]], [[2, 4, 1.5]], [np.pi / 2], [[5, 6]], [3], [1])
    np.testing.assert_allclose(encode_boxes(left)[0, 6:8], [0, -1], atol=1e-6)  # yaw pi/2 is -pi


def outputs(queries=40, levels=2, logit=-6.0):
    classes = np.full((levels, 1, queries, 10), logit, np.float32)
    coords = np.zeros((levels, 1, queries, 10), np.float32)
    coords[..., 7] = 1
    return classes, coords


def test_decode_outputs_takes_the_best_pairs_of_the_last_level():
    classes, coords = outputs()
    classes[-1, 0, 3, 8], classes[-1, 0, 3, 0], classes[-1, 0, 7, 9] = 2.0, 1.0, 3.0
    classes[0, 0, 5, 5] = 9.0  # an earlier level does not count
    coords[-1, 0, 3, :2] = 10, 20
    boxes = decode_outputs(classes, coords, max_num=3)
    assert boxes.names == ["traffic_cone", "pedestrian", "car"] and boxes.frame == "lidar"
    np.testing.assert_allclose(boxes.scores, 1 / (1 + np.exp([-3.0, -2, -1])))
    np.testing.assert_allclose(boxes.centers[1:], [[10, 20, 0]] * 2)
    np.testing.assert_allclose(boxes.sizes, 1)
    assert len(decode_outputs(*outputs())) == 300


@pytest.mark.parametrize(("axis", "inside", "outside"), [(0, 61.1, 61.3), (1, -61.1, -61.3), (4, 9.9, 10.1)])
def test_decode_outputs_drops_centres_out_of_range(axis, inside, outside):
    classes, coords = outputs(queries=2)
    coords[-1, 0, 0, axis], coords[-1, 0, 1, axis] = inside, outside
    boxes = decode_outputs(classes, coords)
    assert len(boxes) == 10
    np.testing.assert_allclose(boxes.centers[:, min(axis, 2)], inside, rtol=1e-6)


def test_bad_boxes_and_outputs_are_named():
    classes, coords = outputs()
    with pytest.raises(BadInput, match="outputs_coords"):
        decode_outputs(classes, coords[..., :9])
    coords[-1, 0, 0, 0] = np.nan
    with pytest.raises(BadInput, match="1 values that are NaN"):
        decode_outputs(classes, coords)
    with pytest.raises(BadInput, match=r"\[N,10\]"):
        decode_boxes(np.zeros((3, 9)), [0] * 3, [0] * 3)
    with pytest.raises(BadInput, match="global"):
        encode_boxes(random_boxes(0, frame="global"))
    assert encode_boxes(Boxes.empty()).shape == (0, 10)


def test_the_config_decodes_outputs_by_name():
    classes, coords = outputs()
    classes[-1, 0, 3, 8] = 2.0
    found = MINI.decode({"outputs_coords": coords, "bev_embed": None, "outputs_classes": classes})
    assert found.names[0] == "pedestrian" and found.classes == CLASSES


def test_inputs_follow_the_previous_frame_rules(dataset):
    first, second = MINI.inputs(dataset[0], None), MINI.inputs(dataset[1], dataset[0])
    shapes = {"image": (1, 6, 3, 256, 416), "use_prev_bev": (1,), "can_bus": (18,), "lidar2img": (1, 6, 4, 4)}
    assert {name: array.shape for name, array in second.items()} == shapes
    assert all(array.dtype == np.float32 for array in second.values())
    assert first["use_prev_bev"] == 0 and second["use_prev_bev"] == 1
    assert not first["can_bus"][[0, 1, 2, 17]].any()
    absolute, before = dataset[1].can_bus, dataset[0].can_bus
    np.testing.assert_allclose(second["can_bus"][:3], absolute[:3] - before[:3], atol=1e-6)
    np.testing.assert_allclose(second["can_bus"][17], absolute[17] - before[17], atol=1e-5)
    np.testing.assert_allclose(second["can_bus"][3:17], absolute[3:17], rtol=1e-6)
    half = project(dataset[1].boxes.centers, second["lidar2img"][0, 0])[0]
    full, depth = project(dataset[1].boxes.centers, dataset[1].lidar2img[0])
    np.testing.assert_allclose(half[depth > 1], full[depth > 1] / 4, rtol=1e-4, atol=1e-2)
    other_scene = MINI.inputs(dataset[len(dataset) - 1], dataset[0])
    assert other_scene["use_prev_bev"] == 0 and not other_scene["can_bus"][[0, 1, 2, 17]].any()


def test_the_normalization_is_the_configurations(dataset):
    usual = MINI.inputs(dataset[0], None)["image"]
    other = dataclasses.replace(MINI, image_mean=(0.0, 0.0, 0.0), image_std=(1.0, 1.0, 2.0)).inputs(dataset[0], None)
    seen = usual[:, :, :, :225, :400] * np.float32(MINI.image_std).reshape(3, 1, 1)
    seen = (seen + np.float32(MINI.image_mean).reshape(3, 1, 1)) / np.float32([1, 1, 2]).reshape(3, 1, 1)
    np.testing.assert_allclose(other["image"][:, :, :, :225, :400], seen, atol=1e-3)
    assert other["image"].max() > 200


@pytest.mark.parametrize(
    "change", [{"image_scale": 0}, {"image_scale": 2.0}, {"image_size": (256,)}, {"image_size": 9}]
)
def test_impossible_picture_settings_are_refused(change):
    with pytest.raises(BadInput, match="image_scale"):
        dataclasses.replace(MINI, **change)


def test_states_begin_at_zero():
    (name, state), *others = MINI.initial_states().items()
    assert not others and (name, state.shape, state.dtype) == ("prev_bev", (2500, 1, 128), np.float32)
    assert not state.any() and {dtype.name for dtype in MINI.input_types().values()} == {"float32"}


def test_shapes_inputs_and_decoding_need_no_torch():
    program = """
import sys
from helpers import models
config = models.config("bevformer", "mini")
assert "cv2" not in sys.modules and config.input_shapes() and config.initial_states()
import helpers.systems.bevformer.inputs, helpers.systems.bevformer.decode
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_configuration_by_name():
    assert models.config("bevformer", "mini") is MINI and models.config("bevformer") is CONFIGS["published"]
    with pytest.raises(BadInput, match="one of published, mini"):
        models.config("bevformer", "huge")
