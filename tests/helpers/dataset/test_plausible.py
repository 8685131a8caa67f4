"""Data sets whose numbers are finite and wrong: other units, another order, one row in the place of another."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from nuscenes.utils.geometry_utils import transform_matrix
from pyquaternion import Quaternion

from helpers.dataset import open_dataset
from helpers.errors import BadInput

CAMERA = "of CAM_"


@pytest.fixture
def root(minidrive, tmp_path):
    """The data set with tables and messages of its own."""
    (folder := tmp_path / "root").mkdir()
    for path in minidrive.iterdir():
        if path.name in ("v1.0-mini", "can_bus"):
            shutil.copytree(path, folder / path.name)
        else:
            os.symlink(path, folder / path.name)
    return folder


def rows(root, table):
    return json.loads((root / f"v1.0-mini/{table}.json").read_text())


def write(root, table, changed):
    (root / f"v1.0-mini/{table}.json").write_text(json.dumps(changed))


def each(table, change):
    """Change every row of a table."""

    def damage(root):
        changed = rows(root, table)
        for row in changed:
            change(row)
        write(root, table, changed)

    return damage


def cameras(change):
    return each("calibrated_sensor", lambda row: change(row) if row["camera_intrinsic"] else None)


def last_first(row):
    """A quaternion as (x, y, z, w)."""
    row["rotation"] = row["rotation"][1:] + row["rotation"][:1]


def scaled(field, factor):
    return lambda row: row.update({field: [factor * value for value in row[field]]})


def turned_around(row):
    """The pose the other way: from the vehicle to the sensor."""
    matrix = np.linalg.inv(transform_matrix(row["translation"], Quaternion(row["rotation"])))
    row["translation"] = matrix[:3, 3].tolist()
    row["rotation"] = list(Quaternion(matrix=matrix, rtol=1e-4, atol=1e-4).elements)


def backward(row):
    row["rotation"] = list((Quaternion(row["rotation"]) * Quaternion(axis=[0, 0, 1], degrees=180)).elements)


def matrix(change):
    return cameras(lambda row: row.update(camera_intrinsic=change(np.array(row["camera_intrinsic"])).tolist()))


def times(change):
    def damage(root):
        for table in ("sample", "sample_data", "ego_pose"):
            each(table, lambda row: row.update(timestamp=change(row["timestamp"])))(root)

    return damage


def a_sample_too_early(root):
    changed = rows(root, "sample")
    second = next(row for row in changed if row["prev"])
    second["timestamp"] -= 500_000
    for row in (data := rows(root, "sample_data")):
        row["timestamp"] -= 500_000 * (row["sample_token"] == second["token"])
    poses = {row["ego_pose_token"]: row["timestamp"] for row in data}
    write(root, "sample", changed)
    write(root, "sample_data", data)
    each("ego_pose", lambda row: row.update(timestamp=poses.get(row["token"], row["timestamp"])))(root)


def calibrations_exchanged(root):
    channels = {row["token"]: row["channel"] for row in rows(root, "sensor")}
    changed = rows(root, "calibrated_sensor")
    by_name = {channels[row["sensor_token"]]: row for row in changed}
    one, other = by_name["CAM_FRONT_LEFT"], by_name["CAM_BACK_LEFT"]
    one["rotation"], other["rotation"] = other["rotation"], one["rotation"]
    write(root, "calibrated_sensor", changed)


def files_exchanged(root):
    names = {"CAM_BACK_LEFT": "CAM_BACK_RIGHT", "CAM_BACK_RIGHT": "CAM_BACK_LEFT"}
    changed = rows(root, "sample_data")
    by_name = {(row["sample_token"], row["filename"].split("/")[1]): row["filename"] for row in changed}
    for row in changed:
        channel = row["filename"].split("/")[1]
        row["filename"] = by_name[row["sample_token"], names.get(channel, channel)]
    write(root, "sample_data", changed)


def doubled(table):
    return lambda root: write(
        root, table, [*rows(root, table), *({**row, "token": f"again{row['token']}"} for row in rows(root, table))]
    )


def smaller_pictures(root):
    (root / "samples").unlink()
    for row in rows(root, "sample_data"):
        path = root / row["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", np.zeros((45, 80, 3), np.uint8))[1])


def link_to(field, pick):
    def damage(root):
        changed = rows(root, "sample_annotation")
        row = next(row for row in changed if row[field])
        row[field] = next(other["token"] for other in changed if pick(row, other))
        write(root, "sample_annotation", changed)

    return damage


def messages(change):
    def damage(root):
        for path in root.glob("can_bus/*_pose.json"):
            changed = [row | change(row) for row in json.loads(path.read_text())]
            path.write_text(json.dumps(changed))

    return damage


@pytest.mark.parametrize(
    ("damage", "where", "found"),
    [
        (each("ego_pose", last_first), "ego_pose.json: row", "not stand on its wheels"),
        (each("ego_pose", backward), "ego_pose.json: scene-", "along the vehicle's own x"),
        (each("ego_pose", scaled("translation", 1000)), "ego_pose.json: row", "m in 0.5 s"),
        (each("calibrated_sensor", last_first), CAMERA, "y axis"),
        (each("calibrated_sensor", scaled("translation", 1000)), "calibrated_sensor.json", "from the vehicle's origin"),
        (cameras(turned_around), CAMERA, "y axis"),
        (each("calibrated_sensor", lambda row: row.update(rotation=[1, 0, 0, 0])
              if not row["camera_intrinsic"] else None), "of LIDAR_TOP", "y axis that does not point ahead"),
        (each("calibrated_sensor", lambda row: row.update(rotation=[0, 0.5**0.5, 0.5**0.5, 0])
              if not row["camera_intrinsic"] else None), "of LIDAR_TOP", "z axis that does not point up"),
        (matrix(lambda k: k * [[0.5], [0.5], [1]]), CAMERA, "camera_intrinsic"),
        (matrix(lambda k: k * [[2], [2], [1]]), CAMERA, "camera_intrinsic"),
        (matrix(lambda k: k * [[1e-3, 1, 1], [1, 1e-3, 1], [1, 1, 1]]), CAMERA, "camera_intrinsic"),
        (matrix(lambda k: k.T), CAMERA, "camera_intrinsic"),
        (matrix(lambda k: k * [[1, 1, 0.5], [1, 1, 1], [1, 1, 1]]), CAMERA, "camera_intrinsic"),
        (matrix(lambda k: k * [[1, 1, 1], [1, 1, 1.6], [1, 1, 1]]), CAMERA, "camera_intrinsic"),
        (cameras(lambda row: row.update(camera_intrinsic=[])), CAMERA, r"camera_intrinsic = \[\]"),
        (smaller_pictures, CAMERA, "camera_intrinsic"),
        (times(lambda time: time * 1000), "sample.json: scene-", "key frames 500 s apart"),
        (times(lambda time: time // 1000), "sample.json: scene-", "key frames 0.0005 s apart"),
        (times(lambda time: time // 5), "sample.json: scene-", "key frames 0.1 s apart"),
        (times(lambda time: time // 1_000_000), "sample.json: row", "behind"),
        (a_sample_too_early, "sample.json: row", "behind"),
        (each("sample", lambda row: row.update(timestamp=row["timestamp"] + 400_000)), "sample_data.json", "-0.4 s"),
        (each("ego_pose", lambda row: row.update(timestamp=row["timestamp"] + 400_000)), "ego_pose.json", "0.4 s"),
        (calibrations_exchanged, "of CAM_BACK_LEFT", "looks 5. degrees"),
        (files_exchanged, "sample_data.json: row", "filename"),
        (doubled("sample_data"), "sample_data.json: row", "a second key frame"),
        (doubled("sample_annotation"), "sample_annotation.json: sample", "instance .* twice"),
        (each("sample_annotation", last_first), "sample_annotation.json: row", "not stand upright"),
        (each("sample_annotation", scaled("size", 100)), "sample_annotation.json: row", "size ="),
        (each("sample_annotation", lambda row: row["size"].insert(0, row["size"].pop(1))), "size", "wider than long"),
        (each("category", lambda row: row.update(name=row["name"].removeprefix("vehicle."))), "row", "category '"),
        (link_to("next", lambda row, other: other["instance_token"] != row["instance_token"]), "row", "another i"),
        (link_to("prev", lambda row, other: other["token"] == row["token"]), "row", "prev = .*another time"),
        (messages(lambda row: {"utime": row["utime"] // 1000}), "_pose.json", "utime from"),
        (messages(lambda row: {"vel": [3.6 * value for value in row["vel"]]}), "_pose.json", "in the mean"),
    ],
)  # fmt: skip
def test_what_is_finite_and_no_drive_is_refused(root, damage, where, found):
    damage(root)
    with pytest.raises(BadInput, match=rf"{where}[\s\S]*\n  found: +[^\n]*({found})"):
        open_dataset(root)


def test_messages_are_read_in_order_of_time(root, minidrive):
    for path in root.glob("can_bus/*_pose.json"):
        mixed = json.loads(path.read_text())[::-1]
        path.write_text(json.dumps(mixed))
    for frame, right in zip(open_dataset(root), open_dataset(minidrive), strict=True):
        np.testing.assert_array_equal(frame.can_bus, right.can_bus)


@pytest.mark.parametrize("category", ["animal", "vehicle.emergency.police"])
def test_what_nuscenes_knows_and_detection_has_no_class_for_is_left_out(root, category):
    each("category", lambda row: row.update(name=category) if row["name"] == "vehicle.truck" else None)(root)
    assert not any("truck" in frame.boxes.names for frame in open_dataset(root))
