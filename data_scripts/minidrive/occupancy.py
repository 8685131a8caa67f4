"""Occ3D-style labels from the true geometry of a scene: what fills every voxel of 0.4 m, and which voxels sensors see.

Ego frame, axes x, y, z. The flat ground fills the layer of voxels that holds z = 0; what stands on it fills every voxel
that it touches; what lies below is never seen.
"""

import zipfile
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from . import mesh, scenery
from .rig import CAMERAS, HEIGHT, LIDAR, WIDTH
from .streets import CURB, PAVING

SHAPE, VOXEL, LOW = (200, 200, 16), 0.4, np.array((-40.0, -40.0, -1.0))
DRIVEABLE, SIDEWALK, TERRAIN, MANMADE, VEGETATION, FREE = 11, 13, 14, 15, 16, 17
GROUND_LAYER = int(-LOW[2] / VOXEL)
AGENTS = {
    "movable_object.barrier": 1,
    "vehicle.bicycle": 2,
    "vehicle.bus": 3,
    "vehicle.car": 4,
    "vehicle.construction": 5,
    "vehicle.motorcycle": 6,
    "human.pedestrian": 7,
    "movable_object.trafficcone": 8,
    "vehicle.trailer": 9,
    "vehicle.truck": 10,
}
PAVED = {PAVING: SIDEWALK, CURB: SIDEWALK}
PLANTS = (scenery.tree, scenery.hedge)
SHIFT = 4  # binary places of a corner's coordinates
REACH = 60.0  # m; no voxel is farther from a sensor
BEAMS = np.tan(np.radians(np.linspace(-30.67, 10.67, 32)))


def labels(scene, ego2global):
    """dict of semantics, mask_lidar, mask_camera, each uint8 [200,200,16], of a render.Scene seen from ego2global."""
    global2ego = np.linalg.inv(ego2global)
    semantics = _filled(scene, global2ego)
    solid = np.append(semantics != FREE, True)  # one more, behind the volume, where every ray ends
    camera = np.zeros(solid.shape, np.uint8)
    for sensor in CAMERAS:
        _see(solid, camera, sensor.sensor2ego[:3, 3], *_camera_rays(sensor.channel))
    lidar = np.zeros(solid.shape, np.uint8)
    turns = np.arange(360) * np.pi / 180
    _see(solid, lidar, LIDAR.sensor2ego[:3, 3], turns, BEAMS, np.ones((1, 1), bool))
    masks = (mask[:-1].reshape(SHAPE) for mask in (lidar, camera))
    return dict(zip(("semantics", "mask_lidar", "mask_camera"), (semantics, *masks), strict=True))


def save(path, arrays):
    """Write a .npz of equal bytes for equal arrays."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # without the time of day
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as stream:
                np.lib.format.write_array(stream, array)


def class_of(item):
    """Occ3D's class of an item."""
    if item.category is None:
        return VEGETATION if item.makers[0].func in PLANTS else MANMADE
    return next(label for prefix, label in AGENTS.items() if item.category.startswith(prefix))


