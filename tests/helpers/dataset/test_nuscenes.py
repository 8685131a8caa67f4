"""Frames and inputs against nuscenes-devkit's own transforms, hand-computed cases, and data roots that are broken."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from nuscenes.utils.geometry_utils import BoxVisibility, view_points
from pyquaternion import Quaternion

from helpers import models
from helpers.boxes import project, transform, wrap
from helpers.dataset import CAMERAS, CLASSES, can_bus_vector, open_dataset, stream
from helpers.errors import BadInput


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


@pytest.fixture
def root(minidrive, tmp_path):
    """A private view of the data set, whose links can be replaced."""
    return shutil.copytree(minidrive, tmp_path / "root", copy_function=os.symlink)


def replace(path, text):
    path.unlink()
    path.write_text(text)


def devkit_boxes(dataset, frame, channel):
    """Boxes of the ten classes in a sensor's frame, by the devkit."""
    token = dataset.nusc.get("sample", frame.token)["data"][channel]
    _, boxes, intrinsic = dataset.nusc.get_sample_data(token, box_vis_level=BoxVisibility.NONE)
    tokens = [a for a in dataset.nusc.get("sample", frame.token)["anns"] if known(dataset, a)]
    by_token = {box.token: box for box in boxes}
    return [by_token[token] for token in tokens], intrinsic


def known(dataset, token):
    from nuscenes.eval.detection.utils import category_to_detection_name

    return category_to_detection_name(dataset.nusc.get("sample_annotation", token)["category_name"]) in CLASSES


def test_frames_are_in_scene_and_time_order(dataset):
    assert [f.token for f in dataset.frames] == dataset.tokens and len(dataset) == len(dataset.frames)
    starts = [f for f in dataset if f.index == 0]
    assert [f.scene for f in starts] == ["scene-0103", "scene-0916"]
    for before, after in zip(dataset.frames, dataset.frames[1:], strict=False):
        if after.index:
            assert after.scene == before.scene and after.index == before.index + 1
            assert after.timestamp > before.timestamp
    assert dataset[-1] is dataset.frames[-1] and dataset[1:3] == dataset.frames[1:3]


def test_shapes_and_pictures(dataset):
    frame = dataset[1]
    assert tuple(frame.image_paths) == CAMERAS and all(path.is_file() for path in frame.image_paths.values())
    assert frame.intrinsics.shape == (6, 3, 3) and frame.lidar2cam.shape == frame.lidar2img.shape == (6, 4, 4)
    assert frame.lidar2ego.shape == frame.ego2global.shape == (4, 4) and frame.can_bus.shape == (18,)
    assert len(frame.boxes) == len(frame.num_lidar_pts) > 0
    images = frame.images()
    assert images.shape == (6, 900, 1600, 3) and images.dtype == np.uint8
    blue_first = cv2.imread(str(frame.image_paths["CAM_BACK"]))
    assert (images[CAMERAS.index("CAM_BACK")] == blue_first[..., ::-1]).all()
    assert frame.images(reduce=4).shape == (6, 225, 400, 3)


def test_boxes_agree_with_the_devkit_in_the_lidar(dataset):
    for frame in (dataset[0], dataset[-1]):
        expected, _ = devkit_boxes(dataset, frame, "LIDAR_TOP")
        assert len(expected) == len(frame.boxes)
        np.testing.assert_allclose(frame.boxes.centers, [box.center for box in expected], atol=1e-8)
        np.testing.assert_allclose(frame.boxes.sizes, [box.wlh for box in expected])
        headings = [box.rotation_matrix[:2, 0] for box in expected]
        np.testing.assert_allclose(wrap(frame.boxes.yaws - [np.arctan2(y, x) for x, y in headings]), 0, atol=1e-6)


