"""Arrays that a command feeds a network: seeded noise, or those of an .npz file."""

import contextlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers.errors import BadInput

Arrays = dict[str, np.ndarray]
MOST_FRAMES = 10_000


def noise(shapes: Mapping[str, tuple], types: Mapping[str, np.dtype], fix: str, seed: int = 0) -> Arrays:
    """Normal noise for every floating-point input, zeros for the others (whole numbers are often indices).

    Raises:
        BadInput: an input whose shape has a free dimension, with `fix` for its `{name}`.
    """
    random, feeds = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        if not all(isinstance(size, int) for size in shape):
            raise BadInput(f"input {name!r}", f"free dimensions in {list(shape)}", "a shape", fix.format(name=name))
        dtype = np.dtype(types[name])
        feeds[name] = (random.standard_normal(shape) if dtype.kind == "f" else np.zeros(shape)).astype(dtype)
    return feeds


def load(path: str | Path, shapes: Mapping[str, tuple]) -> Arrays:
    """The arrays of an .npz file, name -> array, read only if their headers have the names and `shapes` of the inputs.

    A dimension that is no number is free.

    Raises:
        BadInput: no .npz file, a damaged one, one with pickles, or arrays that fit no input.
    """
    for name, found in _headers(path).items():
        _check(f"{path}: array {name!r}", name, found, shapes)
    with _reading(path), np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def load_frames(path: str | Path, shapes: Mapping[str, tuple]) -> list[Arrays]:
    """The frames of an .npz file: arrays by input name, the frame along the first axis; errors as of `load`."""
    counts = {name: shape[0] if shape else 0 for name, shape in _headers(path).items()}
    if len(set(counts.values())) != 1:
        raise BadInput(path, f"frames by array: {counts}", "the same first extent", "stack the frames of every input")
    count = next(iter(counts.values()))
    if count > MOST_FRAMES:
        raise BadInput(path, f"{count} frames", f"at most {MOST_FRAMES}", "compare fewer frames at a time")
    arrays = load(path, {name: ("frames", *shape) for name, shape in shapes.items()})
    return [{name: array[index] for name, array in arrays.items()} for index in range(count)]


def _headers(path):
    """Name -> shape of the arrays in an .npz file."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): _shape(archive, name) for name in archive.namelist()}


def _shape(archive, name):
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return read(member)[0]


@contextlib.contextmanager
def _reading(path):
    """Whatever zipfile and NumPy raise becomes a BadInput: they raise many, MemoryError among them."""
    try:
        yield
    except Exception as error:
        raise BadInput(path, error, "a whole .npz file without pickles", "write it with numpy.savez") from error


def _check(where, name, found, shapes):
    if name not in shapes:
        raise BadInput(where, "no such input", f"one of {list(shapes)}", "rename the array or leave it out")
    expected = shapes[name]
    fits = len(found) == len(expected) and all(
        size == wanted or not isinstance(wanted, int) for size, wanted in zip(found, expected, strict=True)
    )
    if not fits:
        expected = f"[{', '.join('?' if size is None else str(size) for size in expected)}]"
        raise BadInput(where, list(found), expected, "give the array the shape of the input")
