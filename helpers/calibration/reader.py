"""A calibration set as a data reader of ONNX Runtime, ModelOpt and TensorRT: one sample at a time."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers.arguments import typed
from helpers.calibration.archive import layout, specs_of
from helpers.errors import BadInput


class CalibrationReader:
    """Reads a calibration set one sample at a time: the data reader of ONNX Runtime and of ModelOpt.

    Args:
        path: an uncompressed `.npz`.
        input_shapes: {input name: shape of one sample}.
        samples: use only the first so many.
        progress: show a bar while the samples are being drawn.
        input_types: {input name: dtype}; float32 where it names none.

    Raises:
        BadInput: not a `.npz`, compressed, or a wrong name, dtype or shape.
    """

    @typed
    def __init__(
        self,
        path: str | Path,
        input_shapes: Mapping[str, tuple],
        samples: int | None = None,
        progress: bool = False,
        input_types: Mapping[str, np.dtype] | None = None,
    ):
        self.path, self.specs = Path(path), specs_of(input_shapes, input_types)
        self.offsets, found = layout(self.path, self.specs)
        self.state = _state(os.stat(self.path))
        self.samples = found if samples is None else min(samples, found)
        self.bar = _bar(self.samples) if progress else _NoBar()
        self.set_range(0, self.samples)

    def __len__(self):
        return self.samples

    def __iter__(self):
        return (self[index] for index in range(self.samples))

    def __getitem__(self, index):
        """Sample `index` as {input name: array of the input's shape and type}.

        BadInput if the file was replaced since it was opened: its samples would be those of two sets.
        """
        if not 0 <= index < self.samples:
            raise IndexError(f"sample {index} of {self.samples}")
        sample = {}
        with open(self.path, "rb") as stream:
            if _state(os.fstat(stream.fileno())) != self.state:
                fix = "read it again from its beginning, when nobody writes it any more"
                raise BadInput(self.path, "another file than the one that was opened", "one set for all samples", fix)
            for name, spec in self.specs.items():
                stream.seek(self.offsets[name] + spec.nbytes * index)
                sample[name] = np.fromfile(stream, spec.dtype, math.prod(spec.shape)).reshape(spec.shape)
        return sample

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next sample of the range, or None after its last."""
        if self.position >= self.stop:
            return None
        self.position += 1
        self.bar.update()
        return self[self.position - 1]

    def get_first(self) -> dict[str, np.ndarray]:
        """The first sample, without moving on."""
        return self[0]

    def rewind(self) -> None:
        """Start again from the first sample of the range."""
        self.position = self.start
        self.bar.reset()

    @typed
    def set_range(self, start_index: int, end_index: int) -> None:
        """Let `get_next` draw the samples start_index (included) to end_index (excluded)."""
        self.start, self.stop = start_index, min(end_index, self.samples)
        self.rewind()


def _state(found):
    """What tells a file from one that has taken its place."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class _NoBar:
    def update(self):
        pass

    reset = close = update


def _bar(samples):
    from tqdm import tqdm  # reading alone, beside an engine, must not need it

    return tqdm(total=samples, desc="calibrating", leave=False)
