"""Occupancy labels of Occ3D-nuScenes (arXiv:2304.14365) and of MiniDrive, through one path. No torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import npz
from helpers.arguments import typed
from helpers.dataset import layout
from helpers.dataset.frame import Frame
from helpers.errors import BadInput, foreign
from helpers.voxels import CLASSES, FREE, LOW, SHAPE, VOXEL

__all__ = ["CLASSES", "FREE", "LOW", "SHAPE", "VOXEL", "Occupancy", "path_of", "read", "read_file"]

ARRAYS = ("semantics", "mask_lidar", "mask_camera")
EXPECTED = f"arrays {', '.join(ARRAYS)}, uint8 {list(SHAPE)}: labels 0..{FREE} and masks of 0 and 1"
OCC3D = "the folder gts of Occ3D-nuScenes (github.com/Tsinghua-MARS-Lab/Occ3D)"


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Labels of one key frame along x, y, z of ego (vehicle at the LIDAR_TOP time stamp), each [200,200,16].

    semantics: uint8, index into `CLASSES`. mask_lidar, mask_camera: bool, whether the sensors see the voxel.
    """

    semantics: np.ndarray
    mask_lidar: np.ndarray
    mask_camera: np.ndarray


def path_of(dataroot: str | Path, frame: Frame) -> Path:
    """Where the labels of a frame lie: gts/SCENE/TOKEN/labels.npz."""
    return file_of(dataroot, frame.scene, frame.token)


def file_of(dataroot: str | Path, scene: str, token: str) -> Path:
    """Where the labels of a sample of a scene lie."""
    return Path(dataroot) / "gts" / scene / token / "labels.npz"


@typed
def read(dataroot: str | Path, frame: Frame) -> Occupancy:
    """The labels of a frame.

    Raises:
        BadInput: naming the file: missing, damaged, without one of the arrays, or with another shape, type or value.
    """
    root = Path(dataroot)
    cure = layout.remake(root, "gts/") if layout.is_minidrive(root) else f"unpack {OCC3D} into {root}"
    return read_file(path_of(root, frame), cure)


@typed
def read_file(path: str | Path, fix: str = f"take the file from {OCC3D}") -> Occupancy:
    """The labels in a file; raises as `read`, with `fix` as the cure."""
    if not Path(path).is_file():
        raise BadInput(path, "no file", EXPECTED, fix)
    found = npz.members(path)  # before any is read: what the headers claim
    for name in ARRAYS:
        if name not in found:
            raise BadInput(path, f"no array {name!r}", EXPECTED, fix)
        if (found[name].shape, found[name].dtype) != (SHAPE, np.uint8):
            told = f"{found[name].dtype} {list(found[name].shape)}"
            raise BadInput(f"{path}: {name}", told, f"uint8 {list(SHAPE)}", fix)
    with foreign(path, EXPECTED, fix), np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in ARRAYS}
    for name, array in arrays.items():
        most = FREE if name == "semantics" else 1
        if array.max() > most:
            where = ", ".join(map(str, np.unravel_index(array.argmax(), SHAPE)))
            raise BadInput(f"{path}: {name}", f"{array.max()} at [{where}]", f"values 0..{most}", fix)
    if not arrays["mask_camera"].any():
        raise BadInput(f"{path}: mask_camera", "not one voxel", "the voxels that the cameras see", fix)
    return Occupancy(arrays["semantics"], *(arrays[name].astype(bool) for name in ARRAYS[1:]))