def test_boxes_return_to_the_annotations(dataset):
    frame = dataset[1]
    records = [
        dataset.nusc.get("sample_annotation", a)
        for a in dataset.nusc.get("sample", frame.token)["anns"]
        if known(dataset, a)
    ]
    there = transform(frame.boxes, frame.ego2global @ frame.lidar2ego, "global")
    np.testing.assert_allclose(there.centers, [r["translation"] for r in records], atol=1e-7)
    velocities = np.nan_to_num([dataset.nusc.box_velocity(r["token"])[:2] for r in records])
    np.testing.assert_allclose(there.velocities, velocities, atol=1e-2)
    assert np.abs(velocities).max() > 1
    np.testing.assert_array_equal(frame.num_lidar_pts, [r["num_lidar_pts"] for r in records])


def test_projection_agrees_with_the_devkit_in_each_camera(dataset):
    """The devkit moves boxes with the camera's own ego pose, so this holds only with both time stamps in the chain."""
    frame = dataset[2]
    apart = np.abs(frame.lidar2cam - lidar2cam_without_ego_motion(dataset, frame)).max()
    assert apart > 1e-3
    for i, camera in enumerate(CAMERAS):
        expected, intrinsic = devkit_boxes(dataset, frame, camera)
        centers = np.array([box.center for box in expected])
        uv, depth = project(frame.boxes.centers, frame.lidar2img[i])
        np.testing.assert_allclose(depth, centers[:, 2], atol=1e-7)
        ahead = depth > 1
        assert ahead.any()
        pixels = view_points(centers[ahead].T, intrinsic, normalize=True)[:2].T
        np.testing.assert_allclose(uv[ahead], pixels, atol=1e-3, rtol=1e-7)


def lidar2cam_without_ego_motion(dataset, frame):
    sample = dataset.nusc.get("sample", frame.token)
    matrices = []
    for camera in CAMERAS:
        record = dataset.nusc.get("sample_data", sample["data"][camera])
        calibration = dataset.nusc.get("calibrated_sensor", record["calibrated_sensor_token"])
        camera2ego = np.eye(4)
        camera2ego[:3, :3] = Quaternion(calibration["rotation"]).rotation_matrix
        camera2ego[:3, 3] = calibration["translation"]
        matrices.append(np.linalg.inv(camera2ego) @ frame.lidar2ego)
    return np.stack(matrices)


def test_future_path_is_where_the_vehicle_goes(dataset):
    frame, following, last = dataset[0], dataset[1], dataset[len(dataset) - 1]
    assert len(frame.future_path) == 3 and last.future_path.shape == (0, 2)
    there = np.linalg.inv(frame.ego2global) @ following.ego2global[:, 3]
    np.testing.assert_allclose(frame.future_path[0], there[:2], atol=1e-9)
    assert (np.diff(frame.future_path[:, 0]) > 0).all()  # x is forward


def message(utime):
    return {
        "utime": utime,
        "accel": [utime + 0.1] * 3,
        "orientation": [1, 0, 0, 0],
        "pos": [0, 0, 0],
        "rotation_rate": [utime + 0.2] * 3,
        "vel": [utime + 0.3] * 3,
    }


def ego_pose(degrees):
    return {"translation": [100.0, 200.0, 1.0], "rotation": list(Quaternion(axis=[0, 0, 1], degrees=degrees))}


@pytest.mark.parametrize(("timestamp", "used"), [(5, 10), (10, 20), (15, 20), (25, 30), (30, 30), (99, 30)])
def test_can_bus_motion_is_the_first_message_after_the_sample(timestamp, used):
    vector = can_bus_vector([message(10), message(20), message(30)], timestamp, ego_pose(0))
    np.testing.assert_allclose(vector[7:16], np.repeat([used + 0.1, used + 0.2, used + 0.3], 3))


@pytest.mark.parametrize(("degrees", "expected"), [(0, 0), (30, 30), (179, 179), (-90, 270), (200, 200)])
def test_can_bus_pose_and_yaw(degrees, expected):
    vector = can_bus_vector([], 0, ego_pose(degrees))
    np.testing.assert_allclose(vector[:3], [100, 200, 1])
    np.testing.assert_allclose(
        Quaternion(vector[3:7]).rotation_matrix, Quaternion(axis=[0, 0, 1], degrees=degrees).rotation_matrix
    )
    np.testing.assert_allclose(vector[7:16], 0)
    np.testing.assert_allclose(vector[16:], [np.radians(expected), expected], atol=1e-9)


