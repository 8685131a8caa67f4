"""What stages find in the work folder: read whole and checked, or refused with the command that makes it again."""

import numpy as np

from helpers.errors import BadInput, foreign
from helpers.files import NOTHING, found_at, read_json

EXPECTED = "what the stage prepare writes"
NUMBERS = "fiub"  # kinds of arrays


def table(path, keys, fix):
    """The JSON table at `path` with these keys, whose values are lists; BadInput if it is absent or another."""
    if found_at(path) == NOTHING:
        raise BadInput(path, NOTHING, EXPECTED, fix)
    found = read_json(path, EXPECTED, fix)
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in keys):
        raise BadInput(path, f"a {type(found).__name__} without lists of {', '.join(keys)}", EXPECTED, fix)
    if not all(isinstance(value, bool) for value in found.get("first", ())):
        raise BadInput(path, "values of 'first' that are not true or false", EXPECTED, fix)
    if len({len(found[key]) for key in keys}) > 1:
        raise BadInput(path, f"{', '.join(keys)} of different lengths", EXPECTED, fix)
    return found


def arrays(folder, count, fix):
    """Input -> array of `count` frames, of every `.npy` file in a folder; not read before they are asked for."""
    found = {}
    for path in sorted(folder.glob("*.npy")):
        with foreign(path, EXPECTED, fix):
            found[path.stem] = array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape[:1] != (count,) or array.dtype.kind not in NUMBERS:
            raise BadInput(path, f"{array.dtype}{list(array.shape)}", f"numbers of {count} frames", fix)
    return found
