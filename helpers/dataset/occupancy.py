"""Occupancy labels of Occ3D-nuScenes (arXiv:2304.14365) and of MiniDrive, through one path. No torch."""

import hashlib
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
MOVED = 1.0  # m, more than two voxels: no two frames so far apart have every label in common
OCC3D = "the folder gts of Occ3D-nuScenes (github.com/Tsinghua-MARS-Lab/Occ3D)"


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Labels of one key frame along x, y, z of ego (vehicle at the LIDAR_TOP time stamp), each [200,200,16].

    semantics: uint8, index into `CLASSES`. mask_lidar, mask_camera: bool, whether the sensors see the voxel.
    """

    semantics: np.ndarray
    mask_lidar: np.ndarray
    mask_camera: np.ndarray

    @property
    def digest(self) -> bytes:
        """SHA-256 of the labels and of what the cameras see."""
        return hashlib.sha256(self.semantics.tobytes() + self.mask_camera.tobytes()).digest()


def path_of(dataroot: str | Path, frame: Frame) -> Path:
    """Where the labels of a frame lie: gts/SCENE/TOKEN/labels.npz."""
    return Path(dataroot) / "gts" / frame.scene / frame.token / "labels.npz"


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


def check_apart(dataroot: str | Path, frame: Frame, other: Frame) -> None:
    """BadInput for a frame with the very labels of another, of another scene or from another place: a file was copied,
    or a link leads to the wrong one.
    """
    way = float(np.linalg.norm(frame.ego2global[:3, 3] - other.ego2global[:3, 3]))
    if frame.scene != other.scene or way >= MOVED:
        far = f"{way:.1f} m away" if frame.scene == other.scene else f"of {other.scene}"
        found = f"the labels of {other.token}, {far}"
        raise BadInput(path_of(dataroot, frame), found, f"those of {frame.token}", f"unpack {OCC3D} again")
