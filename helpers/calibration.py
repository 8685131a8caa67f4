"""Calibration sets: what the network sees on real frames, written to disk and read back one sample at a time.

A calibration set is an uncompressed `.npz` with one float32 array per network input; the samples are joined along
axis 0 of that input's own shape. 600 samples of the published BEVFormer give image [600, 6, 3, 480, 800], prev_bev
[1500000, 1, 256], use_prev_bev [600], can_bus [10800], lidar2img [600, 6, 4, 4]: 18 GB, so nothing here ever holds
more than one sample (about 30 MB). The layout is the one ModelOpt's `--calibration_data_path` takes.
"""

import contextlib
import itertools
import math
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np

from helpers.errors import BadInput
from helpers.files import atomic

HISTORY_INPUT, HISTORY_OUTPUT = "prev_bev", "bev_embed"
BLOCK = 1 << 24  # bytes read at a time
REMAKE = "write the set again with helpers.calibration.collect"


def collect(run, stream, out, input_shapes, samples=None, seed=0, progress=False):
    """Drive the network over consecutive frames and record every input it was given.

    `prev_bev` is the network's own `bev_embed` of the preceding sample; at the very first step it is random normal
    (seeded), and `use_prev_bev` is 0 wherever `stream` starts a new scene, so that old history is seen but not used.

    Args:
        run: function of {input name: float32 array} giving {output name: array}, for example an engine's `run`.
        stream: yields (frame, inputs) in time order, as `helpers.dataset.stream`; inputs lack `prev_bev`.
        out: the `.npz` to write; whole or absent.
        input_shapes: {input name: shape of one sample}, for example `config.input_shapes()`.
        samples: how many to take; None takes the whole stream.

    Raises:
        BadInput: a sample with a wrong name, shape, dtype or a value that is not finite; fewer samples than asked for;
            not enough free disk.
    """
    from tqdm import tqdm

    history = np.random.default_rng(seed).standard_normal(input_shapes[HISTORY_INPUT], dtype=np.float32)
    with _writer(out, input_shapes, samples) as append:
        for _, inputs in tqdm(
            itertools.islice(stream, samples), "calibration samples", samples, disable=not progress, leave=False
        ):
            inputs = {**inputs, HISTORY_INPUT: history}
            append(inputs)
            history = np.asarray(run(inputs)[HISTORY_OUTPUT], dtype=np.float32)
    return Path(out)


def noise(out, input_shapes, samples, seed=0, scale=1.0):
    """Write a calibration set of the right names, shapes and dtype whose values are all random normal.

    The negative control: ranges measured on it say nothing about driving. `scale` is the standard deviation: normalized
    images have about 1; less makes the ranges too narrow (values are cut), more makes them too wide (steps too coarse).
    """
    generator = np.random.default_rng(seed)
    with _writer(out, input_shapes, samples) as append:
        for _ in range(samples):
            append(
                {
                    name: np.float32(scale) * generator.standard_normal(shape, np.float32)
                    for name, shape in input_shapes.items()
                }
            )
    return Path(out)


class CalibrationReader:
    """Reads a calibration set one sample at a time: the data reader of ONNX Runtime and of ModelOpt.

    Args:
        path: an uncompressed `.npz`.
        input_shapes: {input name: shape of one sample}.
        samples: use only the first so many.
        progress: show a bar while the samples are being drawn.

    Raises:
        BadInput: not a `.npz`, compressed, or a wrong name, dtype or shape.
    """

    def __init__(self, path, input_shapes, samples=None, progress=False):
        self.path = Path(path)
        self.shapes = {name: tuple(shape) for name, shape in input_shapes.items()}
        self.offsets, found = _layout(self.path, self.shapes)
        self.samples = found if samples is None else min(samples, found)
        self.bar = _bar(self.samples) if progress else _NoBar()
        self.rewind()

    def __len__(self):
        return self.samples

    def __iter__(self):
        return (self[index] for index in range(self.samples))

    def __getitem__(self, index):
        """Sample `index` as {input name: float32 array of the input's shape}."""
        if not 0 <= index < self.samples:
            raise IndexError(f"sample {index} of {self.samples}")
        sample = {}
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            offset = self.offsets[name] + 4 * size * index
            sample[name] = np.fromfile(self.path, "<f4", size, offset=offset).reshape(shape)
        return sample

    def get_next(self):
        """The next sample, or None after the last."""
        if self.position == self.samples:
            return None
        self.position += 1
        self.bar.update()
        return self[self.position - 1]

    def get_first(self):
        """The first sample, without moving on."""
        return self[0]

    def rewind(self):
        """Start again from the first sample."""
        self.position = 0
        self.bar.reset()

    def set_range(self, start_index, end_index):
        """Draw samples start_index (included) to end_index (excluded)."""
        self.position, self.samples = start_index, min(end_index, self.samples)


class _NoBar:
    def update(self):
        pass

    reset = close = update


def _bar(samples):
    from tqdm import tqdm  # reading alone, beside an engine, must not need it

    return tqdm(total=samples, desc="calibrating", leave=False)


def check_calibration(path, input_shapes):
    """Read a whole calibration set and return its number of samples.

    Raises:
        BadInput: as `CalibrationReader`, and for damaged bytes (checksum), NaN and infinity, naming the sample.
    """
    path = Path(path)
    _, samples = _layout(path, input_shapes)
    with zipfile.ZipFile(path) as archive:
        for name, shape in input_shapes.items():
            try:
                _check_values(archive, name, 4 * math.prod(shape), path)
            except zipfile.BadZipFile as error:
                raise BadInput(f"{path}: {name}", error, "bytes that match their checksum", REMAKE) from error
    return samples


