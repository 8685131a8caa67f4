"""Arrays in JSON, in the form of the package json-numpy: `{"__numpy__": base64, "dtype": "|u1", "shape": [H, W, 3]}`.

What is written is equal to json-numpy's, byte for byte. What is read is not trusted: the type must be one of a list,
and type, shape and length must agree, before there is memory for the values.
"""

import base64
import binascii
import math
from collections.abc import Collection

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput, reason

KEYS = {"__numpy__", "dtype", "shape"}
DIMENSIONS = 8
FIX = "encode it with json_numpy.dumps(array), or helpers.serve.arrays.encode(array)"


@typed
def encode(array: np.ndarray) -> dict[str, object]:
    """An array of numbers as an object for JSON, with its values in C order."""
    array = np.asarray(array)
    return {
        "__numpy__": base64.b64encode(array.tobytes()).decode(),
        "dtype": np.lib.format.dtype_to_descr(array.dtype),
        "shape": list(array.shape),
    }


@typed
def decode(value: object, where: str, types: Collection[str], most: int) -> np.ndarray:
    """The array of such an object, read-only; BadInput for any other.

    Args:
        where: what the message names.
        types: descriptors of the types that are taken, such as "|u1".
        most: bytes of the values at most.
    """
    if not isinstance(value, dict) or value.keys() != KEYS:
        found = f"an object of {sorted(value)[:5]}" if isinstance(value, dict) else type(value).__name__
        raise BadInput(where, found, f"an object of {', '.join(sorted(KEYS))}", FIX)
    dtype, count = _type(value["dtype"], where, types), _count(value["shape"], where)
    nbytes = count * dtype.itemsize
    if nbytes > most:
        raise BadInput(where, f"{nbytes:,} bytes, by its shape", f"at most {most:,}", "send a smaller array")
    values = _bytes(value["__numpy__"], nbytes, where)
    return np.frombuffer(values, dtype).reshape(value["shape"])


def _type(name, where, types):
    known = {np.dtype(one).name: one for one in types}
    if not isinstance(name, str) or known.get(name, name) not in types:
        raise BadInput(f"{where}: dtype", repr(name)[:40], f"one of {', '.join(types)}", "convert with array.astype")
    return np.dtype(known.get(name, name))


def _count(shape, where):
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) > DIMENSIONS:
        expected = f"a list of at most {DIMENSIONS} whole numbers from 0"
        raise BadInput(f"{where}: shape", repr(shape)[:40], expected, FIX)
    return math.prod(shape)


def _bytes(text, nbytes, where):
    """The `nbytes` bytes of a base64 text, whose length is compared first."""
    length = 4 * -(-nbytes // 3)
    if not isinstance(text, str) or len(text) != length:
        found = f"{len(text):,} characters" if isinstance(text, str) else type(text).__name__
        raise BadInput(f"{where}: __numpy__", found, f"{length:,} characters of base64, for {nbytes:,} bytes", FIX)
    try:
        values = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"{where}: __numpy__", reason(error), "base64", FIX) from error
    if len(values) != nbytes:
        raise BadInput(f"{where}: __numpy__", f"{len(values):,} bytes", f"{nbytes:,}, by its shape", FIX)
    return values