def _filled(scene, global2ego):
    """Class of every voxel, uint8 [200,200,16]; agents win over scenery, and both over the ground."""
    planes = np.full((SHAPE[2], *SHAPE[:2]), FREE, np.uint8)
    ground = planes[GROUND_LAYER]
    ground[:] = TERRAIN
    for polygon, color in scene.world.streets.bands:
        cv2.fillPoly(ground, [_cells(polygon @ global2ego[:3, :3].T + global2ego[:3, 3])], PAVED.get(color, DRIVEABLE),
                     cv2.LINE_8, SHIFT)  # fmt: skip
    away = scene.poses[:, :2] @ global2ego[:2, :2].T + global2ego[:2, 3]
    near = np.flatnonzero((np.abs(away) < 40 + scene.radius[:, None]).all(1))
    for i in sorted(near, key=lambda i: (scene.world.items[i].category is not None, i)):
        _stand(planes, scene.meshes[i], global2ego @ scene.matrices[i], class_of(scene.world.items[i]))
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def _stand(planes, shape, to_ego, label):
    """Paint the solids of one item, layer by layer: a ball as circles, any other by its bounds."""
    balls = shape.kinds == mesh.BALL
    boxes = np.delete(shape.bounds, shape.solids[balls], axis=0)
    corners = boxes[:, (0, 1, 1, 0), 0], boxes[:, (0, 0, 1, 1), 1]
    flat = np.stack([*corners, np.zeros(corners[0].shape)], -1) @ to_ego[:3, :3].T + to_ego[:3, 3]
    for polygon, low, high in zip(_cells(flat), boxes[:, 0, 2], boxes[:, 1, 2], strict=True):
        for layer in range(*_layers(low, high)):
            cv2.fillConvexPoly(planes[layer], polygon, label, cv2.LINE_8, SHIFT)
    centers = shape.vertices[shape.starts[:-1][balls]] @ to_ego[:3, :3].T + to_ego[:3, 3]
    for center, place, radius in zip(centers, _cells(centers), shape.sizes[balls], strict=True):
        for layer in range(*_layers(center[2] - radius, center[2] + radius)):
            off = np.clip(center[2] - LOW[2] - layer * VOXEL, 0, VOXEL) + LOW[2] + layer * VOXEL - center[2]
            size = round(np.sqrt(max(radius**2 - off**2, 0)) / VOXEL * (1 << SHIFT))
            cv2.circle(planes[layer], place.tolist(), size, label, -1, cv2.LINE_8, SHIFT)


def _cells(points):
    """Ego [...,3] to OpenCV's fixed-point (column, row) of a plane [x,y]."""
    cells = (points[..., 1::-1] - LOW[1::-1]) / VOXEL - 0.5
    return np.rint(np.clip(cells, -4000, 4000) * (1 << SHIFT)).astype(np.int32)


def _layers(low, high):
    """First layer and the one behind the last that a height range touches."""
    first, last = np.floor((np.array((low, high)) - LOW[2]) / VOXEL + (1e-6, -1e-6)).astype(int)
    return max(first, 0), min(max(last, first), SHAPE[2] - 1) + 1


@lru_cache(maxsize=len(CAMERAS))
def _camera_rays(channel):
    """Directions [A] of a camera's rays on the ground, slopes [E], and which pairs are inside its picture [A,E].

    Dense enough to meet neighboring voxels: upward evenly, downward so that they meet every voxel of the ground.
    """
    camera = next(each for each in CAMERAS if each.channel == channel)
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsic
    across = (np.linspace(0, WIDTH, 96) - cx) / fx
    axis = camera.sensor2ego[:3, 2]
    turns = np.arctan2(axis[1], axis[0]) - np.arctan(across)
    height = camera.sensor2ego[2, 3]
    slopes = np.concatenate([-height / np.arange(1.0, 40.0, 0.4), np.linspace(0.0, cy / fy, 24)])
    rows = -slopes * np.sqrt(1 + across[:, None] ** 2) * fy + cy  # the cameras are level within a degree
    return turns, slopes, (rows >= 0) & (rows <= HEIGHT)


def _see(solid, mask, origin, turns, slopes, inside):
    """Set `mask` at every voxel that a ray passes up to the first solid one; solid, mask: flat volumes and one more."""
    run = np.arange(VOXEL / 2, REACH, VOXEL, dtype=np.float32)
    x, y = (_cell(o + f(turns)[:, None] * run, 0) for o, f in ((origin[0], np.cos), (origin[1], np.sin)))
    z = _cell(origin[2] + slopes[:, None] * run, 2)
    beyond = (np.minimum(x, y) < 0) | (np.maximum(x, y) >= SHAPE[0])
    flat = np.where(beyond, solid.size, (x * SHAPE[1] + y) * SHAPE[2])
    z = np.where((z < 0) | (z >= SHAPE[2]), solid.size, z)
    index = np.minimum(flat[:, None] + z[None], solid.size - 1)[np.broadcast_to(inside, (len(turns), len(slopes)))]
    first = solid[index].argmax(1)
    mask[index[np.arange(index.shape[1]) <= first[:, None]]] = 1
    mask[-1] = 0


def _cell(positions, axis):
    return np.floor((positions - LOW[axis]) / VOXEL).astype(np.int32)