def _check_values(archive, name, sample_bytes, path):
    with archive.open(f"{name}.npy") as member:
        _read_header(member)
        start = 0
        for block in iter(lambda: member.read(BLOCK), b""):
            bad = np.flatnonzero(~np.isfinite(np.frombuffer(block, "<f4")))
            if len(bad):
                value = np.frombuffer(block, "<f4")[bad[0]]
                sample = (start + 4 * int(bad[0])) // sample_bytes
                raise BadInput(f"{path}: {name}, sample {sample}", value, "finite numbers", REMAKE)
            start += len(block)


def _read_header(stream):
    """(shape, fortran_order, dtype) of a `.npy` stream; leaves it at the first data byte."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _layout(path, input_shapes):
    """({input: byte offset of its data in the file}, number of samples), after checking names, dtypes and shapes."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(path, error, "an uncompressed .npz archive", REMAKE) from error
    with archive, open(path, "rb") as stream:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if set(members) != set(input_shapes):
            raise BadInput(path, f"arrays {sorted(members)}", f"arrays {sorted(input_shapes)}", REMAKE)
        offsets, counts = {}, {}
        for name, shape in input_shapes.items():
            offsets[name], counts[name] = _member(stream, members[name], tuple(shape), f"{path}: {name}")
    if len(set(counts.values())) != 1:
        raise BadInput(path, f"samples per input {counts}", "the same number for every input", REMAKE)
    return offsets, counts[next(iter(counts))]


def _member(stream, info, shape, where):
    """(byte offset of the data, number of samples) of one array in the archive."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise BadInput(where, "a compressed array", "an uncompressed one", "save with np.savez, not savez_compressed")
    stream.seek(info.header_offset + 26)  # a local file header ends with the lengths of the name and the extra field
    name_length, extra_length = struct.unpack("<HH", stream.read(4))
    stream.seek(name_length + extra_length, 1)
    try:
        found, fortran_order, dtype = _read_header(stream)
    except (ValueError, OSError) as error:
        raise BadInput(where, error, "an array in .npy format", REMAKE) from error
    if dtype != np.dtype("<f4"):
        raise BadInput(where, dtype, "float32", "convert with array.astype(np.float32)")
    if fortran_order or len(found) != len(shape) or found[1:] != shape[1:] or not found[0] or found[0] % shape[0]:
        expected = f"[samples * {shape[0]}" + "".join(f", {size}" for size in shape[1:]) + "] in C order"
        raise BadInput(where, f"{list(found)}{' in Fortran order' if fortran_order else ''}", expected, REMAKE)
    return stream.tell(), found[0] // shape[0]


@contextlib.contextmanager
def _writer(out, input_shapes, samples):
    """Yield a function that appends one sample; on leaving, pack what was appended into `out`.

    Each input first grows in a file of its own, because an archive takes one member at a time.
    """
    _check_space(out, input_shapes, samples)
    with atomic(out) as part, contextlib.ExitStack() as stack:
        raw = {name: stack.enter_context(open(part.with_name(f"{name}.raw"), "w+b")) for name in input_shapes}
        count = 0

        def append(inputs):
            nonlocal count
            _check_sample(inputs, input_shapes, f"calibration sample {count}")
            for name, stream in raw.items():
                stream.write(np.ascontiguousarray(inputs[name], "<f4").data)
            count += 1

        yield append
        if not count or (samples is not None and count != samples):
            raise BadInput(out, f"{count} samples in the stream", samples or "at least 1", "ask for fewer samples")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name, stream in raw.items():
                _pack(archive, name, stream, (count * input_shapes[name][0], *input_shapes[name][1:]))


def _pack(archive, name, stream, shape):
    """Copy a raw float32 file into the archive as `name.npy`, and free its disk space."""
    stream.seek(0)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": shape})
        shutil.copyfileobj(stream, member, BLOCK)
    stream.truncate(0)


def _check_sample(inputs, input_shapes, where):
    if set(inputs) != set(input_shapes):
        raise BadInput(where, f"inputs {sorted(inputs)}", f"inputs {sorted(input_shapes)}", "pass every network input")
    for name, shape in input_shapes.items():
        array, place = np.asarray(inputs[name]), f"{where}, input {name}"
        if array.shape != tuple(shape) or array.dtype != np.float32:
            raise BadInput(place, f"{array.dtype}{list(array.shape)}", f"float32{list(shape)}", "convert the input")
        if not np.isfinite(array).all():
            raise BadInput(place, "NaN or infinity", "finite numbers", "look at the frame this sample came from")


def _check_space(out, input_shapes, samples):
    """While packing, the largest array exists twice."""
    sizes = [4 * math.prod(shape) * (samples or 0) for shape in input_shapes.values()]
    folder = next(folder for folder in Path(out).absolute().parents if folder.exists())
    needed, free = sum(sizes) + max(sizes), shutil.disk_usage(folder).free
    if needed > free:
        fix = "free some space, write elsewhere, or take fewer samples"
        raise BadInput(out, f"{free / 1e9:.1f} GB free", f"{needed / 1e9:.1f} GB for {samples} samples", fix)
