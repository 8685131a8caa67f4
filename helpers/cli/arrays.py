"""Arrays that a command feeds a network: seeded noise, or those of an .npz file."""

import contextlib
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers.errors import BadInput

Arrays = dict[str, np.ndarray]
MOST_FRAMES = 10_000
MOST_BYTES = 4 << 30  # of one array


def noise(shapes: Mapping[str, tuple], types: Mapping[str, np.dtype], fix: str, seed: int = 0) -> Arrays:
    """Normal noise for every floating-point input, zeros for the others (whole numbers are often indices).

    Raises:
        BadInput: an input whose shape has a free dimension, with `fix` for its `{name}`, or that is too large.
    """
    random, feeds = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        if not all(isinstance(size, int) for size in shape):
            raise BadInput(f"input {name!r}", f"free dimensions in {list(shape)}", "a shape", fix.format(name=name))
        dtype = np.dtype(types[name])
        _check_size(f"input {name!r}", shape, np.dtype(np.float64))
        feeds[name] = (random.standard_normal(shape) if dtype.kind == "f" else np.zeros(shape)).astype(dtype)
    return feeds


def load(path: str | Path, shapes: Mapping[str, tuple]) -> Arrays:
    """The arrays of an .npz file, name -> array, read only if their headers have the names and `shapes` of the inputs.

    A dimension that is no number is free.

    Raises:
        BadInput: no .npz file, a damaged one, one with pickles, or arrays that fit no input or are too large.
    """
    for name, (found, dtype) in _headers(path).items():
        check_shape(f"{path}: array {name!r}", name, found, shapes)
        _check_size(f"{path}: array {name!r}", found, dtype)
    with _reading(path), np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def load_frames(path: str | Path, shapes: Mapping[str, tuple]) -> list[Arrays]:
    """The frames of an .npz file: arrays by input name, the frame along the first axis; errors as of `load`."""
    counts = {name: shape[0] if shape else 0 for name, (shape, _) in _headers(path).items()}
    if len(set(counts.values())) != 1:
        raise BadInput(path, f"frames by array: {counts}", "the same first extent", "stack the frames of every input")
    count = next(iter(counts.values()))
    if count > MOST_FRAMES:
        raise BadInput(path, f"{count} frames", f"at most {MOST_FRAMES}", "compare fewer frames at a time")
    arrays = load(path, {name: ("frames", *shape) for name, shape in shapes.items()})
    return [{name: array[index] for name, array in arrays.items()} for index in range(count)]


def _headers(path):
    """Name -> (shape, dtype) of the arrays in an .npz file."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist()}


def _header(archive, name):
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        return shape, dtype


@contextlib.contextmanager
def _reading(path):
    """Whatever zipfile and NumPy raise becomes a BadInput: they raise many, MemoryError among them."""
    try:
        yield
    except Exception as error:
        raise BadInput(path, error, "a whole .npz file without pickles", "write it with numpy.savez") from error


def check_shape(where: object, name: str, found: tuple, shapes: Mapping[str, tuple]) -> None:
    """BadInput unless there is an input `name` and `found` is its shape; a dimension that is no number is free."""
    if name not in shapes:
        raise BadInput(where, "no such input", f"one of {list(shapes)}", "rename the array or leave it out")
    expected = shapes[name]
    fits = len(found) == len(expected) and all(
        size == wanted or not isinstance(wanted, int) for size, wanted in zip(found, expected, strict=True)
    )
    if not fits:
        wanted = f"[{', '.join('?' if size is None else str(size) for size in expected)}]"
        raise BadInput(where, list(found), wanted, "give it the shape of the input")


def _check_size(where, shape, dtype):
    size = math.prod(shape) * dtype.itemsize
    if size > MOST_BYTES:
        expected = f"an array of at most {MOST_BYTES / 2**30:.0f} GiB"
        raise BadInput(where, f"shape {list(shape)}, {size / 2**30:.1f} GiB", expected, "take a smaller shape")
