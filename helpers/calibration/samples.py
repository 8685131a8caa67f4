"""Raw samples: what a network takes on real frames, a folder per frame and in it one file `INPUT.dat` per input.

Such a file holds the bytes of an array in C order and nothing else, as trtexec's `--loadInputs` takes it. The sizes of
the free dimensions follow from the lengths of the files; `shapes.json` says all shapes, and is not needed, but where it
is it has to agree.
"""

import itertools
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import BadInput, check_config
from helpers.files import PathLike, as_path, atomic, check_target, found_at, read_json
from helpers.sequence import Step

Shapes = dict[str, tuple[int, ...]]
SUFFIX, STATED = ".dat", "shapes.json"
ENDS = ("min", "opt", "max")
WRITTEN = "a folder of samples, as python -m helpers samples writes it"
REMAKE = "pass the --config that the samples were made with, or write them again"


def check_out(out: PathLike) -> None:
    """BadInput unless a folder can be made at `out`: what is there already is never replaced."""
    out = as_path(out)
    if out.is_dir() and any(out.iterdir()):
        raise BadInput(out, "a folder that is not empty", "a new folder", "give another name")
    check_target(out, folder=True)


def dump(steps: Iterable[Step], out: PathLike, config: Any, count: int = 1) -> Path:
    """Write the inputs of the first `count` steps, of `helpers.dataset.stream`, as raw samples; returns `out`.

    Args:
        out: a new folder, whole or absent; a sample's folder in it has the token of its frame for a name.
        config: of the system: types of the inputs. Its states are written as they are where a sequence begins.

    Raises:
        BadInput: `out` holds something already, there are fewer steps, or the disk is full.
    """
    check_config(config, "initial_states", "input_types")
    check_out(out)
    taken = 0
    with atomic(out, folder=True, new=True) as part:
        for step in itertools.islice(steps, count):
            frame: Any = step.frame
            _write(part / frame.token, step.feeds | config.initial_states(), config.input_types())
            taken += 1
        check_count(taken, count)
    return Path(out)


def check_count(there: int, count: int) -> None:
    """BadInput if there are fewer frames than were asked for."""
    if there < count:
        raise BadInput("samples", f"{there} frames", f"{count}, as asked for", "ask for fewer, or name a larger split")


def _write(folder, feeds, types):
    folder.mkdir()
    arrays = {name: np.asarray(feeds[name], dtype.newbyteorder("<")) for name, dtype in types.items()}
    for name, array in arrays.items():
        (folder / f"{name}{SUFFIX}").write_bytes(array.tobytes())
    stated = {name: {"dtype": array.dtype.name, "shape": array.shape} for name, array in arrays.items()}
    (folder / STATED).write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")


def read_shapes(folder: PathLike, config: Any) -> dict[Path, Shapes]:
    """Folder of a sample -> shape of each of its inputs, from the lengths of the files.

    Args:
        folder: of samples, or of the files of a single one.
        config: of the system: shapes, types and free dimensions of the inputs. Files of states may be absent.

    Raises:
        BadInput: no samples; a file that is absent, or whose length fits no shape; inputs that should agree in a free
            dimension and do not; a size outside of what the configuration states; a `shapes.json` that says otherwise;
            bytes that are plainly of another type, or numbers that are not finite.
    """
    check_config(config, "input_shapes", "input_types", "free_axes", "states")
    folder = as_path(folder)
    if not folder.is_dir():
        raise BadInput(folder, "no such folder", WRITTEN, "correct the path")
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [path for path in (folder, *below) if any(path.glob(f"*{SUFFIX}"))]
    if not found:
        raise BadInput(folder, f"no file *{SUFFIX}", WRITTEN, "correct the path")
    return {path: _shapes(path, config) for path in found}


def _shapes(folder, config):
    types, free, sizes = config.input_types(), config.free_axes(), {}
    found, stated = {}, _stated(folder)
    for name, shape in config.input_shapes().items():
        path = folder / f"{name}{SUFFIX}"
        if name in config.states and not path.exists():
            continue
        if not path.is_file():
            raise BadInput(path, found_at(path), f"the bytes of input {name} of config {config.name!r}", REMAKE)
        found[name] = _shape(path, shape, types[name], free.get(name, {}))
        for axis, dimension in free.get(name, {}).items():
            _check_size(path, dimension, found[name][axis], sizes.setdefault(dimension.name, found[name][axis]))
        here = {"dtype": types[name].name, "shape": [*found[name]]}
        if stated.get(name, here) != here:
            raise BadInput(
                folder / STATED, f"{name}: {stated[name]}", f"{here}, as the file of the input has it", REMAKE
            )
        if name not in config.states:
            _check_values(path, np.fromfile(path, types[name].newbyteorder("<")))
    return found


