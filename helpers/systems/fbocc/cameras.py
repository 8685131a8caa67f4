"""The cameras of one frame as FB-OCC's geometry takes them. NumPy only."""

from dataclasses import dataclass, field

import numpy as np

from helpers.arguments import array
from helpers.errors import BadInput

RIGID = 1e-2  # how far a rotation times its own inverse may be from 1, of matrices in half precision too


@dataclass(frozen=True, eq=False)
class Cameras:
    """N cameras of one frame; all float64.

    Attributes:
        rotations [N,3,3], translations [N,3]: camera to key ego.
        intrinsics [N,3,3]: in pixels of the source picture.
        post_rotations [N,3,3], post_translations [N,3]: source pixels (u, v, 1) to those of the network's picture.
        bda [3,3]: augmentation of the volume.
    """

    rotations: np.ndarray
    translations: np.ndarray
    intrinsics: np.ndarray
    post_rotations: np.ndarray
    post_translations: np.ndarray
    bda: np.ndarray = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        count = len(array("rotations of cameras", self.rotations, (None, 3, 3)))
        if not count:
            raise BadInput("cameras", "none", "at least one", "take the cameras of the frame")
        check_rotations("rotations of cameras", self.rotations)
        for name in ("translations", "intrinsics", "post_rotations", "post_translations", "bda"):
            shape = {"bda": (3, 3)}.get(name, (count, 3) if name.endswith("translations") else (count, 3, 3))
            found = array(f"{name} of cameras", getattr(self, name), shape)
            if shape[-2:] == (3, 3) and (np.linalg.matrix_rank(found) < 3).any():
                expected = "matrices that can be inverted"
                raise BadInput(f"{name} of cameras", "a singular matrix", expected, "take the calibration of the frame")


def check_rotations(where: str, matrices: np.ndarray) -> None:
    """BadInput for matrices that stretch or mirror: of a calibration or a pose none does."""
    turns = np.asarray(matrices, np.float64)
    away = np.abs(turns @ np.swapaxes(turns, -1, -2) - np.eye(3)).max()
    if away > RIGID or (np.linalg.det(turns) < 0).any():
        found = "a matrix that stretches or mirrors"
        raise BadInput(where, found, "rotations", "take the poses and the calibration of the frame")
