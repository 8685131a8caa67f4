"""What the tables of a data set say, held against what a drive can be: its time, its sensors, its motion.

Numbers in another unit, quaternions in another order and sensors under each other's names are as finite as the right
ones: a network runs on them, and a score comes out. What is asked here holds for every drive in nuScenes' form, with a
wide margin. Checked are the scenes of a split, when it is opened. Needs no torch.
"""

import itertools
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from nuscenes.nuscenes import NuScenes
from pyquaternion import Quaternion

from helpers.dataset.frame import CAMERAS
from helpers.dataset.images import size_of
from helpers.errors import BadInput

STEP = (0.4, 0.6)  # s between key frames, in the middle: paths, motion and memory are of 2 Hz
NEAR = 0.25  # s between a sample and what its sensors saw
FASTEST, DRIVING = 100.0, 3.0  # m/s: nothing is faster; a vehicle that is faster than this goes forward
FARTHEST = 30.0  # m from the vehicle's origin to a sensor
UPRIGHT = 0.7  # cosine of 45 degrees
ASIDE = 40  # degrees that a camera may look beside where its name says
LOOKS = dict(zip(CAMERAS, (0, -55, 55, 180, 110, -110), strict=True))  # degrees to the left of ahead, as of nuScenes
CENTER, FOCAL = 0.2, (0.2, 10.0)  # shares of a picture: from its middle; of its width
TURNS = "write quaternions as (w, x, y, z), and poses from the sensor to the vehicle, from the vehicle to the map"
TIMES = "write times in microseconds, and key frames every half second"
METERS = "write translations in meters"
Row = dict[str, Any]


def check(nusc: NuScenes, scenes: Mapping[str, list[str]], messages: Mapping[str, list[Row]]) -> None:
    """BadInput, naming table and row, for what no drive is.

    scenes: name -> sample tokens in order. messages: name -> pose messages of the CAN bus in order, if any.
    """
    _check_key_frames(nusc)
    rig: dict[tuple[str, str], Row] = {}
    for name, tokens in scenes.items():
        samples = [nusc.get("sample", token) for token in tokens]
        _check_steps(nusc, name, samples)
        for sample, channel in itertools.product(samples, ("LIDAR_TOP", *CAMERAS)):
            data = nusc.get("sample_data", sample["data"][channel])
            _check_stamps(nusc, sample, data)
            rig.setdefault((channel, data["calibrated_sensor_token"]), data)
        speed = _check_motion(nusc, name, samples)
        if messages[name]:
            _check_messages(nusc, name, samples, messages[name], speed)
    for (channel, _), data in sorted(rig.items(), key=lambda item: item[0]):
        _check_sensor(nusc, channel, data)


def wrong(nusc: NuScenes, table: str, row: str, found: object, expected: object, fix: str) -> BadInput:
    """The BadInput for a row of a table."""
    return BadInput(f"{nusc.dataroot}/{nusc.version}/{table}.json: {row}", found, expected, fix)


def upward(rotations: list[list[float]]) -> np.ndarray:
    """How far the z axis of each rotation (w, x, y, z) points up, from -1 to 1: float64 [n]."""
    _, x, y, _ = np.array(rotations, np.float64).reshape(-1, 4).T
    return 1 - 2 * (x * x + y * y)


def _check_key_frames(nusc):
    """Of two rows nuscenes-devkit takes the last."""
    rows = [row for row in nusc.sample_data if row["is_key_frame"]]
    if len(rows) == sum(len(sample["data"]) for sample in nusc.sample):
        return
    seen = set()
    for row in rows:
        if (key := (row["sample_token"], row["channel"])) in seen:
            found = f"a second key frame of {key[1]} for sample {key[0]}"
            raise wrong(nusc, "sample_data", f"row {row['token']}", found, "one", "leave one of the two out")
        seen.add(key)


def _check_stamps(nusc, sample, data):
    """What a sensor saw, and where the vehicle was then, belong to the sample's time."""
    pose = nusc.get("ego_pose", data["ego_pose_token"])
    for table, row, than in (("sample_data", data, sample), ("ego_pose", pose, data)):
        if abs(away := (row["timestamp"] - than["timestamp"]) / 1e6) > NEAR:
            found = f"timestamp {away:g} s from that of {data['channel']} in sample {sample['token']}"
            raise wrong(nusc, table, f"row {row['token']}", found, f"at most {NEAR} s", TIMES)


def _check_steps(nusc, name, samples):
    times = [sample["timestamp"] for sample in samples]
    for (before, after), sample in zip(itertools.pairwise(times), samples[1:], strict=True):
        if after <= before:
            found, expected = f"timestamp {after}, behind {before}", "samples in order of time"
            raise wrong(nusc, "sample", f"row {sample['token']}", found, expected, TIMES)
    steps = [(after - before) / 1e6 for before, after in itertools.pairwise(times)]
    if steps and not STEP[0] <= (middle := statistics.median(steps)) <= STEP[1]:
        found = f"key frames {middle:g} s apart, if times are in microseconds"
        raise wrong(nusc, "sample", name, found, f"{STEP[0]} to {STEP[1]} s", TIMES)