def _stated(folder):
    path, fix = folder / STATED, "remove the file, or write the samples again"
    stated = read_json(path, "shapes by name, in JSON", fix) if path.exists() else {}
    if not isinstance(stated, dict):
        raise BadInput(path, f"a {type(stated).__name__}", "a table of shapes by name", fix)
    return stated


def _check_values(path, array):
    """BadInput for numbers that are not finite, truths that are neither 0 nor 1, and 64-bit numbers taken for 32."""
    found = None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        found = "numbers that are NaN or infinite"
    elif array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        found = "bytes that are neither 0 nor 1"
    elif array.dtype == np.int32 and array.size % 2 == 0 and array.any():
        low, high = array[::2], array[1::2]
        found = "64-bit numbers" if array.size > 2 and np.array_equal(high, low >> 31) else None
    if found:
        raise BadInput(path, found, f"{array.dtype} as the configuration has it", REMAKE)


def _shape(path, shape, dtype, free):
    """The shape of the array in a file: what is not free is known, and one free dimension follows from the length."""
    known = math.prod(size for axis, size in enumerate(shape) if axis not in free) * dtype.itemsize
    text = "x".join(free[axis].name if axis in free else str(size) for axis, size in enumerate(shape))
    if len(free) > 1:
        raise BadInput(path, f"more than one free dimension in {text}", "one at most", "fix the others in the config")
    there = path.stat().st_size
    if there % known or (not free and there != known):
        raise BadInput(path, f"{there} bytes", f"{'a multiple of ' * bool(free)}{known}, for {dtype} {text}", REMAKE)
    return tuple(there // known if axis in free else size for axis, size in enumerate(shape))


def _check_size(path, dimension, size, first):
    name = dimension.name
    if size != first:
        raise BadInput(path, f"{name} = {size}", f"{name} = {first}, as the sample's inputs before have it", REMAKE)
    if not dimension.least <= size <= dimension.most:
        expected = f"{name} from {dimension.least} to {dimension.most}"
        fix = f"leave the sample out, or export the graph from a config with a wider range of {name}"
        raise BadInput(path, f"{name} = {size}", expected, fix)


def profile(samples: Sequence[Shapes], config: Any) -> dict[str, tuple[tuple[int, ...], ...]]:
    """(min, opt, max) shapes of every input with a free dimension, for an optimization profile.

    Least and most are those of the configuration; opt, the sizes for which kernels are chosen, is the median of the
    samples, of each dimension.
    """
    check_config(config, "free_axes")
    three = {}
    for name, axes in config.free_axes().items():
        shape = samples[0][name]
        chosen = [
            {axis: dimension.least for axis, dimension in axes.items()},
            {axis: statistics.median_high(sample[name][axis] for sample in samples) for axis in axes},
            {axis: dimension.most for axis, dimension in axes.items()},
        ]
        three[name] = tuple(tuple(sizes.get(axis, size) for axis, size in enumerate(shape)) for sizes in chosen)
    return three


def flags(folder: PathLike, config: Any) -> list[str]:
    """The words of `trtexec` for the profile of the samples in `folder`, and for the first of them as its inputs.

    Raises what `read_shapes` raises.
    """
    found = read_shapes(folder, config)
    three = profile(list(found.values()), config)
    first, sizes = next(iter(found.items()))
    shapes = {f"{end}Shapes": {name: chosen[k] for name, chosen in three.items()} for k, end in enumerate(ENDS)}
    shapes["shapes"] = {name: sizes[name] for name in three}
    words = [f"--{option}={_spec(of_inputs)}" for option, of_inputs in shapes.items()]
    return [*words, "--loadInputs=" + ",".join(f"{name}:{first / name}{SUFFIX}" for name in sizes)]


def _spec(shapes):
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())
