"""The door of data sets: the JSON tables of a small nuScenes root, and its CAN bus messages."""

import json
from pathlib import Path
from random import Random

import numpy as np

from ci.fuzz import mutate
from ci.fuzz.door import Door, Silent
from helpers.dataset import open_dataset
from helpers.dataset.layout import TABLES
from helpers.files import ROOT

SOURCE, VERSION, SCENE, SAMPLES = ROOT / "data/minidrive", "v1.0-mini", "scene-0103", 3


def _prepare(common):
    """A root with three samples of one scene, and three annotations in each."""
    (common / VERSION).mkdir()
    (common / "can_bus").mkdir()
    for name, rows in _reduced({name: json.loads((SOURCE / VERSION / f"{name}.json").read_text()) for name in TABLES}):
        (common / VERSION / f"{name}.json").write_text(json.dumps(rows))
    for name in ("maps", "samples", "sweeps", "minidrive.json"):
        (common / name).symlink_to(SOURCE / name)
    poses = json.loads((SOURCE / "can_bus" / f"{SCENE}_pose.json").read_text())
    (common / "can_bus" / f"{SCENE}_pose.json").write_text(json.dumps(poses[::50]))
    _enter(common)


def _reduced(tables):
    """(name, rows) of every table, in which each row that is named is there."""
    (scene,) = (row for row in tables["scene"] if row["name"] == SCENE)
    samples = sorted((row for row in tables["sample"] if row["scene_token"] == scene["token"]),
                     key=lambda row: row["timestamp"])[:SAMPLES]  # fmt: skip
    tokens = [row["token"] for row in samples]
    samples[-1]["next"], scene["nbr_samples"], scene["last_sample_token"] = "", SAMPLES, samples[-1]["token"]
    data = [row for row in tables["sample_data"] if row["sample_token"] in tokens and row["is_key_frame"]]
    here = [row for row in tables["sample_annotation"] if row["sample_token"] in tokens]
    annotations = [row for token in tokens for row in [row for row in here if row["sample_token"] == token][:3]]
    for rows in (data, annotations):
        kept = {row["token"] for row in rows}
        for row in rows:
            row.update({key: row[key] if row[key] in kept else "" for key in ("prev", "next")})
    used = {value for row in (*data, *annotations) for value in row.values() if isinstance(value, str)}
    kept = {"scene": [scene], "sample": samples, "sample_data": data, "sample_annotation": annotations}
    kept["log"] = [row for row in tables["log"] if row["token"] == scene["log_token"]]
    kept["map"] = [row for row in tables["map"] if scene["log_token"] in row["log_tokens"]]
    kept |= {name: [row for row in tables[name] if row["token"] in used]
             for name in ("ego_pose", "instance", "calibrated_sensor")}  # fmt: skip
    return (tables | kept).items()


def _make(random: Random, common: Path, folder: Path) -> None:
    """The root, one or two files of which are damaged."""
    files = [f"{VERSION}/{name}.json" for name in TABLES] + [f"can_bus/{SCENE}_pose.json"]
    wrong = random.choices(files, k=random.choice((1, 1, 1, 2)))
    for name in (VERSION, "can_bus"):
        (folder / name).mkdir()
    for path in (*files, "maps", "samples", "sweeps", "minidrive.json"):
        if path not in wrong:
            (folder / path).symlink_to(common / path)
    for path in dict.fromkeys(wrong):
        rows = json.loads((common / path).read_text())
        text = json.dumps(mutate.tree(rows, random) if random.random() < 0.85 else rows)
        data = text.encode("utf-8", "surrogatepass")
        (folder / path).write_bytes(data if random.random() < 0.9 else mutate.octets(data, random))


def _enter(folder):
    """Read every frame; Silent if one holds what is no place, no rotation and no box."""
    dataset = open_dataset(folder, VERSION, "all")
    for frame in dataset:
        arrays = {name: getattr(frame, name) for name in ("intrinsics", "lidar2cam", "lidar2img", "lidar2ego",
                  "ego2global", "can_bus", "future_path", "num_lidar_pts")}  # fmt: skip
        boxes = frame.boxes
        arrays |= {"centers": boxes.centers, "sizes": boxes.sizes, "yaws": boxes.yaws, "velocities": boxes.velocities}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise Silent(f"{name} of {frame.token}: {array}")
        for name in ("lidar2ego", "ego2global"):
            turn = arrays[name][:3, :3]
            if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-6):
                raise Silent(f"{name} of {frame.token} is no rotation")
        if (boxes.sizes <= 0).any():
            raise Silent(f"sizes of {frame.token}: {boxes.sizes}")


DOORS = {"tables": Door(_prepare, _make, _enter, (".json", "v1.0-mini", "samples/"))}
