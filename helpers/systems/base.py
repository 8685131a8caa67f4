"""What every system says about one configuration of its network: shapes, states, inputs, decoding. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from helpers.errors import BadInput

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Config:
    """One configuration of a system. Verbs such as calibration or export take it and know no system.

    name: key of the system's `CONFIGS`. image_scale: factor from the camera's picture to the network's, in (0, 1].
    image_size: (H, W) in pixels, after scaling and padding. image_mean, image_std: RGB, of pixel values 0..255.

    Attributes:
        states: state input -> the output that feeds it on the next frame.
        decoded: names of the outputs that `decode` reads.
        fp32: patterns (fnmatch) of node names that leave half precision and stay in FP32.
        fp32_without_plugins: further such patterns where standard operators stand for the custom ones.
        unquantized: regular expressions of node names that are not quantized.
    """

    name: str
    image_scale: float
    image_size: tuple[int, int]
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]

    states: ClassVar[dict[str, str]] = {}
    decoded: ClassVar[tuple[str, ...]] = ()
    fp32: ClassVar[tuple[str, ...]] = ()
    fp32_without_plugins: ClassVar[tuple[str, ...]] = ()
    unquantized: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        scale, size = self.image_scale, self.image_size
        pair = isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
        if not (pair and isinstance(scale, int | float) and 0 < scale <= 1):
            expected = "image_scale in (0, 1] and image_size (height, width) in pixels"
            raise BadInput(f"config {self.name!r}", f"image_scale={scale!r}, image_size={size!r}", expected, "mend it")

    def input_shapes(self) -> Shapes:
        """Name -> shape of the inputs, in the order of the graph."""
        raise NotImplementedError

    def output_shapes(self) -> Shapes:
        """Name -> shape of the outputs, in the order of the graph and of the tuple that the network returns."""
        raise NotImplementedError

    def input_types(self) -> dict[str, np.dtype]:
        """Name -> dtype of the inputs; float32 unless a system says otherwise."""
        return {name: np.dtype(np.float32) for name in self.input_shapes()}

    def initial_states(self) -> dict[str, np.ndarray]:
        """State input -> its value where a sequence begins: zeros."""
        shapes, types = self.input_shapes(), self.input_types()
        return {name: np.zeros(shapes[name], types[name]) for name in self.states}

    def inputs(self, frame: Any, previous: Any) -> dict[str, np.ndarray]:
        """The inputs of one `helpers.dataset.Frame` without the states; `previous` is the frame before, or None."""
        raise NotImplementedError

    def decode(self, outputs: Mapping[str, np.ndarray]) -> Any:
        """What the task scores, such as `helpers.boxes.Boxes`, of the outputs (name -> array) of one frame."""
        raise NotImplementedError
