"""The 13 tables of the nuScenes schema, built from worlds and what their frames showed."""

import hashlib
from itertools import pairwise

import numpy as np

from . import geometry
from .item import PERIOD
from .rig import HEIGHT, SENSORS, WIDTH

CATEGORIES = [
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.wheelchair",
    "human.pedestrian.stroller",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.construction_worker",
    "animal",
    "vehicle.car",
    "vehicle.motorcycle",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.truck",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.trailer",
    "movable_object.barrier",
    "movable_object.trafficcone",
    "movable_object.pushable_pullable",
    "movable_object.debris",
    "static_object.bicycle_rack",
]
ATTRIBUTES = [
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
]
VISIBILITY = (("1", "v0-40", 0.4), ("2", "v40-60", 0.6), ("3", "v60-80", 0.8), ("4", "v80-100", 1.01))
TABLES = [
    "category",
    "attribute",
    "visibility",
    "instance",
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "sample_annotation",
    "map",
]
EPOCH = 1_546_300_800_000_000
SWEEPS = 2


def token(seed, *names):
    """A token of 32 hex digits that depends on the seed and the names only."""
    return hashlib.sha256("/".join(map(str, (seed, "token", *names))).encode()).hexdigest()[:32]


def start_time(name):
    """Time stamp in microseconds of time 0 of a scene: half an hour between any two scene numbers."""
    return EPOCH + int(name[-4:]) * 1_800_000_000


def stamp(name, t):
    """Time stamp in microseconds of time t (s) in a scene."""
    return start_time(name) + round(t * 1e6)


def filename(name, channel, t, key=True):
    """Path of a sensor file, relative to the data root."""
    ending = "pcd.bin" if channel == "LIDAR_TOP" else "jpg"
    return f"{'samples' if key else 'sweeps'}/{channel}/{name}__{channel}__{stamp(name, t)}.{ending}"


def lidar_times(world):
    """(t, whether key frame) of all LiDAR sweeps, in order."""
    count = (world.frames - 1) * SWEEPS + 1
    return [(k * PERIOD / SWEEPS, k % SWEEPS == 0) for k in range(count)]


def visibility_token(share):
    """Token of the visibility level for a visible share 0..1."""
    return next(name for name, _, limit in VISIBILITY if share < limit)


def build(worlds, shown, seed):
    """All tables as {name: list of records}.

    Args:
        worlds: list of World.
        shown: for every world a list over key frames of {item index: (number of LiDAR points, visible share)}.
        seed: the seed of the data set, from which tokens are derived.
    """
    out = {name: [] for name in TABLES}
    make = lambda *names: token(seed, *names)  # noqa: E731
    for name in CATEGORIES:
        out["category"].append({"token": make("category", name), "name": name, "description": f"MiniDrive {name}"})
    for name in ATTRIBUTES:
        out["attribute"].append({"token": make("attribute", name), "name": name, "description": f"MiniDrive {name}"})
    for key, level, limit in VISIBILITY:
        text = f"visible share of the whole object over all cameras below {min(limit, 1.0):.0%}"
        out["visibility"].append({"token": key, "level": level, "description": text})
    for sensor in SENSORS:
        record = {"token": make("sensor", sensor.channel), "channel": sensor.channel, "modality": sensor.modality}
        out["sensor"].append(record)
    for world, frames in zip(worlds, shown, strict=True):
        _scene(out, world, frames, make)
    return out


def _chain(records):
    """Fill prev and next of records that follow each other."""
    for before, after in pairwise(records):
        before["next"], after["prev"] = after["token"], before["token"]


