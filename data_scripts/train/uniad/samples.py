"""Ever new scenes of MiniDrive as what UniAD learns of: objects with numbers, paths, lines, cells, the own way."""

from typing import Any

import cv2
import numpy as np

from data_scripts.train.omnidrive.worlds import FIRST, NAMES, write
from helpers import dataset, temporary
from helpers.boxes import Boxes
from helpers.dataset import CLASSES, Dataset, Frame, ground, traffic
from helpers.systems.uniad.decode import encode_boxes
from helpers.systems.uniad.inputs import told

MOST_BOXES, MOST_LANES = 96, 24  # of a frame; what is more is left out, the farthest or the smallest first
NONE = -1  # number and class where there is none
SMALLEST = 2  # cells of a lane that is learned
OWN = (1.85, 4.084, 1.56)  # m: width, length and height of the vehicle itself
BEFORE = (1.4858, 0.78)  # m: its middle before the rear axle, and above the ground
HALF = 0.5  # s between key frames

Arrays = dict[str, np.ndarray]


def scene(number: int, seed: int, frames: int, config: Any) -> tuple[Arrays, list]:
    """Scene `number`: the arrays of `sample` with one more axis in front, and nothing that is asked."""
    name, seed = f"scene-{FIRST + number % NAMES:04d}", seed + number // NAMES
    with temporary.scratch() as folder:
        write(folder, name, frames, seed)
        return read(dataset.open_dataset(folder, split="all"), config), []


def read(data: Dataset, config: Any) -> Arrays:
    """The frames of a data set of one scene under each other."""
    before = [None, *data.frames[:-1]]
    samples = [sample(frame, last, data, config) for frame, last in zip(data, before, strict=True)]
    return {name: np.stack([each[name] for each in samples]) for name in samples[0]}


def sample(frame: Frame, before: Frame | None, data: Dataset, config: Any) -> Arrays:
    """What a step of training takes of a frame.

    picture uint8 [6, h, w, 3], scaled and not padded; the other inputs of the network; codes float32 [MOST_BOXES, 10],
    classes and numbers int64 [MOST_BOXES], NONE where there is no box; paths float32 [MOST_BOXES, 12, 2] m, from where
    each is, NaN where it is not known; own float32 [10], the code of the vehicle itself, and way [6, 2] m, NaN where it
    is not known; lanes bool [MOST_LANES, H, W], kinds int64 [MOST_LANES], NONE where there is none; drivable bool
    [H, W]; owner int32 [T, h, w], numbers of the vehicles on cells; future bool, whether all of its steps are there.
    """
    found = told(frame, before, config)
    found["picture"] = scaled(frame, config)
    known = learned(frame, config)
    boxes, numbers = frame.boxes[known], traffic.numbered(data, frame)[known]
    paths = paths_of(data, frame, config.motion_steps)[known]
    found |= {
        "codes": filled(encode_boxes(boxes), MOST_BOXES, 0),
        "classes": filled(boxes.labels, MOST_BOXES, NONE),
        "numbers": filled(numbers, MOST_BOXES, NONE),
        "paths": filled(paths.astype(np.float32), MOST_BOXES, np.nan),
    }
    way = frame.future_path @ frame.lidar2ego[:2, :2]
    found["own"], found["way"] = own_code(frame), filled(way.astype(np.float32), config.plan_steps, np.nan)
    low, high = config.pc_range[:2], config.pc_range[3:5]
    grid = ground.Grid(low, high, (config.bev_h, config.bev_w))
    lines, drivable = ground.lines(data.roadmap(frame), frame, grid)
    lanes, kinds = instances(lines)
    found |= {"lanes": filled(lanes, MOST_LANES, False), "kinds": filled(kinds, MOST_LANES, NONE), "drivable": drivable}
    reach, size = config.occupancy_range, config.occupancy_size
    owner = ground.vehicles(data, frame, ground.Grid((-reach,) * 2, (reach,) * 2, size), config.occupancy_steps)
    found["future"] = np.array(owner is not None)
    none = np.zeros((config.occupancy_steps, *size), np.int32)
    return found | {"owner": none if owner is None else owner.astype(np.int32)}


def scaled(frame: Frame, config: Any) -> np.ndarray:
    """Pictures uint8 [6, h, w, 3], RGB, as `Preparation` scales them, in whole numbers."""
    pictures = frame.images()
    height, width = config.preparation().resized(*pictures.shape[1:3])
    return np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_LINEAR) for each in pictures])


def learned(frame: Frame, config: Any) -> np.ndarray:
    """Which boxes are learned, nearest first: those that the LiDAR touches, within `pc_range`."""
    low, high = np.split(np.array(config.pc_range), 2)
    centers = frame.boxes.centers
    inside = (frame.num_lidar_pts > 0) & ((centers > low) & (centers < high)).all(1)
    order = np.argsort(np.hypot(*centers[:, :2].T), kind="stable")
    return order[inside[order]]


def paths_of(data: Dataset, frame: Frame, steps: int) -> np.ndarray:
    """Where the objects of `frame.boxes` will be, [N, steps, 2] m of the lidar frame from where they are, else NaN."""
    turn = np.linalg.inv(frame.ego2global @ frame.lidar2ego)[:2, :2]
    rows = traffic.annotated(data, frame)
    found = np.full((len(rows), steps, 2), np.nan)
    for path, row in zip(found, rows, strict=True):
        place, step = np.array(row["translation"][:2]), 0
        while row["next"] and step < steps:
            row = data.nusc.get("sample_annotation", row["next"])
            path[step], step = turn @ (np.array(row["translation"][:2]) - place), step + 1
    return found


def own_code(frame: Frame) -> np.ndarray:
    """The box code of the vehicle itself [10]; its speed is that of the first half second that is known, else 0."""
    ego2lidar = np.linalg.inv(frame.lidar2ego)
    middle = ego2lidar @ (BEFORE[0], 0.0, BEFORE[1], 1.0)
    ahead = ego2lidar[:2, 0]
    moved = frame.future_path[:1] / HALF if len(frame.future_path) else np.zeros((1, 2))
    speed = moved @ ego2lidar[:2, :2].T
    box = Boxes(middle[None, :3], np.array([OWN]), np.arctan2(*ahead[::-1])[None], speed, [0], [1], "lidar", CLASSES)
    return encode_boxes(box)[0]


def instances(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines bool [3, H, W] -> connected pieces bool [N, H, W], the largest first, and their kinds [N]."""
    pieces, kinds = [], []
    for kind, mask in enumerate(lines):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        pieces += [labels == piece for piece in range(1, count)]
        kinds += [kind] * (count - 1)
    order = sorted(range(len(pieces)), key=lambda k: -int(pieces[k].sum()))
    kept = [k for k in order if pieces[k].sum() >= SMALLEST]
    shape = (len(kept), *lines.shape[1:])
    return np.array([pieces[k] for k in kept], bool).reshape(shape), np.array([kinds[k] for k in kept], np.int64)


def filled(array: np.ndarray, count: int, value: Any) -> np.ndarray:
    """The first `count` rows, filled up."""
    rows = np.full((count, *array.shape[1:]), value, array.dtype)
    rows[: len(array)] = array[:count]
    return rows