def test_can_bus_of_a_frame(dataset):
    frame = dataset[2]
    np.testing.assert_allclose(frame.can_bus[:3], frame.ego2global[:3, 3])
    np.testing.assert_allclose(Quaternion(frame.can_bus[3:7]).rotation_matrix, frame.ego2global[:3, :3], atol=1e-9)
    heading = np.arctan2(frame.ego2global[1, 0], frame.ego2global[0, 0])
    np.testing.assert_allclose(wrap(frame.can_bus[16] - heading), 0, atol=1e-6)
    speed = np.linalg.norm(dataset[3].ego2global[:3, 3] - frame.ego2global[:3, 3]) / (
        (dataset[3].timestamp - frame.timestamp) * 1e-6
    )
    assert np.linalg.norm(frame.can_bus[13:16]) == pytest.approx(speed, rel=0.2)


def test_a_stream_begins_with_each_scene_and_knows_the_frame_before(dataset):
    config = SimpleNamespace(inputs=lambda frame, previous: {"of": (frame, previous)})
    steps = list(stream(dataset, config))
    assert [step.frame for step in steps] == dataset.frames
    assert [step.first for step in steps] == [True, False, False, False] * 2
    for before, step in zip([None, *dataset.frames], steps, strict=False):
        assert step.feeds == {"of": (step.frame, None if step.first else before)}


def test_splits(minidrive):
    assert len(open_dataset(minidrive, split="all")) == 8
    one = open_dataset(minidrive, split=["scene-0916"])
    assert {frame.scene for frame in one} == {"scene-0916"} and len(one) == 4
    with pytest.raises(BadInput, match="mini_val"):
        open_dataset(minidrive, split="train")
    with pytest.raises(BadInput, match="scene-0001"):
        open_dataset(minidrive, split=["scene-0103", "scene-0001"])
    with pytest.raises(BadInput, match="no scene"):
        open_dataset(minidrive, split=[])


