"""The doors of .npz files: calibration sets, the inputs of a run, and the frames of a comparison."""

import io
import warnings
import zipfile
from pathlib import Path
from random import Random

import numpy as np
from onnx import parser

from ci.fuzz import mutate
from ci.fuzz.door import Door, Silent, command
from helpers import graph
from helpers.calibration import CalibrationReader, check_calibration

FILE, MODEL = "arrays.npz", "model.onnx"
SHAPES, TYPES = {"image": (1, 2, 3), "step": (), "flag": (2,)}, {"image": "f4", "step": "f4", "flag": "i8"}
SOURCE = """
    <ir_version: 9, opset_import: ["": 18]>
    fed (float[1, 2, 3] image, float step, int64[2] flag) => (float[1, 2, 3] out, int64[2] kept) {
      out = Mul (image, step)
      kept = Identity (flag)
    }"""
TYPE_NAMES = ("<f4", "<f8", "<f2", ">f4", "<i8", "<i4", "|u1", "|b1", "<c8", "|O", "<U4", "|S3", "<M8[s]", "|V8", "x",
              [("a", "<f4")], [("a", "|O")], None, 5)  # fmt: skip
EXTENTS = (*mutate.NUMBERS, 3, 6, 12, True, 2.0, None, "2", 10**30)


def _prepare(common):
    path = common / MODEL
    graph.save(parser.parse_model(SOURCE), path)
    command("engine", "build", f"--onnx={path}", f"--cache={common / 'engines'}")


def _making(samples):
    """A `make` for `samples` of every input along a first axis of their own, joined along their own, or for one."""

    def whole(random):
        source = np.random.default_rng(random.randrange(100))
        arrays = {name: (source.normal(size=shape) * 10).astype(TYPES[name]) for name, shape in SHAPES.items()}
        if samples == "joined":
            return {name: np.concatenate([np.atleast_1d(array)] * 3) for name, array in arrays.items()}
        return {name: np.stack([array] * 3) for name, array in arrays.items()} if samples else arrays

    def make(random: Random, common: Path, folder: Path) -> None:
        (folder / MODEL).symlink_to(common / MODEL)
        (folder / "engines").symlink_to(common / "engines")
        data = _archive(whole(random), random)
        (folder / FILE).write_bytes(mutate.octets(data, random) if random.random() < 0.4 else data)

    return make


def _archive(arrays, random):
    """The bytes of an .npz file in which something may be wrong with one array."""
    warnings.simplefilter("ignore")  # of names given twice, and of numbers that overflow
    made, wrong = io.BytesIO(), random.choice(list(arrays))
    packed = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(made, "w", packed) as archive:
        for name, array in arrays.items():
            content, kind = _npy(array), random.choice(KINDS) if name == wrong else None
            if kind == "absent":
                continue
            if kind == "name":
                name = random.choice((*mutate.TEXTS, *arrays))
            if kind in ("header", "value", "another", "bytes"):
                content = {"header": _lie, "value": _value, "another": _another, "bytes": _damage}[kind](array, random)
            for _ in range(2 if kind == "twice" else 1):
                archive.writestr(zipfile.ZipInfo(f"{name}.npy" if name else "."), content, packed)
    return made.getvalue()


KINDS = ("header", "header", "header", "value", "value", "another", "bytes", "absent", "name", "twice", None)


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _lie(array, random):
    """The array under a header of another shape, type or order."""
    shape = list(array.shape)
    if random.random() < 0.7:
        if shape and random.random() < 0.7:
            shape[random.randrange(len(shape))] = random.choice(EXTENTS)
        else:
            shape = random.choice(([], shape[::-1], [*shape, 1], [1, *shape], shape[:-1], [0], None, [[1]], [-1, -1]))
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": tuple(shape) if shape is not None else None}
    if random.random() < 0.4:
        header["descr"] = random.choice(TYPE_NAMES)
    if random.random() < 0.2:
        header["fortran_order"] = random.choice((True, None, "no", 1))
    if random.random() < 0.1:
        del header[random.choice(list(header))]
    text = repr(header).encode() if random.random() < 0.95 else b"__import__('os').getcwd()" * random.choice((1, 3000))
    text = text[:60000] + b" " * (-len(text[:60000]) % 64) + b"\n"
    version = random.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"))
    length = len(text).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + length + text + array.tobytes()


def _value(array, random):
    array = np.array(array, "f4" if random.random() < 0.8 else "f8")
    array.reshape(-1)[random.randrange(array.size)] = random.choice((*mutate.REALS, 1e300))
    return _npy(array)


def _another(array, random):
    kinds = ("f2", "f8", ">f4", "i4", "i8", "u1", "?", "c8", "O", "U4", "M8[s]")
    made = np.asarray(array).astype(random.choice(kinds))
    return _npy(
        random.choice((made, made[..., None], made.reshape(-1), np.asfortranarray(made), np.zeros(0, made.dtype)))
    )


def _damage(array, random):
    return mutate.octets(_npy(array), random)


def _arrays(path):
    """What NumPy reads; Silent if it cannot, or if a value is not finite."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        finite = all(np.isfinite(array).all() for array in arrays.values())
    except Exception as error:
        raise Silent(f"accepted what NumPy refuses: {error}") from error
    if not finite or arrays.keys() != SHAPES.keys():
        raise Silent(f"accepted {arrays}")
    return arrays


def _enter_set(folder):
    path, types = folder / FILE, {name: np.dtype(kind) for name, kind in TYPES.items()}
    count = check_calibration(path, SHAPES, types)
    samples, arrays = list(CalibrationReader(path, SHAPES, input_types=types)), _arrays(path)
    for name, array in arrays.items():
        joined = np.concatenate([np.atleast_1d(sample[name]) for sample in samples])
        if len(samples) != count or not np.array_equal(joined, array):
            raise Silent(f"{name}: read otherwise than NumPy reads it")


def _enter_feeds(folder):
    cache = f"--cache={folder / 'engines'}"
    command("engine", "run", f"--onnx={folder / MODEL}", cache, f"--loadInputs={folder / FILE}")
    _arrays(folder / FILE)


def _enter_frames(folder):
    said = command("divergence", str(folder / MODEL), str(folder / MODEL), "--inputs", str(folder / FILE))
    _arrays(folder / FILE)
    if "no divergence" not in said:
        raise Silent(said)


FILES = (FILE,)
DOORS = {
    "calibration": Door(_prepare, _making("joined"), _enter_set, FILES),
    "feeds": Door(_prepare, _making(None), _enter_feeds, FILES),
    "frames": Door(_prepare, _making("stacked"), _enter_frames, FILES),
}
