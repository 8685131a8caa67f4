"""Layered weights as NumPy arrays, for what has no torch, such as a network definition on the machine of an engine."""

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path
from helpers.models import layered


@typed
def read(folder: PathLike) -> dict[str, np.ndarray]:
    """The tensors of a tree by name: numbers as float32, whole ones as they are.

    Raises:
        BadInput: as `layered.index`, another content, numbers that are not finite, a type that NumPy lacks, or nothing
            but zeros.
    """
    folder = as_path(folder)
    found = {name: _array(folder, name, entry) for name, entry in layered.index(folder).items()}
    weights = [array for array in found.values() if array.dtype.kind == "f" and array.size]
    if weights and not any(array.any() for array in weights):
        raise BadInput(folder, f"nothing but zeros in {len(weights)} tensors", "weights", "split the checkpoint again")
    return found


def _array(folder, name, entry):
    data, path = layered.data_of(folder, name, entry), folder / entry.file
    if entry.dtype == "bfloat16":
        found = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    elif entry.dtype.startswith(("float8", "complex")):
        raise BadInput(path, entry.dtype, "plain numbers", "convert the checkpoint to float32")
    else:
        found = np.frombuffer(data, entry.dtype)
    if found.dtype.kind == "f":
        found = found.astype(np.float32)
        if not np.isfinite(found).all():
            expected = "finite numbers, within float32"
            raise BadInput(path, f"{name!r:.80} with numbers that are not", expected, "look for what spoiled it")
    return found.reshape(entry.shape)