def test_a_folder_that_is_not_nuscenes(tmp_path, minidrive):
    with pytest.raises(BadInput, match="no folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="make_minidrive"):
        open_dataset(tmp_path)
    with pytest.raises(BadInput, match=r"pass version='v1\.0-mini'"):
        open_dataset(minidrive, version="v1.0-trainval")


def test_tables_missing_or_damaged(root):
    table = root / "v1.0-mini" / "ego_pose.json"
    replace(table, table.read_text()[:1000])
    with pytest.raises(BadInput, match=r"ego_pose\.json\n  found: +not JSON"):
        open_dataset(root)
    table.unlink()
    with pytest.raises(BadInput, match=r"no ego_pose\.json"):
        open_dataset(root)


def test_maps_missing(root):
    shutil.rmtree(root / "maps")
    with pytest.raises(BadInput, match=r"brings maps/ again"):
        open_dataset(root)


def test_the_cure_of_damaged_tables_is_that_of_the_data_set(root):
    (root / "v1.0-mini" / "sensor.json").unlink()
    with pytest.raises(BadInput, match="make_minidrive"):
        open_dataset(root)
    (root / "minidrive.json").unlink()
    with pytest.raises(BadInput, match="unpack the metadata archive of nuScenes") as caught:
        open_dataset(root)
    assert "minidrive" not in caught.value.fix


def test_samples_in_a_circle(root):
    table = root / "v1.0-mini" / "sample.json"
    samples = json.loads(table.read_text())
    last = next(sample for sample in samples if not sample["next"])
    last["next"] = last["token"]
    replace(table, json.dumps(samples))
    with pytest.raises(BadInput, match="goes in a circle"):
        open_dataset(root)


def test_scenes_with_names_of_their_own(root, minidrive):
    table = root / "v1.0-mini" / "scene.json"
    scenes = json.loads(table.read_text())
    for scene in scenes:
        os.rename(
            root / "can_bus" / f"{scene['name']}_pose.json", root / "can_bus" / f"drive {scene['name']}b_pose.json"
        )
        scene["name"] = f"drive {scene['name']}b"
    replace(table, json.dumps(scenes))
    ours, theirs = open_dataset(root, split="all"), open_dataset(minidrive, split="all")
    assert ours.tokens == theirs.tokens and (ours[1].can_bus == theirs[1].can_bus).all()


def test_can_bus_missing(root):
    (root / "can_bus" / "scene-0916_pose.json").unlink()
    assert len(open_dataset(root, split=["scene-0103"])) == 4
    with pytest.raises(BadInput, match=r"scene-0916_pose\.json"):
        open_dataset(root)
    shutil.rmtree(root / "can_bus")
    with pytest.raises(BadInput, match="brings can_bus/ again"):
        open_dataset(root)


def test_a_scene_listed_as_without_can_bus_gets_zeros(root):
    table = root / "v1.0-mini" / "scene.json"
    scenes = json.loads(table.read_text())
    scenes[0]["name"] = "scene-0161"
    replace(table, json.dumps(scenes))
    frame = open_dataset(root, split=["scene-0161"])[1]
    assert not frame.can_bus[7:16].any() and frame.can_bus[:7].any()


def test_image_missing_or_damaged(root):
    dataset = open_dataset(root)
    path = dataset[1].image_paths["CAM_BACK_LEFT"]
    replace(path, "not a picture")
    with pytest.raises(BadInput, match=path.name):
        dataset[1].images()
    picture = dataset[1].image_paths["CAM_FRONT"].read_bytes()
    path.write_bytes(picture[: len(picture) // 2])
    with pytest.raises(BadInput, match="end within the picture"):
        dataset[1].images()
    path.unlink()
    with pytest.raises(BadInput, match="no file"):
        dataset[1].images()
    with pytest.raises(BadInput, match=path.name):
        open_dataset(root)


def test_the_modules_need_no_torch():
    program = "import sys, helpers.boxes, helpers.dataset, helpers.metrics.detection; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("table", "field", "value", "found"),
    [
        ("ego_pose", "translation", [0, 0, float("nan")], r"translation = \[0, 0, nan\]"),
        ("ego_pose", "translation", [0, 0], r"translation = \[0, 0\]"),
        ("ego_pose", "translation", [0, 0, 1e300], r"translation = \[0, 0, 1e\+300\]"),
        ("ego_pose", "rotation", [0, 0, 0, 0], r"rotation = \[0, 0, 0, 0\]"),
        ("calibrated_sensor", "camera_intrinsic", [[1, 0, 0], [0, 1]], "camera_intrinsic"),
        ("sample_annotation", "size", [1, -1, 1], r"size = \[1, -1, 1\]"),
        ("sample_annotation", "size", [1, 0, 1], r"size = \[1, 0, 1\]"),
        ("sample_annotation", "num_lidar_pts", True, "num_lidar_pts = True"),
        ("sample_data", "filename", "", "filename = ''"),
        ("scene", "name", None, "name = None"),
        ("sample", "next", 5, "next = 5"),
    ],
)
def test_a_field_that_is_no_place_no_rotation_and_no_box_is_named(root, table, field, value, found):
    path = root / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text())
    rows[1][field] = value
    replace(path, json.dumps(rows))
    with pytest.raises(BadInput, match=rf"{table}\.json: row 1, token {rows[1]['token']}\n  found: +{found}"):
        open_dataset(root)
    del rows[1][field]
    path.write_text(json.dumps(rows))
    with pytest.raises(BadInput, match=rf"{table}\.json: row 1[\s\S]*no {field}"):
        open_dataset(root)


def test_tables_that_do_not_name_each_other_and_tokens_given_twice(root):
    path = root / "v1.0-mini/sample_data.json"
    rows = json.loads(path.read_text())
    replace(path, json.dumps([*rows, rows[0]]))
    with pytest.raises(BadInput, match=r"sample_data\.json\n  found: +a token that stands in two rows"):
        open_dataset(root)
    for key in ("ego_pose_token", "calibrated_sensor_token"):
        path.write_text(json.dumps([{**row, key: "elsewhere"} for row in rows]))
        with pytest.raises(BadInput, match=r"v1\.0-mini[\s\S]*KeyError: 'elsewhere'"):
            open_dataset(root)[0]
    for text in ('{"a": 1}', "[1]", "[[]]", "null"):
        path.write_text(text)
        with pytest.raises(BadInput, match=r"sample_data\.json\n  found: +JSON that is no list of objects"):
            open_dataset(root)


def test_pose_messages_without_motion_are_named(root):
    path = root / "can_bus/scene-0103_pose.json"
    messages = json.loads(path.read_text())
    del messages[3]["vel"]
    replace(path, json.dumps(messages))
    with pytest.raises(BadInput, match=r"scene-0103_pose\.json: row 3\n  found: +no vel"):
        open_dataset(root)


def test_cameras_stand_in_the_vehicles_frame_at_the_time_of_a_sensor(dataset):
    frame = dataset[2]
    sample = dataset.nusc.get("sample", frame.token)
    for i, camera in enumerate(CAMERAS):
        data = dataset.nusc.get("sample_data", sample["data"][camera])
        record = dataset.nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
        at_own_time = frame.cam2ego(camera)[i]
        np.testing.assert_allclose(at_own_time[:3, 3], record["translation"], atol=1e-6)
    moved = frame.cam2ego("CAM_FRONT")[0] - frame.cam2ego()[0]
    assert 1e-3 < np.abs(moved[:3, 3]).max() < 1  # the vehicle drives between the two time stamps
    with pytest.raises(BadInput, match="CAM_TOP"):
        frame.cam2ego("CAM_TOP")


@pytest.mark.parametrize("name", ["6cf420747773e984da2cde99a9b86c6d", "a" * 5000, "../x", "samples/x"])
def test_a_table_that_names_no_picture_is_itself_what_is_mended(root, name):
    path = root / "v1.0-mini/sample_data.json"
    rows = json.loads(path.read_text())
    row = next(row for row in rows if row["filename"].startswith("samples/CAM_FRONT/"))
    row["filename"] = name
    replace(path, json.dumps(rows))
    with pytest.raises(BadInput, match="filename = ") as caught:
        open_dataset(root)
    assert f"sample_data.json: row {row['token']}" in caught.value.where and str(root) in caught.value.fix


def test_a_scene_whose_name_no_file_can_have_is_named(root):
    path = root / "v1.0-mini/scene.json"
    rows = json.loads(path.read_text())
    rows[0]["name"] = "a" * 5000
    replace(path, json.dumps(rows))
    with pytest.raises(BadInput, match=r"_pose\.json"):
        open_dataset(root, "v1.0-mini", "all")


@pytest.mark.parametrize("system", ["bevformer", "fbocc", "omnidrive", "uniad"])
def test_frames_that_are_not_in_the_order_of_time_are_refused(dataset, system):
    """The motion between them would be that of a drive backwards, and the memory one of what is yet to come."""
    config, frames = models.config(system, "mini"), [dataset[index] for index in range(3)]
    for previous in (frames[2], frames[1]):
        with pytest.raises(BadInput, match=f"frame before {frames[1].token} of {frames[1].scene}\n.*{previous.token}"):
            config.inputs(frames[1], previous)
    again = [step.first for step in stream(frames * 2, SimpleNamespace(inputs=lambda frame, previous: {}))]
    assert again == [True, False, False] * 2  # a scene may be driven again


def test_fbocc_takes_no_previous_frame_but_the_one_before(dataset):
    """It is told in frames, not in seconds, how old a volume is."""
    with pytest.raises(BadInput, match=r"frame before key frame 2 .*\n.*key frame 0"):
        models.config("fbocc", "mini").inputs(dataset[2], dataset[0])


def test_pictures_are_in_the_order_of_the_cameras_whatever_that_of_their_paths(dataset):
    frame = dataset[0]
    turned = dataclasses.replace(frame, image_paths=dict(reversed(frame.image_paths.items())))
    assert np.array_equal(turned.images(8), frame.images(8))
    without = {name: path for name, path in frame.image_paths.items() if name != "CAM_BACK"}
    with pytest.raises(BadInput, match=f"frame {frame.token}\n.*no CAM_BACK"):
        dataclasses.replace(frame, image_paths=without).images(8)
