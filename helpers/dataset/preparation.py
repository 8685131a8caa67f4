"""How a camera's picture becomes a network's input: one description, for the host and for a graph. Needs no torch."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from helpers.errors import BadInput, check_config


@dataclass(frozen=True)
class Preparation:
    """Resize bilinearly, normalize, pad with zeros at the bottom and right. `helpers.graph.ends` says it in ONNX.

    A pixel of the result lies at the center of the pixels that it stands for (half-pixel centers), and is interpolated
    between the two nearest rows and columns, without a filter against aliasing. The resize runs before the
    normalization, in float32: bilinear weights sum to one, so the order makes no difference and the smaller picture is
    cheaper to normalize.

    Attributes:
        scale: factor from the picture's size to the resized one, rounded down.
        size: (H, W) after padding.
        mean, std: of R, G, B, of pixel values 0..255.
    """

    scale: float
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, config: Any) -> "Preparation":
        """That of a system's configuration."""
        check_config(config, "image_scale", "image_size", "image_mean", "image_std")
        return cls(config.image_scale, tuple(config.image_size), config.image_mean, config.image_std)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of a picture of this size after the resize; BadInput where that is nothing or exceeds `size`."""
        small = int(height * self.scale), int(width * self.scale)
        if not all(small):
            found = f"{height}x{width}, of which scaling by {self.scale} leaves {small[0]}x{small[1]}"
            raise BadInput("size of a picture", found, "at least one pixel", "take larger pictures")
        if small[0] > self.size[0] or small[1] > self.size[1]:
            raise BadInput(
                "config.image_size",
                f"{self.size} for pictures of {small[0]}x{small[1]} after scaling by {self.scale}",
                "the resized picture fits, with zeros below and to the right",
                f"use an image_size of at least {small}",
            )
        return small

    @property
    def offset(self) -> np.ndarray:
        """What is subtracted from R, G, B: float32 [3]."""
        return np.array(self.mean, np.float32)

    @property
    def factor(self) -> np.ndarray:
        """What R, G, B are then multiplied by: float32 [3]."""
        return (1 / np.array(self.std, np.float64)).astype(np.float32)

    def apply(self, picture: np.ndarray, out: np.ndarray) -> None:
        """On the host: uint8 [h,w,3] RGB into `out`, float32 [3,H,W], which is zero where the padding is."""
        height, width = self.resized(*picture.shape[:2])
        small = cv2.resize(picture.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        out[:, :height, :width] = ((small - self.offset) * self.factor).transpose(2, 0, 1)
