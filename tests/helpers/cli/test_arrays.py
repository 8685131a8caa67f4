"""Arrays of commands: noise that fits the types, files that are read only if they fit."""

import zipfile

import numpy as np
import pytest

from helpers.cli import arrays
from helpers.errors import BadInput

SHAPES = {"x": (2, None), "n": ()}
TYPES = {"x": np.dtype("f8"), "n": np.dtype("i8")}


def load_frames(path, shapes):
    return arrays.load_frames(path, shapes, {})


def save(path, **named):
    np.savez(path, **named)
    return path


def test_noise_is_normal_for_floating_point_and_zero_for_the_rest():
    types = {"x": np.float32, "h": np.float16, "i": np.int64, "b": np.bool_, "s": np.float32}
    shapes = {"x": (100, 100), "h": (1000,), "i": (3,), "b": (2,), "s": ()}
    made = arrays.noise(shapes, types, "", seed=1)
    assert {name: (array.dtype, array.shape) for name, array in made.items()} == {
        name: (np.dtype(types[name]), shapes[name]) for name in shapes
    }
    assert abs(made["x"].std() - 1) < 0.05 and made["h"].any() and not made["i"].any() and not made["b"].any()
    again, other = (arrays.noise(shapes, types, "", seed) for seed in (1, 2))
    np.testing.assert_array_equal(made["x"], again["x"])
    assert not np.array_equal(made["x"], other["x"])


@pytest.mark.parametrize("free", [None, "batch"])
def test_noise_needs_a_shape(free):
    with pytest.raises(BadInput, match=r"'x'[\s\S]*pass --shapes=x:"):
        arrays.noise({"x": (free, 2)}, {"x": np.float32}, "pass --shapes={name}:...")


def test_files_give_their_arrays_and_frames(tmp_path):
    path = save(tmp_path / "one.npz", x=np.ones((2, 3), np.float32), n=np.float32(4))
    assert arrays.load(path, SHAPES)["x"].shape == (2, 3) and arrays.load(path, SHAPES)["n"] == 4
    path = save(tmp_path / "frames.npz", x=np.arange(12).reshape(3, 2, 2), n=np.arange(3))
    frames = arrays.load_frames(path, SHAPES, TYPES)
    assert [frame["n"] for frame in frames] == [0, 1, 2] and frames[2]["x"].tolist() == [[8, 9], [10, 11]]


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({"x": np.zeros((3, 2))}, r"'x'[\s\S]*\[3, 2\][\s\S]*\[2, \?\]"),
        ({"x": np.zeros(2)}, r"'x'[\s\S]*\[2\]"),
        ({"y": np.zeros(2)}, r"'y'[\s\S]*no such input"),
        ({"x": np.array([[{}], [{}]], dtype=object)}, "of type object"),
        ({"x": np.array([[1 + 2j], [0]])}, "of type complex128"),
        ({"x": np.array([["a"], ["b"]])}, "of type <U1"),
        ({"x": np.array([[1], [np.nan]])}, r"'x'[\s\S]*1 of 2 values that are NaN, infinite"),
        ({"x": np.array([[np.inf], [1]])}, r"'x'[\s\S]*1 of 2 values that are NaN, infinite"),
    ],
)
def test_arrays_that_fit_no_input_are_refused(tmp_path, named, found):
    with pytest.raises(BadInput, match=rf"set\.npz[\s\S]*{found}"):
        arrays.load(save(tmp_path / "set.npz", **named), SHAPES)


def test_frames_must_be_as_many_of_every_input_and_not_too_many(tmp_path):
    with pytest.raises(BadInput, match=r"'n'[\s\S]*\[frames\]"):
        load_frames(save(tmp_path / "set.npz", n=np.float32(1)), {"n": ()})
    with pytest.raises(BadInput, match="frames by array"):
        load_frames(save(tmp_path / "set.npz", x=np.zeros((3, 2, 1)), n=np.zeros(2)), SHAPES)
    with pytest.raises(BadInput, match=r"set\.npz[\s\S]*one for x, n too"):
        load_frames(save(tmp_path / "set.npz"), SHAPES)
    with pytest.raises(BadInput, match="at most"):
        load_frames(save(tmp_path / "set.npz", n=np.zeros(arrays.MOST_FRAMES + 1)), {"n": ()})


def test_frames_of_a_type_that_loses_something_are_refused(tmp_path):
    path = save(tmp_path / "set.npz", n=np.zeros(2))
    with pytest.raises(BadInput, match=r"set\.npz: array 'n'\n  found: +float64\n  expected: int64"):
        arrays.load_frames(path, {"n": ()}, TYPES)
    path = save(tmp_path / "set.npz", n=np.array([1, 1e300]))
    with pytest.raises(BadInput, match=r"set\.npz: array 'n'\n  found: +1 of 2 values[\s\S]*too large for float32"):
        arrays.load_frames(path, {"n": ()}, {"n": np.dtype("f4")})


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "npy", "archive", "lies", "absent"])
@pytest.mark.parametrize("load", [arrays.load, load_frames])
def test_damaged_files_are_refused(tmp_path, damage, load):
    path = save(tmp_path / "set.npz", n=np.float32(1) if load is arrays.load else np.float32([1]))
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[content.index(b"\n") + 3] ^= 255  # the value: its checksum tells
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "archive": b"PK\x03\x04broken"}
    path.write_bytes(damaged.get(damage, content))
    if damage == "npy":
        np.save(open(path, "wb"), np.ones(3))  # noqa: SIM115
    if damage == "absent":
        path.unlink()
    if damage == "lies":
        with zipfile.ZipFile(path, "w") as archive, archive.open("n.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (5000,)})
            member.write(bytes(4))
    shapes = {"n": (None,)} if load is arrays.load and damage == "lies" else {"n": ()}
    with pytest.raises(BadInput, match=r"set\.npz"):
        load(path, shapes)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_by_its_header(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        header = {"descr": "<f4", "fortran_order": False, "shape": (250_000_000,)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(1 << 20))
    for load in (arrays.load, load_frames):
        with pytest.raises(BadInput, match=r"bomb\.npz[\s\S]*250000000"):
            load(path, SHAPES)
