"""Writes the files of a scene: sensors, maps, CAN bus, questions; the unit of parallel work is a few frames."""

import json
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from . import canbus, conversation, geometry, lidar, occupancy, render, roadmap, tables
from .rig import CAMERAS, LIDAR, SENSORS
from .streets import road_bounds
from .world import World, generator

JPEG_QUALITY = 85
MAP_RESOLUTION = 0.1


@lru_cache(maxsize=2)
def world_of(name, frames, seed):
    """The world of a scene, remembered for the next piece of work."""
    return World(name, frames, seed)


def write_json(path, content):
    """Compact JSON with stable key order."""
    Path(path).write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def prepare(root):
    """The folders of a data root."""
    root = Path(root)
    for sensor in SENSORS:
        (root / "samples" / sensor.channel).mkdir(parents=True)
    for folder in ("sweeps/LIDAR_TOP", "maps/expansion", "can_bus", "v1.0-mini"):
        (root / folder).mkdir(parents=True)
    for folder in (f"{kind}/{split}" for kind in ("conv", "desc", "keywords", "vqa") for split in ("train", "val")):
        (root / folder).mkdir(parents=True)


def frames(root, name, count, seed, first, last):
    """Write the sensor files of key frames first..last-1 (and the sweeps before each), and what is asked about them.

    Returns:
        name, first and a list over these frames of {item index: (number of LiDAR points, visible share 0..1)}.
    """
    cv2.setNumThreads(1)
    world = world_of(name, count, seed)
    shown = []
    for k in range(first, last):
        t = float(world.times[k])
        scene = render.Scene(world, t)
        if k:
            for j in range(1, tables.SWEEPS):
                earlier = t - j * float(world.times[1]) / tables.SWEEPS
                _lidar(root, world, render.Scene(world, earlier), earlier, seed, False)
        points = _lidar(root, world, scene, t, seed, True)
        place = Path(root) / "gts" / name / tables.token(seed, "sample", name, k) / "labels.npz"
        occupancy.save(place, occupancy.labels(scene, geometry.pose_matrix(*world.ego(t))))
        seen = {}
        for camera in CAMERAS:
            moment = t + camera.delay
            image, areas = render.render(scene, camera, geometry.pose_matrix(*world.ego(moment)))
            _image(Path(root) / tables.filename(name, camera.channel, moment), image)
            for i, (visible, whole) in areas.items():
                total = seen.setdefault(i, [0, 0])
                total[0] += visible
                total[1] += whole
        shown.append(_evidence(world, scene, t, points, seen))
        told = conversation.files(world, k, shown[-1], generator(seed, "conversation", name, k))
        for folder, content in told.items():
            file = f"{tables.token(seed, 'sample', name, k)}.json"
            write_json(Path(root) / folder / conversation.split_of(name) / file, content)
    return name, first, shown


def _evidence(world, scene, t, points, seen):
    """What is annotated: as in nuScenes, objects with at least one LiDAR point."""
    agents = world.in_range(t)
    lidar2global = geometry.pose_matrix(*world.ego(t)) @ LIDAR.sensor2ego
    counts = lidar.points_in_boxes(points, lidar2global, scene.poses[agents], scene.sizes[agents])
    share = lambda i: seen[i][0] / seen[i][1] if i in seen and seen[i][1] else 0.0  # noqa: E731
    return {i: (count, share(i)) for i, count in zip(agents, counts, strict=True) if count}


def _lidar(root, world, scene, t, seed, key):
    rng = generator(seed, "lidar", world.name, round(t * 1e6))
    points = lidar.sweep(scene, geometry.pose_matrix(*world.ego(t)), rng)
    points.tofile(Path(root) / tables.filename(world.name, "LIDAR_TOP", t, key))
    return points


def _image(path, image):
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise OSError(f"cannot encode {path}")
    path.write_bytes(data.tobytes())


def surroundings(root, name, count, seed):
    """Write the map image, the map of lanes and the CAN bus files of a scene; returns the scene's name."""
    world, root = world_of(name, count, seed), Path(root)
    for message, content in canbus.messages(world, tables.start_time(name)).items():
        write_json(root / "can_bus" / f"{name}_{message}.json", content)
    width, height = np.rint(road_bounds(world.route) / MAP_RESOLUTION).astype(int)
    mask = np.zeros((height, width), np.uint8)
    for polygon in world.streets.drivable():
        cells = polygon[:, :2] / MAP_RESOLUTION
        cells[:, 1] = height - cells[:, 1]
        cv2.fillPoly(mask, [np.rint(cells).astype(np.int32)], 255)
    area = tables.token(seed, "map", name)
    ok, data = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    if not ok:
        raise OSError("cannot encode the map")
    (root / "maps" / f"{area}.png").write_bytes(data.tobytes())
    content = roadmap.expansion(world, lambda *names: tables.token(seed, *names))
    write_json(root / "maps/expansion" / f"{name}.json", content)
    return name
