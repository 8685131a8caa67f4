"""Ever new scenes of MiniDrive as training samples: written as a data root of one scene, and read as every other is."""

from pathlib import Path
from typing import Any

import numpy as np

from data_scripts.make_minidrive import MARKER
from data_scripts.minidrive import geometry, lidar, produce, render, tables
from data_scripts.minidrive.conversation import files, split_of
from data_scripts.minidrive.rig import CAMERAS, LIDAR
from data_scripts.minidrive.world import World, generator
from data_scripts.train.omnidrive.motions import variants
from helpers import dataset, temporary
from helpers.boxes import Boxes, transform
from helpers.dataset import Frame
from helpers.dataset.questions import POINTS, Question, questions
from helpers.dataset.roadmap import Roadmap, center_lines
from helpers.systems.omnidrive.decode import encode_boxes
from helpers.systems.omnidrive.inputs import cropped, surroundings

FIRST, NAMES = 1000, 9000  # number of the first scene's name, and how many names a seed has
MOST_BOXES, MOST_LANES = 128, 24  # of a frame; what is more is left out, the farthest first
VARIANTS = 12  # of the motion at each frame
NONE = -1  # label where there is no box
SHORTEST = 2.0  # m of a lane that is learned

Arrays = dict[str, np.ndarray]


def scene(number: int, seed: int, frames: int, config: Any) -> tuple[Arrays, list[list[Question]]]:
    """Scene `number`: the arrays of `sample` with one more axis in front, and what is asked of each frame.

    With them come driven [frames, VARIANTS, 74] and ways [frames, VARIANTS, 6, 2] of `motions.variants`. None of them
    is a scene of the default MiniDrive's mini_val, whose names end before `FIRST`.
    """
    name, seed = f"scene-{FIRST + number % NAMES:04d}", seed + number // NAMES
    with temporary.scratch() as folder:
        write(folder, name, frames, seed)
        arrays, asked = read(folder, "all", config)
    world, rng = produce.world_of(name, frames, seed), generator(seed, "variants", name)
    driven, ways = zip(*(variants(world, k, VARIANTS, rng) for k in range(frames)), strict=True)
    return arrays | {"driven": np.float32(driven), "ways": np.float32(ways)}, asked


def write(root: Path, name: str, frames: int, seed: int) -> None:
    """A data root of one scene as `data_scripts.make_minidrive` makes it, without sweeps, clouds and voxels."""
    world = produce.world_of(name, frames, seed)
    produce.prepare(root)
    produce.surroundings(root, name, frames, seed)
    shown = [_frame(root, world, k, seed) for k in range(frames)]
    for table, records in tables.build([world], [shown], seed).items():
        produce.write_json(root / "v1.0-mini" / f"{table}.json", records)
    (root / MARKER).write_text("{}", encoding="utf-8")  # it has a map for each scene


def _frame(root: Path, world: World, k: int, seed: int) -> dict:
    """Write the pictures of a key frame and what is asked about it; returns what was seen of each item."""
    t = float(world.times[k])
    shot = render.Scene(world, t)
    ego2global = geometry.pose_matrix(*world.ego(t))
    points = lidar.sweep(shot, ego2global, generator(seed, "lidar", world.name, round(t * 1e6)))
    areas: dict[int, list] = {}
    for camera in CAMERAS:
        moment = t + camera.delay
        image, drawn = render.render(shot, camera, geometry.pose_matrix(*world.ego(moment)))
        produce._image(root / tables.filename(world.name, camera.channel, moment), image)
        for item, pair in drawn.items():
            areas.setdefault(item, []).append(pair)
    near = world.in_range(t)
    counts = lidar.points_in_boxes(points, ego2global @ LIDAR.sensor2ego, shot.poses[near], shot.sizes[near])
    seen = {item: (count, _share(areas.get(item))) for item, count in zip(near, counts, strict=True) if count}
    told = files(world, k, seen, generator(seed, "conversation", world.name, k))
    for folder, content in told.items():
        place = root / folder / split_of(world.name) / f"{tables.token(seed, 'sample', world.name, k)}.json"
        produce.write_json(place, content)
    return seen


def _share(pairs):
    """The visible share of an item, of (visible, whole) areas in pictures."""
    visible, whole = np.sum(pairs, 0) if pairs else (0, 0)
    return visible / whole if whole else 0.0


def read(root: str | Path, split: str, config: Any) -> tuple[Arrays, list[list[Question]]]:
    """The frames of a data root under each other, and what is asked of each."""
    data = dataset.open_dataset(root, split=split)
    before = [None, *data.frames[:-1]]
    samples = [sample(frame, last, data.roadmap(frame), config) for frame, last in zip(data, before, strict=True)]
    arrays = {name: np.stack([each[name] for each in samples]) for name in samples[0]}
    return arrays, [questions(root, frame) for frame in data]


def sample(frame: Frame, before: Frame | None, roadmap: Roadmap, config: Any) -> Arrays:
    """What a step of training takes of a frame.

    picture uint8 [6, *image_crop, 3] before it is stretched; the other inputs of the network without their first axis;
    codes float32 [MOST_BOXES, 10] and labels int64 [MOST_BOXES], NONE where there is no box; lanes float32
    [MOST_LANES, points, 3] in m of ego, NaN where there is none; path float32 [6, 2], NaN where it is not known.
    """
    found = {name: array[0] for name, array in surroundings(frame, before, config).items()}
    found["picture"] = np.stack([cropped(picture, config) for picture in frame.images()])
    boxes = learned_boxes(frame, config)
    found["codes"] = _filled(encode_boxes(boxes), MOST_BOXES, 0)
    found["labels"] = _filled(boxes.labels, MOST_BOXES, NONE)
    lanes = learned_lanes(roadmap, frame, config)
    found["lanes"] = _filled(lanes.astype(np.float32), MOST_LANES, np.nan)
    path = frame.future_path if len(frame.future_path) == POINTS else np.full((POINTS, 2), np.nan)
    return found | {"path": path.astype(np.float32)}


def learned_boxes(frame: Frame, config: Any) -> Boxes:
    """The boxes in ego that the LiDAR touches, within `pc_range`, nearest first."""
    boxes = transform(frame.boxes[frame.num_lidar_pts > 0], frame.lidar2ego, "ego")
    low, high = np.split(np.array(config.pc_range), 2)
    boxes = boxes[((boxes.centers > low) & (boxes.centers < high)).all(1)]
    return boxes[np.argsort(np.hypot(*boxes.centers[:, :2].T), kind="stable")]


def learned_lanes(roadmap: Roadmap, frame: Frame, config: Any) -> np.ndarray:
    """Center lines [N, points, 3] in m of ego, at equal distances along each, nearest first."""
    lines = [along(line, config.points) for line in center_lines(roadmap, frame)]
    long = [line for line in lines if np.hypot(*np.diff(line[:, :2], axis=0).T).sum() >= SHORTEST]
    long.sort(key=lambda line: float(np.hypot(*line[:, :2].T).min()))
    return np.array(long).reshape(-1, config.points, 3)


def along(line: np.ndarray, count: int) -> np.ndarray:
    """[count, 3] at equal distances along a line [n, 3], from its first point to its last."""
    steps = np.hypot(*np.diff(line[:, :2], axis=0).T)
    lengths = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0, lengths[-1], count)
    return np.stack([np.interp(wanted, lengths, column) for column in line.T], -1)


def _filled(array, count, value):
    """The first `count` rows, filled up."""
    rows = np.full((count, *array.shape[1:]), value, array.dtype)
    rows[: len(array)] = array[:count]
    return rows