def _check_motion(nusc, name, samples):
    """The vehicle stands upright, is no faster than any, and goes where it looks; returns its mean speed in m/s."""
    poses = [nusc.get("ego_pose", _lidar(nusc, sample)["ego_pose_token"]) for sample in samples]
    up = upward([pose["rotation"] for pose in poses])
    if up.min() < UPRIGHT:
        row = f"row {poses[int(up.argmin())]['token']}"
        raise wrong(nusc, "ego_pose", row, "a vehicle that does not stand on its wheels", "one that does", TURNS)
    gone = np.diff([pose["translation"][:2] for pose in poses], axis=0).reshape(-1, 2)
    seconds = np.diff([sample["timestamp"] for sample in samples]) / 1e6
    ways = np.linalg.norm(gone, axis=1)
    if (ways > FASTEST * seconds).any():
        last = int((ways / seconds).argmax()) + 1
        found = f"{ways[last - 1]:.0f} m in {seconds[last - 1]:g} s"
        raise wrong(nusc, "ego_pose", f"row {poses[last]['token']}", found, f"at most {FASTEST:.0f} m/s", METERS)
    w, x, y, z = np.array([pose["rotation"] for pose in poses]).T
    ahead = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z)], axis=1)[:-1]
    fast = ways > DRIVING * seconds
    if (along := (gone * ahead)[fast].sum()) < 0.5 * ways[fast].sum():
        found = f"{along:.1f} m along the vehicle's own x, of {ways[fast].sum():.1f} m that it goes"
        raise wrong(nusc, "ego_pose", name, found, "a vehicle that goes where it looks", TURNS)
    return float(ways.sum() / max(seconds.sum(), 1e-6))


def _check_messages(nusc, name, samples, rows, speed):
    """Messages are of this drive, and in m/s."""
    where, first, last = f"{nusc.dataroot}/can_bus/{name}_pose.json", samples[0]["timestamp"], samples[-1]["timestamp"]
    if rows[-1]["utime"] < first or rows[0]["utime"] > last:
        found = f"utime from {rows[0]['utime']} to {rows[-1]['utime']}"
        expected = f"messages between {first} and {last}"
        raise BadInput(where, found, expected, "take those of this scene, with times in microseconds")
    told = [float(np.linalg.norm(row["vel"])) for row in rows if first <= row["utime"] <= last]
    if told and speed > DRIVING and not speed / 3 < (mean := statistics.mean(told)) < 3 * speed:
        expected = f"about the {speed:.2f} m/s of the poses"
        raise BadInput(where, f"vel of {mean:.2f} in the mean", expected, "write it in m/s")


def _check_sensor(nusc, channel, data):
    """A sensor sits on the vehicle, upright, looks where its name says, and its pictures fit its matrix."""
    record = nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
    row, away = f"row {record['token']}, of {channel}", float(np.linalg.norm(record["translation"]))
    if away > FARTHEST:
        found = f"{away:.0f} m from the vehicle's origin"
        raise wrong(nusc, "calibrated_sensor", row, found, f"at most {FARTHEST:.0f} m", METERS)
    for found, expected, good in _mounted(channel, Quaternion(record["rotation"]).rotation_matrix):
        if not good:
            raise wrong(nusc, "calibrated_sensor", row, found, expected, TURNS)
    if channel in CAMERAS:
        height, width = size_of(nusc.get_sample_data_path(data["token"]))
        matrix = np.array(record["camera_intrinsic"], np.float64)
        if not _fits(matrix, height, width):
            expected = f"[[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels of its pictures, which have {width} x {height}"
            fix = "write the matrix for the pictures as they are stored"
            raise wrong(nusc, "calibrated_sensor", row, f"camera_intrinsic = {matrix.tolist()}", expected, fix)


def _mounted(channel: str, turn: np.ndarray) -> Iterator[tuple[str, str, bool]]:
    """(what is found, what is expected, whether it is so) of a sensor's rotation [3, 3] into the vehicle."""
    if channel == "LIDAR_TOP":
        yield "a z axis that does not point up", "x to the right, y ahead, z up", turn[2, 2] > UPRIGHT
        yield "a y axis that does not point ahead", "x to the right, y ahead, z up", turn[0, 1] > UPRIGHT
        return
    yield "a y axis that does not point down", "x to the right, y down, z ahead of the camera", turn[2, 1] < -UPRIGHT
    yaw = float(np.degrees(np.arctan2(turn[1, 2], turn[0, 2])))
    aside = (yaw - LOOKS[channel] + 180) % 360 - 180
    yield f"a camera that looks {yaw:.0f} degrees to the left", f"about {LOOKS[channel]}", abs(aside) < ASIDE


def _fits(matrix, height, width):
    """Whether a matrix [3, 3] can be of a camera with such pictures."""
    if matrix.shape != (3, 3) or [matrix[1, 0], *matrix[2]] != [0, 0, 0, 1]:
        return False
    centered = abs(matrix[0, 2] - width / 2) < CENTER * width and abs(matrix[1, 2] - height / 2) < CENTER * height
    return centered and all(FOCAL[0] * width < matrix[k, k] < FOCAL[1] * width for k in (0, 1))


def _lidar(nusc, sample):
    return nusc.get("sample_data", sample["data"]["LIDAR_TOP"])
