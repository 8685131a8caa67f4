"""What the headers of an .npz file claim is compared with what is there."""

import io
import zipfile

import numpy as np
import pytest

from helpers import npz
from helpers.errors import BadInput


def member(shape, data, kind="<f4", order=False, version=1):
    header = repr({"descr": kind, "fortran_order": order, "shape": shape}).encode()
    header += b" " * (-len(header) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + data


def archive(path, *members, packed=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", packed) as made:
        for name, content in members:
            made.writestr(zipfile.ZipInfo(name), content, packed)
    return path


def test_members_are_where_numpy_writes_them(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(True), "c": np.zeros((0, 4), "i8")}
    np.savez(tmp_path / "a.npz", **arrays)
    found, content = npz.members(tmp_path / "a.npz"), (tmp_path / "a.npz").read_bytes()
    for name, array in arrays.items():
        one = found[name]
        assert (one.shape, one.dtype, one.fortran_order) == (array.shape, array.dtype, False)
        assert content[one.offset : one.offset + one.nbytes] == array.tobytes()
    np.savez_compressed(tmp_path / "c.npz", **arrays)
    assert {name: one.offset for name, one in npz.members(tmp_path / "c.npz").items()} == dict.fromkeys("abc", 0)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (member((2,), bytes(4)), "4 bytes of data"),
        (member((2,), bytes(12)), "12 bytes of data"),
        (member((-2,), b""), "0 bytes of data"),
        (member((2**62, 2**62), bytes(4)), "4 bytes of data"),
        (member((1,), bytes(8), "|O"), "type object"),
        (member((1,), bytes(8), "<c8"), "type complex64"),
        (member((1,), bytes(8), "<M8[s]"), r"type datetime64\[s\]"),
        (member((1,), bytes(4), [("a", "<f4")]), r"type \[\('a'"),
        (member((1,), bytes(4), version=4), "format version"),
        (member(None, bytes(4)), "ValueError"),
        (b"text", "ValueError"),
        (b"", "ValueError"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, content, found):
    for packed in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = archive(tmp_path / "a.npz", ("x.npy", content), packed=packed)
        with pytest.raises(BadInput, match=rf"a\.npz: array 'x'\n  found: +.*{found}"):
            npz.members(path)


def test_bytes_before_the_archive_are_refused_as_numpy_does(tmp_path):
    np.savez(path := tmp_path / "a.npz", a=np.zeros(2))
    path.write_bytes(b"x" + path.read_bytes())
    assert zipfile.ZipFile(path).namelist() == ["a.npy"]
    with pytest.raises(ValueError, match="pickled"):
        np.load(path)
    with pytest.raises(BadInput, match="bytes before the archive"):
        npz.members(path)


def test_files_that_are_no_archive_and_names_given_twice_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    for path in (tmp_path / "a.npz", tmp_path / "absent.npz", tmp_path):
        with pytest.raises(BadInput, match=path.name):
            npz.members(path)
    whole = io.BytesIO()
    np.save(whole, np.ones(3))
    twice = archive(tmp_path / "twice.npz", ("x.npy", whole.getvalue()), ("x", whole.getvalue()))
    with pytest.raises(BadInput, match="every name once"):
        npz.members(twice)
