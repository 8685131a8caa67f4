"""Arrays that a command feeds a network: seeded noise, or those of an .npz file."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers import npz
from helpers.errors import BadInput, foreign

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


def load(path: str | Path, shapes: Mapping[str, tuple], types: Mapping[str, np.dtype] | None = None) -> Arrays:
    """The arrays of an .npz file, name -> array, read only if their headers have the names and `shapes` of the inputs.

    A dimension that is no number is free.

    Raises:
        BadInput: what `helpers.npz.members` refuses, arrays that fit no input or are too large, damaged bytes, and
            values that are NaN or infinite, or too large for the input's type in `types`.
    """
    for name, member in npz.members(path).items():
        check_shape(f"{path}: array {name!r}", name, member.shape, shapes)
        _check_size(f"{path}: array {name!r}", member.shape, member.dtype)
    with foreign(path, npz.EXPECTED, npz.FIX), np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    for name, array in arrays.items():
        npz.check_numbers(f"{path}: array {name!r}", array, np.dtype((types or {}).get(name, array.dtype)))
    return arrays


def load_frames(path: str | Path, shapes: Mapping[str, tuple], types: Mapping[str, np.dtype]) -> list[Arrays]:
    """The frames of an .npz file: arrays by input name, the frame along the first axis; errors as of `load`.

    Every input has an array, of a type that converts to its own of `types`.
    """
    found = npz.members(path)
    if absent := [name for name in shapes if name not in found]:
        raise BadInput(path, f"arrays {list(found)}", f"one for {', '.join(absent)} too", "add what is missing")
    for name, member in found.items():
        if name in types and not np.can_cast(member.dtype, types[name], "same_kind"):
            fix = f"convert with array.astype(np.{types[name]})"
            raise BadInput(f"{path}: array {name!r}", member.dtype, types[name], fix)
    counts = {name: member.shape[0] if member.shape else 0 for name, member in found.items()}
    if len(set(counts.values())) != 1:
        raise BadInput(path, f"frames by array: {counts}", "the same first extent", "stack the frames of every input")
    count = next(iter(counts.values()))
    if count > MOST_FRAMES:
        raise BadInput(path, f"{count} frames", f"at most {MOST_FRAMES}", "compare fewer frames at a time")
    arrays = load(path, {name: ("frames", *shape) for name, shape in shapes.items()}, types)
    return [{name: array[index] for name, array in arrays.items()} for index in range(count)]


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
