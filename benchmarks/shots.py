"""JPEG files of frames, with the network's small inputs beside them, in the work folder; needs NumPy only."""

import itertools
import json

import numpy as np

from benchmarks import stored
from helpers.errors import BadInput, foreign
from helpers.files import atomic
from helpers.pipeline import Shot


def write(folder, steps, pictures):
    """Write steps of `helpers.dataset.stream` whose input `pictures` is left to their JPEG files."""
    kept = [{name: array for name, array in step.feeds.items() if name != pictures} for step in steps]
    files = [path.read_bytes() for step in steps for path in step.frame.image_paths.values()]
    with atomic(folder, folder=True) as part:
        for name in kept[0]:
            np.save(part / f"{name}.npy", np.stack([one[name] for one in kept]))
        (part / "pictures.bin").write_bytes(b"".join(files))
        told = {"sizes": [len(data) for data in files], "first": [step.first for step in steps],
                "tokens": [step.frame.token for step in steps]}  # fmt: skip
        (part / "shots.json").write_text(json.dumps(told))


def read(folder, fix):
    """list[Shot], whose frame is the sample token; BadInput, which names `fix`, if they are not there or damaged."""
    told = stored.table(folder / "shots.json", ("first", "tokens"), fix)
    feeds = stored.arrays(folder, len(told["first"]), fix)
    with foreign(folder, stored.EXPECTED, fix):
        ends, whole = np.cumsum([0, *map(int, told["sizes"])]), (folder / "pictures.bin").read_bytes()
        each, rest = divmod(len(told["sizes"]), len(told["first"]))
    if rest or ends[-1] != len(whole) or min(told["sizes"]) < 1:
        found = f"{len(told['sizes'])} pictures of {ends[-1]} bytes for {len(told['first'])} frames"
        raise BadInput(folder, f"{found}, and {len(whole)} bytes", stored.EXPECTED, fix)
    files = [whole[begin:end] for begin, end in itertools.pairwise(ends)]
    return [
        Shot(
            tuple(files[index * each : (index + 1) * each]),
            {n: np.array(a[index]) for n, a in feeds.items()},
            first,
            token,
        )
        for index, (first, token) in enumerate(zip(told["first"], told["tokens"], strict=True))
    ]
