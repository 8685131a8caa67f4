"""Arrays in JSON: equal to json-numpy's, and nothing is taken on trust."""

import base64
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import BadInput
from helpers.serve import arrays

WRITTEN = {  # by json_numpy 2.1.1's dumps
    '{"__numpy__": "AAECAwQF", "dtype": "|u1", "shape": [2, 3]}': np.arange(6, dtype=np.uint8).reshape(2, 3),
    '{"__numpy__": "AAMBBAIF", "dtype": "|u1", "shape": [3, 2]}': np.arange(6, dtype=np.uint8).reshape(2, 3).T,
    '{"__numpy__": "AAAAAAAA4D8AAAAAAAAIwA==", "dtype": "<f8", "shape": [2]}': np.array([0.5, -3.0]),
    '{"__numpy__": "AHwAAP98AAA=", "dtype": "<i4", "shape": [2]}': np.array([31744, 31999], np.int32),
    '{"__numpy__": "AADAPw==", "dtype": "<f4", "shape": []}': np.float32(1.5),
    '{"__numpy__": "", "dtype": "|u1", "shape": [0, 4]}': np.zeros((0, 4), np.uint8),
}
TYPES = ["|u1", "<f8", "<i4", "<f4"]
GOOD = arrays.encode(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(("text", "array"), WRITTEN.items())
def test_what_is_written_equals_json_numpys_bytes_and_is_read_again(text, array):
    assert json.dumps(arrays.encode(array)) == text
    found = arrays.decode(json.loads(text), "x", TYPES, 100)
    assert found.dtype == np.asarray(array).dtype and np.array_equal(found, array)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dtype": "<f8"}, "x: __numpy__"),
        ({"dtype": "|O"}, "x: dtype"),
        ({"dtype": [["a", "<f8"]]}, "x: dtype"),
        ({"dtype": "u1, u1"}, "x: dtype"),
        ({"shape": [2, 4]}, "x: __numpy__"),
        ({"shape": [2, -3]}, "x: shape"),
        ({"shape": [True, 6]}, "x: shape"),
        ({"shape": [6.0]}, "x: shape"),
        ({"shape": 6}, "x: shape"),
        ({"shape": [1] * 9}, "x: shape"),
        ({"shape": [1 << 40, 1 << 40]}, "at most 100"),
        ({"shape": [int("9" * 4000)] * 2}, "x: shape"),
        ({"shape": [0, 1 << 63], "__numpy__": ""}, "x: shape"),
        ({"shape": [0, 1 << 62, 3], "__numpy__": ""}, "at most 100"),
        ({"__numpy__": "AAEC*wQF"}, "x: __numpy__"),
        ({"__numpy__": "AAECAw=="}, "x: __numpy__"),
        ({"__numpy__": "ÄAECAwQF"[:8]}, "x: __numpy__"),
        ({"__numpy__": None}, "x: __numpy__"),
        ({"more": 1}, "an object of"),
    ],
)
def test_what_does_not_agree_with_itself_is_refused(change, named):
    with pytest.raises(BadInput, match=named.replace("*", ".")):
        arrays.decode(GOOD | change, "x", TYPES, 100)


@pytest.mark.parametrize("kind", ["O", "U3", "M8[s]", [("a", "u1")]])
def test_what_has_no_meaning_elsewhere_is_not_written(kind):
    with pytest.raises(BadInput, match="numbers"):
        arrays.encode(np.zeros(2, kind))


@pytest.mark.parametrize("value", [None, [], "text", 3, {}])
def test_what_is_no_such_object_is_refused(value):
    with pytest.raises(BadInput, match="__numpy__, dtype, shape"):
        arrays.decode(value, "x", TYPES, 100)


def test_names_of_types_are_taken_too():
    assert arrays.decode(GOOD | {"dtype": "uint8"}, "x", TYPES, 100).dtype == np.uint8


def test_a_giant_shape_takes_no_memory():
    tracemalloc.start()
    with pytest.raises(BadInput):
        arrays.decode(GOOD | {"shape": [1 << 30]}, "x", TYPES, 1 << 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@given(st.binary(max_size=40), st.text(max_size=6), st.lists(st.integers(-2, 9), max_size=3))
def test_only_an_error_or_the_array_itself(data, dtype, shape):
    value = {"__numpy__": base64.b64encode(data).decode(), "dtype": dtype or "|u1", "shape": shape}
    try:
        found = arrays.decode(value, "x", TYPES, 100)
    except BadInput:
        return
    assert found.tobytes() == data and list(found.shape) == shape