def _scene(out, world, frames, make):
    name = world.name
    log, area = make("log", name), make("map", name)
    out["log"].append(
        {
            "token": log,
            "logfile": f"minidrive-{name}",
            "vehicle": "n000",
            "date_captured": "2019-01-01",
            "location": "minidrive",
        }
    )
    out["map"].append(
        {"token": area, "category": "semantic_prior", "filename": f"maps/{area}.png", "log_tokens": [log]}
    )
    for sensor in SENSORS:
        out["calibrated_sensor"].append(
            {
                "token": make("calibrated", name, sensor.channel),
                "sensor_token": make("sensor", sensor.channel),
                "translation": sensor.sensor2ego[:3, 3].tolist(),
                "rotation": geometry.quaternion(sensor.sensor2ego[:3, :3]).tolist(),
                "camera_intrinsic": [] if sensor.intrinsic is None else sensor.intrinsic.tolist(),
            }
        )
    samples = [
        {
            "token": make("sample", name, k),
            "timestamp": stamp(name, t),
            "prev": "",
            "next": "",
            "scene_token": make("scene", name),
        }
        for k, t in enumerate(world.times)
    ]
    _chain(samples)
    out["sample"] += samples
    out["scene"].append(
        {
            "token": make("scene", name),
            "log_token": log,
            "nbr_samples": len(samples),
            "first_sample_token": samples[0]["token"],
            "last_sample_token": samples[-1]["token"],
            "name": name,
            "description": f"Street, {world.light.name}, {'stops at a crossing' if world.stop else 'free ride'}",
        }
    )
    for sensor in SENSORS:
        _sensor_data(out, world, sensor, samples, make)
    _annotations(out, world, frames, samples, make)


def _sensor_data(out, world, sensor, samples, make):
    name, channel, records = world.name, sensor.channel, []
    times = lidar_times(world) if channel == "LIDAR_TOP" else [(t + sensor.delay, True) for t in world.times]
    for t, key in times:
        pose = make("ego_pose", name, channel, stamp(name, t))
        x, y, yaw = world.ego(t)
        rotation = geometry.quaternion(geometry.rotation_z(yaw)).tolist()
        out["ego_pose"].append(
            {"token": pose, "timestamp": stamp(name, t), "rotation": rotation, "translation": [x, y, 0.0]}
        )
        sample = samples[int(np.ceil(max(t, 0.0) / PERIOD - 0.2))]
        camera = sensor.modality == "camera"
        records.append(
            {
                "token": make("sample_data", name, channel, stamp(name, t)),
                "sample_token": sample["token"],
                "ego_pose_token": pose,
                "calibrated_sensor_token": make("calibrated", name, channel),
                "timestamp": stamp(name, t),
                "fileformat": "jpg" if camera else "pcd",
                "is_key_frame": key,
                "height": HEIGHT if camera else 0,
                "width": WIDTH if camera else 0,
                "filename": filename(name, channel, t, key),
                "prev": "",
                "next": "",
            }
        )
    _chain(records)
    out["sample_data"] += records


def _annotations(out, world, frames, samples, make):
    categories = {r["name"]: r["token"] for r in out["category"]}
    attributes = {r["name"]: r["token"] for r in out["attribute"]}
    tracks = {}
    for k, (t, seen, sample) in enumerate(zip(world.times, frames, samples, strict=True)):
        for i, (count, share) in seen.items():
            item = world.items[i]
            x, y, yaw = item.pose(t)
            attribute = item.attribute(t)
            record = {
                "token": make("annotation", world.name, i, k),
                "sample_token": sample["token"],
                "instance_token": make("instance", world.name, i),
                "visibility_token": visibility_token(share),
                "attribute_tokens": [attributes[attribute]] if attribute else [],
                "translation": [x, y, item.size[2] / 2],
                "size": list(item.size),
                "rotation": geometry.quaternion(geometry.rotation_z(yaw)).tolist(),
                "prev": "",
                "next": "",
                "num_lidar_pts": count,
                "num_radar_pts": 0,
            }
            tracks.setdefault(i, []).append(record)
            out["sample_annotation"].append(record)
    for i, track in tracks.items():
        _chain(track)
        out["instance"].append(
            {
                "token": make("instance", world.name, i),
                "category_token": categories[world.items[i].category],
                "nbr_annotations": len(track),
                "first_annotation_token": track[0]["token"],
                "last_annotation_token": track[-1]["token"],
            }
        )
