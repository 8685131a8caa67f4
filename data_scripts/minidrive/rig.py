"""The sensor rig: intrinsics, mounting and timing, close to those of the nuScenes vehicles.

Numbers follow the calibrated_sensor records of nuScenes: focal length about 1266 px (809 px for the back camera) at
1600x900, cameras at yaw 0, -56, 55, 180, 108 and -110 degrees, LiDAR turned by -90 degrees. A camera fires when the
LiDAR sweeps over its center, so its time stamp is up to 43 ms before that of the LiDAR.
"""

from dataclasses import dataclass

import numpy as np

from . import geometry

WIDTH, HEIGHT = 1600, 900
_CAMERA_AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Sensor:
    """One sensor. `sensor2ego` is [4,4]; `intrinsic` is [3,3] in pixels, or None; `delay` in s after the LiDAR."""

    channel: str
    modality: str
    sensor2ego: np.ndarray
    intrinsic: np.ndarray | None
    delay: float


def _camera(channel, translation, yaw, pitch, roll, focal, center, delay):
    turn = geometry.rotation_z(np.radians(yaw)) @ geometry.rotation_y(np.radians(pitch))
    turn = turn @ geometry.rotation_x(np.radians(roll)) @ _CAMERA_AXES
    intrinsic = np.array([[focal, 0.0, center[0]], [0.0, focal, center[1]], [0.0, 0.0, 1.0]])
    return Sensor(channel, "camera", geometry.matrix(turn, translation), intrinsic, delay)


CAMERAS = (
    _camera("CAM_FRONT", (1.70, 0.016, 1.51), 0.3, 0.3, -0.2, 1266.4, (816.3, 491.5), -0.0355),
    _camera("CAM_FRONT_RIGHT", (1.55, -0.493, 1.50), -56.4, 0.4, 0.3, 1260.8, (807.9, 495.3), -0.0276),
    _camera("CAM_FRONT_LEFT", (1.52, 0.495, 1.51), 55.1, 0.2, 0.1, 1272.6, (826.6, 479.8), -0.0431),
    _camera("CAM_BACK", (0.03, 0.004, 1.58), 179.8, 0.6, -0.3, 809.2, (829.2, 481.8), -0.0104),
    _camera("CAM_BACK_LEFT", (1.04, 0.485, 1.59), 108.3, 0.5, 0.4, 1256.7, (792.1, 492.8), -0.0005),
    _camera("CAM_BACK_RIGHT", (1.01, -0.481, 1.56), -110.2, 0.4, -0.1, 1259.5, (807.3, 501.2), -0.0201),
)
LIDAR = Sensor(
    "LIDAR_TOP", "lidar", geometry.matrix(geometry.rotation_z(np.radians(-90.2)), (0.944, 0.0, 1.84)), None, 0.0
)
SENSORS = (*CAMERAS, LIDAR)
