"""Occupancy labels of Occ3D-nuScenes (arXiv:2304.14365) and of MiniDrive, through one path. No torch."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.dataset.frame import Frame
from helpers.errors import BadInput

CLASSES = (
    *("others", "barrier", "bicycle", "bus", "car", "construction_vehicle", "motorcycle", "pedestrian", "traffic_cone"),
    *("trailer", "truck", "driveable_surface", "other_flat", "sidewalk", "terrain", "manmade", "vegetation", "free"),
)
FREE = CLASSES.index("free")
SHAPE = (200, 200, 16)  # voxels along x, y, z
VOXEL = 0.4  # m
LOW = (-40.0, -40.0, -1.0)  # lower corner of the first voxel in ego, m
ARRAYS = ("semantics", "mask_lidar", "mask_camera")
EXPECTED = f"arrays {', '.join(ARRAYS)}, uint8 {list(SHAPE)}: labels 0..{FREE} and masks of 0 and 1"
FIX = (
    "unpack the folder gts of Occ3D-nuScenes (github.com/Tsinghua-MARS-Lab/Occ3D) into the data root, "
    "or make MiniDrive anew: python -m data_scripts.make_minidrive"
)


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
    return Path(dataroot) / "gts" / frame.scene / frame.token / "labels.npz"


def read(dataroot: str | Path, frame: Frame) -> Occupancy:
    """The labels of a frame.

    Raises:
        BadInput: naming the file: missing, damaged, without one of the arrays, or with another shape, type or value.
    """
    return read_file(path_of(dataroot, frame))


def read_file(path: str | Path) -> Occupancy:
    """The labels in a file; raises as `read`."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ARRAYS if name in archive}
    except FileNotFoundError:
        raise BadInput(path, "no file", EXPECTED, FIX) from None
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, AttributeError, TypeError) as error:
        raise BadInput(path, f"not readable as .npz ({error})", EXPECTED, FIX) from error
    for name in ARRAYS:
        _check(path, name, arrays.get(name), FREE if name == "semantics" else 1)
    return Occupancy(arrays["semantics"], *(arrays[name].astype(bool) for name in ARRAYS[1:]))


def _check(path, name, array, most):
    if array is None:
        raise BadInput(path, f"no array {name!r}", EXPECTED, FIX)
    if array.shape != SHAPE or array.dtype != np.uint8:
        raise BadInput(f"{path}: {name}", f"{array.dtype} {list(array.shape)}", f"uint8 {list(SHAPE)}", FIX)
    if array.max() > most:
        where = ", ".join(map(str, np.unravel_index(array.argmax(), SHAPE)))
        raise BadInput(f"{path}: {name}", f"{array.max()} at [{where}]", f"values 0..{most}", FIX)
