"""The file of a calibration set: written sample by sample, and checked before it is believed."""

import contextlib
import math
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers import disk, npz
from helpers.errors import BadInput, foreign
from helpers.files import as_path, atomic

BLOCK = 1 << 24  # bytes read at a time
REMAKE = "write the set again with helpers.calibration.collect"


class Spec(NamedTuple):
    """One sample of an input."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def stored(self) -> tuple[int, ...]:
        """Shape of a sample in the set, where samples are joined along axis 0: a scalar is an array of one."""
        return self.shape or (1,)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


Specs = dict[str, Spec]


def specs_of(input_shapes: Mapping[str, tuple], input_types: Mapping[str, np.dtype] | None = None) -> Specs:
    """Shape and type of one sample of every input; float32 where `input_types` names no other."""
    types = input_types or {}
    for name, shape in input_shapes.items():
        sizes = list(shape) if isinstance(shape, tuple | list) else [None]
        if not all(isinstance(size, int) and size >= 0 for size in sizes) or not name:
            raise BadInput(f"input {name!r}", f"shape {shape!r}", "a name, and sizes from 0", "correct the shapes")
    with foreign("types of the inputs", "types of NumPy", "correct them"):
        types = {name: np.dtype(kind) for name, kind in types.items()}
    return {
        name: Spec(tuple(shape), np.dtype(types.get(name, np.float32)).newbyteorder("<"))
        for name, shape in input_shapes.items()
    }


def fixed_shapes(path: str | Path, shapes: Mapping[str, tuple[int | str, ...]]) -> dict[str, tuple[int, ...]]:
    """`shapes` of one sample with the size that every free dimension, named by a string, has in the set at `path`.

    Raises:
        BadInput: as `CalibrationReader`; or nothing tells how many samples there are, since all inputs begin with a
            free dimension.
    """
    free = any(isinstance(size, str) for shape in shapes.values() for size in shape)
    sizes = _free_sizes(Path(path), shapes) if free else {}
    return {
        name: tuple(sizes.get(size, 1) if isinstance(size, str) else size for size in shape)
        for name, shape in shapes.items()
    }


def _free_sizes(path, shapes):
    """Name of a free dimension -> its size in the first array of the set that has it."""
    found = npz.members(path)
    held = [(found[name].shape, shape) for name, shape in shapes.items() if name in found]
    counts = [have[0] // shape[0] for have, shape in held if have and isinstance(shape[0], int)]
    if not counts:
        raise BadInput(path, "inputs that all begin with a free dimension", "one that does not", "export it fixed")
    sizes: dict[str, int] = {}
    for have, shape in held:
        for axis, (size, name) in enumerate(zip(have, shape, strict=False)):
            if isinstance(name, str):
                sizes.setdefault(name, size if axis else size // max(counts[0], 1))
    return sizes


def check_calibration(
    path: str | Path, input_shapes: Mapping[str, tuple], input_types: Mapping[str, np.dtype] | None = None
) -> int:
    """Read a whole calibration set and return its number of samples.

    Raises:
        BadInput: as `CalibrationReader`, and for damaged bytes (checksum), NaN and infinity, naming the sample, and
            several samples that are all the same.
    """
    path, specs = Path(path), specs_of(input_shapes, input_types)
    _, samples = layout(path, specs)
    alike = samples > 1
    with zipfile.ZipFile(path) as archive:
        for name, spec in specs.items():
            with foreign(f"{path}: {name}", "bytes that match their checksum", REMAKE):
                _check_values(archive, name, spec, samples * spec.nbytes, f"{path}: {name}")
            alike = alike and _is_one_sample(archive, name, spec, samples)
    if alike:
        raise BadInput(path, f"{samples} times the same sample", "samples of frames that differ", REMAKE)
    return samples


def _is_one_sample(archive, name, spec, samples):
    """Whether all samples of an input are the same; it looks no further than the first that is not."""
    if not spec.nbytes:
        return True
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        member.seek(info.file_size - samples * spec.nbytes)
        first = member.read(spec.nbytes)
        return all(member.read(spec.nbytes) == first for _ in range(samples - 1))


def _check_values(archive, name, spec, size, where):
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        member.read(info.file_size - size)  # the header; to seek would leave the checksum out
        start = 0
        for block in iter(lambda: member.read(BLOCK), b""):
            values = np.frombuffer(block, spec.dtype)
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                value = values[bad[0]]
                sample = (start + spec.dtype.itemsize * int(bad[0])) // spec.nbytes
                raise BadInput(f"{where}, sample {sample}", value, "finite numbers", REMAKE)
            start += len(block)


def layout(path: Path, specs: Specs) -> tuple[dict[str, int], int]:
    """({input: byte offset of its data in the file}, number of samples), after checking names, dtypes and shapes."""
    found = npz.members(path)
    if set(found) != set(specs):
        raise BadInput(path, f"arrays {sorted(found)}", f"arrays {sorted(specs)}", REMAKE)
    counts = {name: _samples(found[name], spec, f"{path}: {name}") for name, spec in specs.items()}
    if len(set(counts.values())) != 1:
        raise BadInput(path, f"samples per input {counts}", "the same number for every input", REMAKE)
    return {name: found[name].offset for name in specs}, counts[next(iter(counts))]


def _samples(member, spec, where):
    """Number of samples in one array of the archive."""
    if not member.offset:
        raise BadInput(where, "a compressed array", "an uncompressed one", "save with np.savez, not savez_compressed")
    if member.dtype != spec.dtype:
        raise BadInput(where, member.dtype, spec.dtype.name, f"convert with array.astype(np.{spec.dtype.name})")
    found, shape = member.shape, spec.stored
    fits = len(found) == len(shape) and found[1:] == shape[1:] and found[0] and not found[0] % shape[0]
    if member.fortran_order or not fits:
        expected = f"[samples * {shape[0]}" + "".join(f", {size}" for size in shape[1:]) + "] in C order"
        order = " in Fortran order" if member.fortran_order else ""
        raise BadInput(where, f"{list(found)}{order}", expected, REMAKE)
    return found[0] // shape[0]


@contextlib.contextmanager
def writer(out: str | Path, specs: Specs, samples: int | None) -> Iterator[Callable]:
    """Yield a function that appends one sample; on leaving, pack what was appended into `out`.

    Each input first grows in a file of its own, because an archive takes one member at a time.
    """
    _check_space(out, specs, samples)
    with atomic(out) as part, contextlib.ExitStack() as stack:
        files = {name: part.with_name(f"{number}.raw") for number, name in enumerate(specs)}  # a name may hold a slash
        raw = {name: stack.enter_context(open(file, "w+b")) for name, file in files.items()}
        count = 0

        def append(inputs):
            nonlocal count
            _check_sample(inputs, specs, f"calibration sample {count}")
            for name, stream in raw.items():
                stream.write(np.ascontiguousarray(inputs[name], specs[name].dtype).data)
            count += 1

        yield append
        if not count or (samples is not None and count != samples):
            raise BadInput(out, f"{count} samples in the stream", samples or "at least 1", "ask for fewer samples")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name, stream in raw.items():
                _pack(archive, name, stream, specs[name], count)


def _pack(archive, name, stream, spec, count):
    """Copy a raw file into the archive as `name.npy`, and free its disk space."""
    stream.seek(0)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        shape = (count * spec.stored[0], *spec.stored[1:])
        header = {"descr": np.lib.format.dtype_to_descr(spec.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        shutil.copyfileobj(stream, member, BLOCK)
    stream.truncate(0)


def _check_sample(inputs, specs, where):
    if set(inputs) != set(specs):
        raise BadInput(where, f"inputs {sorted(inputs)}", f"inputs {sorted(specs)}", "pass every network input")
    for name, spec in specs.items():
        array, place = np.asarray(inputs[name]), f"{where}, input {name}"
        if array.shape != spec.shape or array.dtype != spec.dtype:
            expected = f"{spec.dtype.name}{list(spec.shape)}"
            raise BadInput(place, f"{array.dtype}{list(array.shape)}", expected, "convert the input")
        if not np.isfinite(array).all():
            raise BadInput(place, "NaN or infinity", "finite numbers", "look at the frame this sample came from")


def _check_space(out, specs, samples):
    """While packing, the largest array exists twice."""
    sizes = [spec.nbytes * (samples or 0) for spec in specs.values()]
    disk.require(as_path(out), sum(sizes) + max(sizes), "the samples")
