"""The door of .npz files: they are written whole, and what their headers claim is compared with the bytes that are
there before any is read.
"""

import math
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, NamedTuple

import numpy as np

from helpers.errors import BadInput, foreign
from helpers.files import PathLike, as_path, found_at
from helpers.kinds import kind_of

EXPECTED, FIX = "a whole .npz file of numbers, without pickles", "write it with numpy.savez"
KINDS = "fiub"  # of numbers: floating point, whole, unsigned, boolean


class Member(NamedTuple):
    """One array. offset: of its data in the file; 0 if it is compressed."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write(arrays: Mapping[str, np.ndarray], path: PathLike) -> None:
    """Write arrays by name as numpy.savez does, for use within `files.atomic`; one that fails leaves nothing open."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def members(path: PathLike) -> dict[str, Member]:
    """Name -> `Member` of the arrays in an .npz file; only headers are read.

    Raises:
        BadInput: no .npz file or a damaged one, a name given twice, an array of something else than numbers, or one
            whose header claims more or fewer bytes than there are.
    """
    if not as_path(path, EXPECTED).is_file():
        raise BadInput(path, found_at(path), EXPECTED, "correct the path")
    if (held := kind_of(path)) not in ("a zip archive", ""):
        raise BadInput(path, held, EXPECTED, FIX)
    with foreign(path, EXPECTED, FIX), zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
        if stream.read(2) != b"PK":  # a zip file may have other bytes before it, which NumPy takes for another format
            raise BadInput(path, "bytes before the archive", EXPECTED, FIX)
        infos = archive.infolist()
        found = {info.filename.removesuffix(".npy"): _member(archive, info, stream, path) for info in infos}
        if len(found) < len(infos):
            raise BadInput(path, f"arrays {[info.filename for info in infos]}", "every name once", FIX)
        return found


def _member(archive, info, stream, path):
    where = f"{path}: array {info.filename.removesuffix('.npy')!r}"
    with foreign(where, "an array in .npy format", FIX), archive.open(info) as member:
        shape, fortran_order, dtype = _header(member)
        beginning = member.tell()
    if dtype.kind not in KINDS:
        raise BadInput(where, f"values of type {dtype}", "numbers", "save the numbers alone")
    offset = 0 if info.compress_type else _data(stream, info) + beginning
    made = Member(shape, dtype, fortran_order, offset)
    there = info.file_size - beginning
    if there != made.nbytes or min(shape, default=0) < 0:
        raise BadInput(where, f"{there} bytes of data", f"{made.nbytes}, for {dtype}{list(shape)}", FIX)
    return made


def _data(stream, info):
    """Where a member's bytes begin: a local file header ends with the lengths of the name and of the extra field."""
    stream.seek(info.header_offset + 26)
    return info.header_offset + 30 + sum(struct.unpack("<HH", stream.read(4)))


def _header(stream: IO[bytes]):
    """(shape, fortran_order, dtype) of a `.npy` stream; leaves it at the first data byte."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"format version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def check_numbers(where: object, array: np.ndarray, dtype: np.dtype) -> None:
    """BadInput that names `where` unless every value is a finite number that `dtype` can hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(dtype)
    kept = np.isfinite(converted) if dtype.kind == "f" else converted == array
    if lost := np.count_nonzero(~kept):
        found = f"{lost} of {array.size} values that are NaN, infinite, or too large for {dtype}"
        raise BadInput(where, found, "finite numbers", "look at where the array comes from")
