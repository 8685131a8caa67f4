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
KINDS = "biufc"
DIMENSIONS = 8
LONGEST = (1 << 63) - 1
FIX = "encode it with json_numpy.dumps(array), or helpers.serve.arrays.encode(array)"


@typed
def encode(array: np.ndarray) -> dict[str, object]:
    """An array of numbers as an object for JSON, with its values in C order; BadInput for one of anything else."""
    array = np.asarray(array)
    if array.dtype.kind not in KINDS:
        found = f"{array.dtype} {list(array.shape)}"
        raise BadInput("array", found, "numbers: the bytes of other values mean nothing elsewhere", "convert it first")
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
    dtype, shape = _type(value["dtype"], where, types), _shape(value["shape"], where)
    room = math.prod(size or 1 for size in shape) * dtype.itemsize  # NumPy counts the sizes beside a 0
    if room > most:
        raise BadInput(where, f"{room:,} bytes, by its shape", f"at most {most:,}", "send a smaller array")
    values = _bytes(value["__numpy__"], math.prod(shape) * dtype.itemsize, where)
    return np.frombuffer(values, dtype).reshape(shape)


def _type(name, where, types):
    known = {np.dtype(one).name: one for one in types}
    if not isinstance(name, str) or known.get(name, name) not in types:
        raise BadInput(f"{where}: dtype", repr(name)[:40], f"one of {', '.join(types)}", "convert with array.astype")
    return np.dtype(known.get(name, name))


def _shape(shape, where):
    whole = isinstance(shape, list) and all(type(size) is int and 0 <= size <= LONGEST for size in shape)
    if not whole or len(shape) > DIMENSIONS:
        expected = f"a list of at most {DIMENSIONS} whole numbers from 0 to {LONGEST:,}"
        raise BadInput(f"{where}: shape", repr(shape)[:40], expected, FIX)
    return shape


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
