"""One key frame of nuScenes or MiniDrive as typed arrays with units and frames, and frames as the steps of a sequence.

Matrices are float64 [4,4] and act on column vectors: `a2b` takes a point of frame a (meters) into frame b. Frames
are lidar, ego (vehicle at the LIDAR_TOP time stamp), global, and camera (x right, y down, z forward).
Needs no torch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from helpers.arguments import typed
from helpers.boxes import Boxes
from helpers.dataset.images import in_threads, read_image
from helpers.errors import BadInput, check_config
from helpers.sequence import Step

CLASSES = (
    "car",
    "truck",
    "construction_vehicle",
    "bus",
    "trailer",
    "barrier",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "traffic_cone",
)
TURN = 2.0  # m aside, from which on a path is a turn
CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")

_began: WeakKeyDictionary = WeakKeyDictionary()  # frame -> time stamp of the first frame of its sequence


@dataclass(frozen=True, eq=False)
class Frame:
    """One key frame.

    token: sample token. scene: scene name. index: position in the scene. timestamp: microseconds.
    image_paths: camera -> Path, in the order of `CAMERAS`, which is also the order of every [6,...] array.
    intrinsics [6,3,3]; lidar2cam, lidar2img [6,4,4]: from the lidar at its time stamp, over the map, into each camera
    at its own time stamp; lidar2img gives (u d, v d, d, 1) in pixels of the source image.
    lidar2ego, ego2global [4,4]: pose of LIDAR_TOP and of the vehicle at the lidar time stamp; camera_ego2global
    [6,4,4]: of the vehicle at the time stamp of each camera.
    can_bus [18] float64, absolute: position m, orientation (w,x,y,z), acceleration m/s2, rotation rate rad/s,
    velocity m/s, yaw in radians (0..2 pi), yaw in degrees.
    boxes: annotated boxes of the ten `CLASSES` in the lidar frame, velocity 0 where the devkit cannot tell it.
    num_lidar_pts [N] int64: lidar points on each box. future_path [T,2]: where the vehicle is at the next (at most 6)
    key frames, x and y in m in this frame's ego.
    can_bus_pose [13] float64: orientation (w,x,y,z) of the CAN bus, acceleration m/s2, rotation rate rad/s, velocity
    m/s. location: of the log, such as boston-seaport.
    """

    token: str
    scene: str
    index: int
    timestamp: int
    image_paths: dict[str, Path]
    intrinsics: np.ndarray
    lidar2cam: np.ndarray
    lidar2img: np.ndarray
    lidar2ego: np.ndarray
    ego2global: np.ndarray
    camera_ego2global: np.ndarray
    can_bus: np.ndarray
    boxes: Boxes
    num_lidar_pts: np.ndarray
    future_path: np.ndarray
    can_bus_pose: np.ndarray
    location: str

    @property
    def command(self) -> int:
        """What the driver is told: 0 left, where the known path ends 2 m or more to the left; 1 right, the same; else
        2, straight on. The rule of OmniDrive's labels.
        """
        aside = self.future_path[-1, 1] if len(self.future_path) else 0.0
        return 0 if aside >= TURN else 1 if aside <= -TURN else 2

    def cam2ego(self, sensor: str = "LIDAR_TOP") -> np.ndarray:
        """From each camera at its own time stamp, over the map, into the vehicle's frame at that of `sensor`, [6,4,4].

        Raises BadInput for a sensor that is neither LIDAR_TOP nor one of `CAMERAS`.
        """
        poses = dict(zip(("LIDAR_TOP", *CAMERAS), (self.ego2global, *self.camera_ego2global), strict=True))
        if sensor not in poses:
            raise BadInput("sensor", repr(sensor), f"one of {', '.join(poses)}", "name a sensor of the frame")
        lidar2key = np.linalg.inv(poses[sensor]) @ self.ego2global @ self.lidar2ego
        return lidar2key @ np.linalg.inv(self.lidar2cam)

    def images(self, reduce: int = 1) -> np.ndarray:
        """The six pictures, uint8 [6,H,W,3] RGB; `reduce` 2, 4 or 8 decodes straight to that fraction (for display).

        Raises BadInput naming the camera without a file, or the file that is missing or cannot be decoded.
        """
        if lacking := [name for name in CAMERAS if name not in self.image_paths]:
            found, expected = f"no {', '.join(lacking)}", f"a path for each of {', '.join(CAMERAS)}"
            raise BadInput(f"image_paths of frame {self.token}", found, expected, "take the frame of a data set")
        paths = [self.image_paths[name] for name in CAMERAS]  # whatever their order there
        pictures = in_threads(lambda path: read_image(path, reduce), paths)
        shapes = {str(path): picture.shape for path, picture in zip(paths, pictures, strict=True)}
        if len(set(shapes.values())) > 1:
            raise BadInput("camera images", shapes, "one size for the six cameras", "restore the original images")
        return np.stack(pictures)


def seconds_of_sequence(frame: Frame, before: Frame | None) -> float:
    """Seconds from the first frame of the sequence to this one; `before` is the frame before it there, or None.

    The beginning is told on from frame to frame: of a `before` that was never asked for itself, it is that one.
    """
    first = frame if before is None else before
    _began[frame] = _began.setdefault(first, first.timestamp)
    return (frame.timestamp - _began[frame]) / 1e6


def earlier(frame: Frame, previous: Frame | None) -> Frame | None:
    """`previous` as the frame before `frame`; None where a sequence begins, as with another scene or a scene's first.

    Raises BadInput for a frame of the same scene that is not an earlier one.
    """
    if previous is None or previous.scene != frame.scene or frame.index == 0:
        return None
    if previous.timestamp >= frame.timestamp:
        found = f"{previous.token}, {(previous.timestamp - frame.timestamp) / 1e6:g} s later"
        fix = "pass a scene's frames in their order, and None where a sequence begins anew"
        raise BadInput(f"frame before {frame.token} of {frame.scene}", found, "an earlier frame", fix)
    return previous


@typed
def stream(frames: Iterable[Frame], config: Any) -> Iterator[Step]:
    """The steps of `frames` in time order, read as they are asked for; a sequence begins with every scene.

    config: of a system; its `inputs(frame, previous)` makes the feeds, `previous` is None where a scene begins.

    Raises BadInput for frames of a scene that are not in the order of time.
    """
    check_config(config, "inputs")
    previous = None
    for frame in frames:
        previous = earlier(frame, previous)
        yield Step(config.inputs(frame, previous), previous is None, frame)
        previous = frame
