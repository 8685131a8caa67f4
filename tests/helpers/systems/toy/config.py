"""Configurations of the toy: shapes, types, states and which parts need FP32. NumPy only."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from helpers.systems import base

CLASSES = ("free", *(f"kind {k}" for k in range(1, 17)))


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Sizes of one configuration; `grid` is the number of voxels (z, y, x)."""

    grid: tuple = (4, 10, 16)
    channels: int = 16
    image_mean: tuple = (0.0, 0.0, 0.0)
    image_std: tuple = (255.0, 255.0, 255.0)

    states: ClassVar = {"prev_map": "map", "prev_motion": "motion"}
    decoded = ("voxels",)
    fp32 = ("/motion/*",)
    unquantized = ("/head/",)

    def input_shapes(self):
        return {
            "image": (1, 6, 3, *self.image_size),
            "prev_map": (1, self.channels, *self.grid[1:]),
            "prev_motion": (1, 4),
            "command": (1,),
            "velocity": (1, 2),
        }

    def input_types(self):
        return super().input_types() | {"command": np.dtype(np.int64)}

    def output_shapes(self):
        return {
            "voxels": (1, len(CLASSES), *self.grid),
            "map": (1, self.channels, *self.grid[1:]),
            "motion": (1, 4),
        }

    def inputs(self, frame, previous):
        from tests.helpers.systems.toy.inputs import inputs

        return inputs(frame, previous, self)

    def decode(self, outputs):
        from tests.helpers.systems.toy.decode import decode

        return decode(outputs["voxels"])


CONFIGS = {"small": Config(name="small", image_scale=0.04, image_size=(40, 64))}
